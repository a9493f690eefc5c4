"""A simulated fleet: people who breathe, fall in step, draw, bloom, touch, speak and walk about.

Pure. The same ``Fleet`` gives the same items for ever: the start time is an argument, every choice comes
from the seed, and nothing looks at a clock. Whoever publishes decides how fast (``Item.at`` says when).
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streams.events import (
    BLOOM,
    BREATH,
    ENTANGLE,
    ENTER,
    FIELD,
    LEAVE,
    MILLION,
    OPT_IN,
    OPT_OUT,
    RELEASE,
    SACRED_PHRASE,
    SPIRAL,
    TOUCH,
    Bloom,
    Breath,
    Data,
    Entangle,
    Event,
    Harmonic,
    Phrase,
    Quantum,
    Release,
    Spiral,
    Touch,
    routing_key,
    to_millionths,
)
from streams.fold.rules import DEFAULT_RULES

PEOPLE_PER_ROOM: Final = 12
"""A room as people sit in one: big enough to fall in step, far under its 64 seats."""
BREATHS: Final = 12.0
"""Mean breaths a minute of people at rest. Phases are kept relative to it, so that a room's sums stay true
between two updates of somebody."""
COUPLING: Final = 0.5
"""Pull of a room on a breath, radians a second: above the spread of natural rates, so rooms do fall in step."""
DRIFT: Final = 0.05
"""Random walk of a phase, radians per square root of a second."""
ANSWER_MS: Final = 900
"""A gesture is answered within this time, so that both fall in the same or the next second."""
ROOM_REACH: Final = 9.0
"""People keep this close to the middle of their room: within one echo's reach of most others."""
DELAY_MS_MAX: Final = 150
"""Time from a device to the log; devices overtake each other by this much."""
PHRASES: Final = tuple(hashlib.sha256(words).hexdigest()[:32] for words in (b"one", b"two", b"three", b"four", b"five"))
LANGUAGES: Final = ("en", "es", "cy", "hi", "ja")

ACTIONS: Final = {
    BREATH: 60, TOUCH: 14, SPIRAL: 9, BLOOM: 6, SACRED_PHRASE: 4, FIELD: 1, ENTANGLE: 1, RELEASE: 0.5, "WALK": 0.5,
}  # fmt: skip
"""How often people do what, in shares. WALK changes rooms: a LEAVE and an ENTER."""
GESTURES: Final = frozenset((SPIRAL, BLOOM, TOUCH, SACRED_PHRASE))


@dataclass(frozen=True, slots=True)
class Fleet:
    """What to simulate: ``rate`` items a second from ``start`` (epoch ms); shares are of all items, 0..1."""

    devices: int
    rate: float
    seed: int
    start: int
    late: float = 0.0
    duplicates: float = 0.0
    malformed: float = 0.0
    opts: float = 0.0


class Item(NamedTuple):
    """One thing to publish: ``at`` is epoch ms of sending, ``event`` an event or bytes that are none."""

    at: int
    event: Event | bytes


@dataclass(slots=True)
class Room:
    """The common breath of a room: sums over its people's phases, and the gesture that waits for an answer."""

    name: str
    x: float
    y: float
    people: list[int] = field(default_factory=list)
    cosine: float = 0.0
    sine: float = 0.0
    gesture: tuple[str, Data, int] | None = None


@dataclass(slots=True)
class Person:
    """One device and whoever carries it."""

    name: str
    room: Room
    phase: float
    """radians ahead of the common mean breath"""
    rate: float
    """his own breaths a minute"""
    x: float
    y: float
    moved: int
    """epoch ms of the last step"""
    seq: int = 0
    out: bool = False
    bonds: list[str] = field(default_factory=list)


def items(fleet: Fleet, duration_s: float | None = None) -> Iterator[Item]:
    """Everything the fleet sends, in the order of sending; without ``duration_s`` it never ends.

    The number of items is ``rate * duration_s``; late, duplicate and malformed ones are among them.
    """
    crowd = _Crowd(fleet)
    total = None if duration_s is None else math.floor(fleet.rate * duration_s + 1e-9)
    sent = 0
    waiting: deque[Event] = deque()
    while total is None or sent < total:
        at = fleet.start + math.floor(sent * 1000 / fleet.rate)
        item = crowd.spoiled(at)
        if item is None:
            if not waiting:
                waiting.extend(crowd.act(at))
            item = waiting.popleft()
            crowd.recent.append(item)
        yield Item(at, item)
        sent += 1


