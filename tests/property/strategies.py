"""Small worlds: a few people in a few rooms, made so that what is rare in life is common here.

Every event comes from ten drawn bytes, read by tables. That is one draw an event: quick to make, and a failing
world shrinks by losing events and by bytes that go to zero.

A world is *honest* when its senders keep their word: an id names one event, numbers rise by one, a new epoch
starts at least L after the last event of the old one, and nothing is L or more out of order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from hypothesis import strategies as st

from streams.events import OPT_IN, OPT_OUT, Event, routing_key
from tests.worlds import START_S, data_of, event_id

DEVICES = ("a", "b", "c", "d", "e", "f")
ROOMS = ("hall", "attic", "c")  # the last one is called like a device: keys of both kinds may meet
STRANGER = "zed"  # named as a target, never heard
ROW_BYTES = 10
LENGTHS = (4, 12, 24, 36, 48, 60, 60, 60)

_SHARES = {
    "BLOOM": 44,
    "BREATH": 44,
    "TOUCH": 62,
    "SACRED_PHRASE": 22,
    "SPIRAL": 16,
    "FIELD": 10,
    "ENTANGLE": 12,
    "RELEASE": 8,
    "ENTER": 6,
    "LEAVE": 10,
    OPT_OUT: 12,
    OPT_IN: 10,
}
TYPES = tuple(name for name, share in _SHARES.items() for _ in range(share))
THEMES = (
    (),
    ("BLOOM",),
    ("TOUCH",),
    ("BREATH", "SPIRAL"),
    ("SACRED_PHRASE",),
    ("TOUCH", "TOUCH", "BREATH", "LEAVE"),
    ("BLOOM", "BREATH", "ENTER"),
)
"""What most of a world's people are about: echoes need the same gesture again and again."""
_EDGES_MS = (9_999, 10_000, 10_001, 30_000, 30_001, 59_000, 60_000, 61_000, 70_000, 71_000, 240_000, 241_000)
_LONG_MS = (299_999, 300_000, 300_001, 601_000)
GAPS_MS = (
    (0,) * 50
    + tuple(range(1, 1000, 12))
    + tuple(range(1000, 2100, 16))
    + tuple(range(2500, 12_000, 400))
    + _EDGES_MS
    + _LONG_MS
    + (-1, -2, -3) * 4  # L - 1, L, L + 1
)
POSITIONS = (None, (0.0, 0.0), (6.0, 8.0), (3.5, -2.25), (100.0, 100.0), (6.0, 8.0, 0.125), (0.0, 0.0, 10.0), None)
PHASES = (0.0, 0.5, 1.0, 3.1, -2.5, 9.75)
DELAYS_MS = (0, 1_000, 9_999, 10_000, 10_001, 15_000, 61_000, 400_000)

RULES: tuple[dict[str, int], ...] = (
    {},
    {"particles": 3, "quantum_fields": 2, "seats": 2},
    {"particles": 2, "quantum_fields": 1, "seats": 3, "lateness_ms": 1_000},
    {"particles": 4, "seats": 2, "lateness_ms": 2_000, "silence_ms": 20_000, "slots": 6},
    {"lateness_ms": 1_000, "silence_ms": 4_000},
    {"particles": 1, "seats": 1, "lateness_ms": 0},
)
"""Constants of a world where they differ from the defaults: tiny capacities, short memories."""


@dataclass(frozen=True, repr=False)
class World:
    """Events in the order of their making, and two orders in which they may arrive."""

    rules: dict[str, int]
    made: list[Event]
    arrivals: list[Event]
    others: list[Event]
    """the same events in another order"""

    @property
    def watermark(self) -> int:
        return max((event.timestamp for event in self.made), default=0)

    def __repr__(self) -> str:
        lines = [f"World({self.rules}, as they arrive:", *map(told, self.arrivals)]
        return "\n    ".join(lines) + ")"


def told(event: Event) -> str:
    """An event in a line, for the reports of failures."""
    where = f"in {event.room_id}" if event.room_id else f"key {event.key}"
    number = "" if event.seq is None else f" #{event.epoch}.{event.seq}"
    to = f" to {event.target}" if event.target else ""
    seconds = event.timestamp / 1000 - START_S
    return f"{seconds:+.3f} {event.device_id} {event.type}{to} {where}{number} {event.id[:8]}..{event.id[-3:]}"


