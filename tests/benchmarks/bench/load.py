"""The events that every contender gets: seeded, the five common types alike often, a position with each.

Only the standard library, so that the publisher can run in the peers' own environment. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

START_MS: Final = 1_700_000_000_000
EVENTS_PER_S: Final = 1_000
"""Of event time, where events are not paced."""
TYPES: Final = ("BREATH", "SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE")
PARTITIONS: Final = 4


class Sent(NamedTuple):
    """One event; ``intensity`` 0..1 with four places, ``phase`` radians, ``phrase`` one of sixteen."""

    id: int
    type: str
    device: str
    room: str | None
    timestamp: int
    seq: int
    intensity: float
    x: float
    y: float
    phase: float
    phrase: int

    @property
    def key(self) -> str:
        """The routing key."""
        return self.room or self.device


def events(count: int, *, devices: int, rooms: int = 0, seed: int = 7, each: bool = False) -> Iterator[Sent]:
    """``count`` events; with ``rooms`` every second device is in one. The first n are the same for any count.

    ``each``: the first ``devices`` events are one of each device.
    """
    rnd = random.Random(seed)
    number, bits = rnd.random, rnd.getrandbits
    sent = [0] * devices
    for index in range(count):
        device = index if each and index < devices else int(number() * devices)
        sent[device] += 1
        yield Sent(
            bits(128), TYPES[int(number() * 5)], f"d{device:06d}",
            f"room-{device % rooms:03d}" if rooms and device % 2 else None,
            START_MS + index * 1000 // EVENTS_PER_S, sent[device], round(number(), 4),
            round(number() * 20 - 10, 2), round(number() * 20 - 10, 2), round(number() * 6.28, 2), bits(4),
        )  # fmt: skip


def encode(event: Sent, timestamp: int | None = None) -> bytes:
    """The JSON envelope; ``timestamp`` (epoch ms) instead of its own, for a paced run."""
    h = f"{event.id:032x}"
    room = f'"room_id":"{event.room}",' if event.room else ""
    data = ""
    if event.type == "BREATH":
        data = f'"data":{{"phase":{event.phase}}},'
    elif event.type == "SACRED_PHRASE":
        data = f'"data":{{"phrase":"{event.phrase:032x}"}},'
    return (
        f'{{"id":"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}","type":"{event.type}","device_id":"{event.device}",'
        f'{room}"timestamp":{event.timestamp if timestamp is None else timestamp},"seq":{event.seq},'
        f'"intensity":{event.intensity},"position":{{"x":{event.x},"y":{event.y}}},{data}"v":1}}'
    ).encode()


def expected(sent: Iterable[Sent]) -> float:
    """What the simple fold of these events sums up to: r = 0.9 r + 0.1 intensity by device, over all devices."""
    found: dict[str, float] = {}
    for event in sent:
        found[event.device] = 0.9 * found.get(event.device, 0.0) + 0.1 * event.intensity
    return sum(found.values())