class _Crowd:
    """All people and rooms, and the one source of chance."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.chance = random.Random(fleet.seed)
        self.ids = random.Random(f"{fleet.seed}/{fleet.start}")
        count = max(1, -(-fleet.devices // PEOPLE_PER_ROOM))
        side = max(1, math.isqrt(count))
        self.rooms = [Room(f"room-{n}", 40.0 * (n % side), 40.0 * (n // side)) for n in range(count)]
        self.people = [self._person(n) for n in range(fleet.devices)]
        self.recent: deque[Event] = deque(maxlen=32)
        self.actions = list(ACTIONS)
        self.shares = list(ACTIONS.values())

    def _person(self, number: int) -> Person:
        chance = self.chance
        room = self.rooms[number % len(self.rooms)]
        person = Person(
            name=f"device-{number:05d}",
            room=room,
            phase=chance.uniform(0, math.tau),
            rate=max(6.0, chance.gauss(BREATHS, 1.2)),
            x=room.x + chance.uniform(-ROOM_REACH, ROOM_REACH) / 2,
            y=room.y + chance.uniform(-ROOM_REACH, ROOM_REACH) / 2,
            moved=self.fleet.start,
        )
        _sit(room, person, number)
        return person

    def spoiled(self, at: int) -> Event | bytes | None:
        """A late, duplicate or malformed thing where chance wants one, else None."""
        fleet, draw = self.fleet, self.chance.random()
        if draw < fleet.malformed:
            return malformed(self.chance, self._breath(self._somebody(), at))
        draw -= fleet.malformed
        if draw < fleet.duplicates and self.recent:
            return self.chance.choice(self.recent)
        draw -= fleet.duplicates
        if 0 <= draw < fleet.late:
            behind = DEFAULT_RULES.lateness_ms + self.chance.randrange(2_000, 30_000)
            return self._breath(self._somebody(), max(0, at - behind))
        return None

    def act(self, at: int) -> list[Event]:
        """What the next person does; walking to another room is two events, everything else one."""
        chance = self.chance
        number = self._somebody()
        person = self.people[number]
        self._live(person, at)
        if person.out or chance.random() < self.fleet.opts:
            return [self._toggle(person, at)]
        action = chance.choices(self.actions, self.shares)[0]
        waiting = person.room.gesture
        if waiting is not None and at - waiting[2] <= ANSWER_MS and chance.random() < 0.45:
            return [self._event(person, at, waiting[0], waiting[1])]
        if action == "WALK":
            return self._walk(number, at)
        if action == BREATH:
            return [self._breath(number, at)]
        data = self._data(person, action)
        if data is None:
            return [self._breath(number, at)]
        event = self._event(person, at, action, data)
        if action in GESTURES and event.target is None:
            person.room.gesture = (action, data, at)
        return [event]

    def _somebody(self) -> int:
        return self.chance.randrange(len(self.people))

    def _live(self, person: Person, at: int) -> None:
        """Move a person's body and breath on to ``at``: own rate, the room's pull (Kuramoto), a little drift."""
        chance, room = self.chance, person.room
        seconds = min(5.0, (at - person.moved) / 1000)
        person.moved = at
        share = len(room.people) or 1
        room.cosine -= math.cos(person.phase)
        room.sine -= math.sin(person.phase)
        strength = math.hypot(room.cosine, room.sine) / share
        pull = COUPLING * strength * math.sin(math.atan2(room.sine, room.cosine) - person.phase)
        ahead = math.tau * (person.rate - BREATHS) / 60
        person.phase += (ahead + pull) * seconds + chance.gauss(0.0, DRIFT) * math.sqrt(seconds)
        person.phase %= math.tau
        room.cosine += math.cos(person.phase)
        room.sine += math.sin(person.phase)
        step = 0.4 * math.sqrt(seconds)
        person.x = _within(person.x + chance.gauss(0.0, step), room.x)
        person.y = _within(person.y + chance.gauss(0.0, step), room.y)

    def _breath(self, number: int, at: int) -> Event:
        person = self.people[number]
        common = math.tau * BREATHS / 60 * (at - self.fleet.start) / 1000
        phase = (person.phase + common) % math.tau
        return self._event(person, at, BREATH, Breath(phase=round(phase, 4), rate=round(person.rate, 2)))

    def _walk(self, number: int, at: int) -> list[Event]:
        person = self.people[number]
        left = self._event(person, at, LEAVE, Data())
        old, new = person.room, self.chance.choice(self.rooms)
        old.people.remove(number)
        old.cosine -= math.cos(person.phase)
        old.sine -= math.sin(person.phase)
        person.room = new
        person.x, person.y = _within(person.x, new.x), _within(person.y, new.y)
        _sit(new, person, number)
        return [left, self._event(person, at, ENTER, Data())]

    def _toggle(self, person: Person, at: int) -> Event:
        person.out = not person.out
        return self._event(person, at, OPT_OUT if person.out else OPT_IN, Data())

    def _data(self, person: Person, action: str) -> Data | None:
        """The data of an action; None where it needs somebody and nobody is there."""
        chance = self.chance
        if action == SPIRAL:
            return Spiral(
                angle=round(chance.uniform(0, math.tau), 3),
                radius=round(chance.uniform(0.2, 3.0), 3),
                turns=round(chance.uniform(0.5, 5.0), 2),
                direction=chance.choice(("in", "out")),
            )
        if action == BLOOM:
            return Bloom(radius=round(chance.uniform(0.2, 4.0), 3), petals=chance.randrange(5, 13))
        if action == SACRED_PHRASE:
            return Phrase(phrase=chance.choice(PHRASES), language=chance.choice(LANGUAGES))
        if action == FIELD:
            return self._quantum(person)
        if action == TOUCH and chance.random() >= 0.3:
            return Touch(pressure=round(chance.random(), 3))
        return self._towards(person, action)

    def _towards(self, person: Person, action: str) -> Data | None:
        """TOUCH, ENTANGLE and RELEASE with somebody: mostly one's own neighbour, so that bonds come about."""
        if action == RELEASE:
            return Release(target_device=person.bonds.pop()) if person.bonds else None
        others = person.room.people
        number = int(person.name.rpartition("-")[2])
        other = self.people[others[(others.index(number) + 1) % len(others)]].name
        if other == person.name:
            return None
        if action == TOUCH:
            return Touch(pressure=round(self.chance.random(), 3), target_device=other)
        if len(person.bonds) < 4:
            person.bonds.append(other)
        return Entangle(target_device=other, kind="bond", intensity=round(self.chance.uniform(0.3, 1.0), 3))

    def _quantum(self, person: Person) -> Quantum:
        chance = self.chance
        harmonics = tuple(
            Harmonic(
                x=round(person.x + chance.uniform(-5, 5), 2),
                y=round(person.y + chance.uniform(-5, 5), 2),
                frequency=round(chance.uniform(0.1, 8.0), 3),
                amplitude=round(chance.random(), 3),
                phase=round(chance.uniform(0, math.tau), 3),
            )
            for _ in range(chance.randrange(1, 5))
        )
        return Quantum(harmonics=harmonics, phase=round(person.phase, 4), resonance=round(chance.random(), 3))

    def _event(self, person: Person, at: int, kind: str, data: Data) -> Event:
        person.seq += 1
        target = getattr(data, "target_device", None)
        room = None if kind in (OPT_OUT, OPT_IN) else person.room.name
        if kind in (ENTANGLE, RELEASE):
            room = None  # a bond of two is theirs, not the room's
        weighed = kind in (BREATH, SPIRAL, BLOOM, TOUCH, SACRED_PHRASE)
        # In step with the others, people give more of themselves: so coherence shows in resonance.
        strength = math.hypot(person.room.cosine, person.room.sine) / (len(person.room.people) or 1)
        intensity = min(1.0, max(0.0, self.chance.gauss(0.35 + 0.4 * strength, 0.12))) if weighed else 0.0
        return Event(
            timestamp=max(0, at - self.chance.randrange(DELAY_MS_MAX)),
            id=_uuid4(self.ids),
            type=kind,
            device_id=person.name,
            key=routing_key(person.name, room, target),
            intensity=to_millionths(round(intensity, 4)),
            seq=person.seq,
            epoch=self.fleet.start,
            x=round(person.x, 2),
            y=round(person.y, 2),
            room_id=room,
            target=target,
            data=data,
        )