@dataclass
class _Sender:
    numbered: bool
    seq: int = 0
    epoch: int = 0
    last: int = 0


@dataclass
class _Making:
    """What making a world remembers from event to event."""

    head: bytes
    lateness_ms: int
    honest: bool
    now: int = START_S * 1000
    senders: dict[str, _Sender] = field(default_factory=dict)
    made: list[Event] = field(default_factory=list)
    arrivals: list[tuple[int, int, Event]] = field(default_factory=list)
    others: list[tuple[int, int, Event]] = field(default_factory=list)

    @property
    def people(self) -> tuple[str, ...]:
        return DEVICES[: (2, 2, 3, 3, 4, 6)[self.head[0] % 6]]


def worlds(*, honest: bool, rules: tuple[dict[str, int], ...] = RULES) -> st.SearchStrategy[World]:
    """Worlds of up to 60 events: a third drawn byte by byte, which shrink well; two from a seed, which vary more."""
    row = st.binary(min_size=ROW_BYTES, max_size=ROW_BYTES)
    drawn = st.builds(
        made,
        st.binary(min_size=8, max_size=8),
        st.one_of(st.lists(row, max_size=10), st.lists(row, min_size=15, max_size=35)),
        st.sampled_from(rules),
        st.just(honest),
    )
    seeded = st.builds(
        _seeded, st.integers(0, 2**24 - 1), st.sampled_from(LENGTHS), st.sampled_from(rules), st.just(honest)
    )
    return st.one_of(drawn, seeded, seeded)


def _seeded(seed: int, length: int, rules: dict[str, int], honest: bool) -> World:
    source = Random(seed)
    return made(source.randbytes(8), [source.randbytes(ROW_BYTES) for _ in range(length)], rules, honest)


def made(head: bytes, rows: list[bytes], rules: dict[str, int], honest: bool) -> World:
    """The world that these bytes mean: eight for what it is like, ten for each event."""
    making = _Making(head, rules.get("lateness_ms", 10_000), honest)
    for row in rows:
        _step(making, row)
    return World(rules, making.made, _in_order(making.arrivals), _in_order(making.others))


def _in_order(arrivals: list[tuple[int, int, Event]]) -> list[Event]:
    return [event for _, _, event in sorted(arrivals, key=lambda arrival: arrival[:2])]


