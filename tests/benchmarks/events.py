"""The events of the benchmarks: seeded, spread over devices and rooms, the five common types alike often."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

from streams import events as ev

START_MS = 1_700_000_000_000
_PHRASES = [f"{n:032x}" for n in range(16)]


def events(count: int, *, devices: int, rooms: int, rate: int, seed: int) -> Iterator[ev.Event]:
    """``count`` events at ``rate`` a second of event time; half of the devices are in a room, half by themselves."""
    rnd = random.Random(seed)
    sent: dict[int, int] = {}
    for number in range(count):
        device = rnd.randrange(devices)
        sent[device] = sent.get(device, 0) + 1
        kind = rnd.choice((ev.BREATH, ev.SPIRAL, ev.BLOOM, ev.TOUCH, ev.SACRED_PHRASE))
        room = f"room-{device % rooms:03d}" if rooms and device % 2 else None
        name = f"device-{device:06d}"
        yield ev.Event(
            timestamp=START_MS + number * 1000 // rate,
            id=str(uuid.UUID(int=rnd.getrandbits(128))),
            type=kind,
            device_id=name,
            key=room or name,
            intensity=rnd.randrange(1_000_001),
            seq=sent[device],
            x=round(rnd.uniform(-50, 50), 3),
            y=round(rnd.uniform(-50, 50), 3),
            room_id=room,
            data=_data(kind, rnd),
        )


def _data(kind: str, rnd: random.Random) -> ev.Data:
    if kind == ev.BREATH:
        return ev.Breath(round(rnd.uniform(0, 6.283), 3), 14.0)
    if kind == ev.SACRED_PHRASE:
        return ev.Phrase(rnd.choice(_PHRASES), "en")
    return {ev.SPIRAL: ev.Spiral(turns=2.0), ev.BLOOM: ev.Bloom(radius=1.5), ev.TOUCH: ev.Touch(pressure=0.5)}[kind]