def malformed(chance: random.Random, event: Event) -> bytes:
    """Bytes that are no event: one of the ways in which devices really get it wrong."""
    good = (
        f'{{"id":"{event.id}","type":"BREATH","device_id":"{event.device_id}","room_id":"{event.room_id}",'
        f'"timestamp":{event.timestamp},"seq":{event.seq},"epoch":{event.epoch},'
        f'"intensity":{event.intensity / MILLION},'
        f'"data":{{"phase":1.5}},"v":1}}'
    )
    ways = (
        good[: chance.randrange(1, len(good) - 1)],
        good.replace('"BREATH"', '"SNEEZE"'),
        good.replace('"phase":1.5', '"phase":NaN'),
        good.replace(event.id, "not-a-uuid"),
        good.replace(event.device_id, "device with spaces"),
        good.replace('"v":1', '"v":99'),
        good.replace('"phase":1.5', '"rate":12'),
        good.replace(f'"timestamp":{event.timestamp}', '"timestamp":"yesterday"'),
        good.replace('"phase":1.5', '"phase":' + "[" * 40 + "]" * 40),
    )
    way = chance.randrange(len(ways) + 1)
    if way == len(ways):
        return b'\xff\xfe{"id":"' + event.id.encode() + b'"}'
    return ways[way].encode()


def _sit(room: Room, person: Person, number: int) -> None:
    room.people.append(number)
    room.cosine += math.cos(person.phase)
    room.sine += math.sin(person.phase)


def _within(value: float, middle: float) -> float:
    return min(middle + ROOM_REACH, max(middle - ROOM_REACH, value))


def _uuid4(chance: random.Random) -> str:
    bits = (chance.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62)) | (0x4 << 76) | (0x2 << 62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