def _step(making: _Making, row: bytes) -> None:
    head = making.head
    grain = (1, 1, 500, 1000)[head[2] % 4]  # whole seconds make ties and exact borders
    gap = GAPS_MS[row[2] * len(GAPS_MS) // 256]
    making.now += gap // grain * grain if gap >= 0 else max(making.lateness_ms + gap + 2, 0)
    device = making.people[row[0] % len(making.people)]
    event = _numbered(making, _event(making, device, row), row)
    making.made.append(event)
    shares = _lags(making, event, row)
    making.arrivals.append((event.timestamp + shares[0], len(making.made), event))
    making.others.append((event.timestamp + shares[1], -len(making.made), event))
    if row[9] >= 226:  # sent once more, by a sender who did not hear the answer
        delay = DELAYS_MS[row[9] % len(DELAYS_MS)]
        making.arrivals.append((event.timestamp + shares[0] + delay, len(making.made), event))
        making.others.append((event.timestamp + shares[1] + delay, -len(making.made), event))


def _event(making: _Making, device: str, row: bytes) -> Event:
    head, number = making.head, len(making.made) + 1
    event_type = _type(head, row)
    room = (*ROOMS[: 1 + head[1] % 3], None)[row[3] % (2 + head[1] % 3)]
    if head[3] % 2 and row[3] % 16:
        room = ROOMS[0]  # most worlds of this kind happen in one place
    if event_type in ("ENTER", "LEAVE") and room is None:
        room = ROOMS[0]
    to = _target(making, device, event_type, row)
    position = POSITIONS[row[4] % len(POSITIONS)]
    x, y, z = (*position, None)[:3] if position else (None, None, None)
    return Event(
        timestamp=making.now,
        id=_id(making, device, number, row),
        type=event_type,
        device_id=device,
        key=routing_key(device, room, to),
        intensity=row[6] * 3921 if event_type not in (OPT_OUT, OPT_IN) else 0,
        x=x,
        y=y,
        z=z,
        room_id=room,
        target=to,
        data=data_of(event_type, to, _data(event_type, row)),
    )


def _type(head: bytes, row: bytes) -> str:
    event_type = TYPES[row[1]]
    if event_type in (OPT_OUT, OPT_IN) and head[6] % 2:
        return "BLOOM"
    theme = THEMES[head[7] % len(THEMES)]
    return theme[row[4] // 16 % len(theme)] if theme and row[1] % 3 else event_type


def _target(making: _Making, device: str, event_type: str, row: bytes) -> str | None:
    if event_type not in ("TOUCH", "ENTANGLE", "RELEASE") or (event_type == "TOUCH" and row[5] % 2):
        return None
    people = [*making.people, STRANGER]
    target = people[row[5] // 2 % len(people)]
    if target == device and row[5] < 200:  # touching oneself is allowed, and rare
        target = people[(people.index(device) + 1) % (len(people) - 1)]
    return target


def _data(event_type: str, row: bytes) -> dict[str, Any]:
    if event_type == "BREATH":
        return {"phase": PHASES[row[5] % len(PHASES)]}
    if event_type == "SACRED_PHRASE":
        return {"phrase": ("a" if row[5] % 3 else "b") * 16}
    if event_type == "ENTANGLE":
        return {"kind": ("bond", "care")[row[6] % 2], "intensity": row[6] / 255}
    if event_type == "FIELD":
        return {"phase": PHASES[row[5] % len(PHASES)], "harmonics": ((0.5, 1.5, 2.0, row[6] / 255, 0.25),)}
    return {}


def _id(making: _Making, device: str, number: int, row: bytes) -> str:
    before = making.made[-1] if making.made else None
    if before is not None and row[8] % 16 == 15:
        if not any(known.id == before.id and known.device_id == device for known in making.made):
            return before.id  # ids are distinct by device, no more
        if not making.honest and before.timestamp < making.now and not _sender(making, device).numbered:
            return before.id  # a sender that reuses an id
    return event_id(number, spread=row[8])


def _sender(making: _Making, device: str) -> _Sender:
    index = DEVICES.index(device)
    return making.senders.setdefault(device, _Sender(numbered=bool(making.head[4] >> index & 1)))


def _numbered(making: _Making, event: Event, row: bytes) -> Event:
    sender = _sender(making, event.device_id)
    rested = event.timestamp - sender.last >= max(making.lateness_ms, 1)
    sender.last = event.timestamp
    if not sender.numbered:
        return event
    if row[7] % 32 == 31 and (rested or not making.honest):
        sender.epoch, sender.seq = sender.epoch + 1, 0
    sender.seq += 1
    if not making.honest and row[7] % 32 == 30:
        sender.seq += (-1, 30, 70, 63, 64, 65, -3, 0)[row[7] // 32]  # a sender that cannot count
        sender.seq = max(sender.seq, 0)
    return msgspec.structs.replace(event, seq=sender.seq, epoch=sender.epoch)


def _lags(making: _Making, event: Event, row: bytes) -> tuple[int, int]:
    """How late the event arrives, in the two orders. A toggle is never more than L behind."""
    most = making.lateness_ms - 1
    if not making.honest and event.type not in (OPT_OUT, OPT_IN):
        most = making.lateness_ms * 13 // 10 + 1
    most = (0, most // 10, most, most)[making.head[5] % 4]
    most = max(most, 0)
    return most * (row[7] // 2) // 127, max(making.lateness_ms - 1, 0) * row[8] // 255


def split(arrivals: list[Event], cuts: list[int]) -> list[list[Event]]:
    """Records of the given sizes, repeated until the log is used up; a size of 0 is a record with no valid event."""
    records, start, turn = [], 0, 0
    while start < len(arrivals):
        size = cuts[turn % len(cuts)] if cuts else 1
        if not any(cuts):
            size = 1
        records.append(arrivals[start : start + size])
        start, turn = start + size, turn + 1
    return records
