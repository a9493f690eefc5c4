"""The story that the golden log tells. It was written down once, by ``python -m tests.golden.write log``.

``log.jsonl`` is what counts: it is read by every later version of the code and never written again. A new version
of an event is added at its end.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from streams import events as ev
from streams.validate import read_record
from streams.wire import encode_frame

START_MS: Final = 1_750_000_000_000
ROOMS: Final = ("hall", "garden", None)
DEVICES: Final = ("ana", "ben", "cid", "dia", "eve")


class Record(NamedTuple):
    """A record of the log: received (epoch ms) and value."""

    received: int
    value: bytes


_counter = 0


def say(kind: str, second: float, device: str, room: str | None = "hall", **more: Any) -> dict[str, Any]:
    """A JSON event, ``second`` after the start; ids rise in the order of saying."""
    global _counter
    _counter += 1
    plain = {
        "id": f"0197746f-0000-7000-9000-{_counter:012x}",
        "type": kind,
        "device_id": device,
        "room_id": room,
        "timestamp": START_MS + round(second * 1_000),
        "v": 1,
    }
    if kind in ev.WEIGHED:
        plain["intensity"] = 0.5
    return {name: value for name, value in (plain | more).items() if value is not None}


def story() -> Iterator[Record]:
    """All records in order."""
    for chapter in (
        gathering(),
        echoes(),
        bonds(),
        sequences(),
        disorder(),
        leaving(),
        crowd(),
        bad_ones(),
        much_later(),
    ):
        yield from chapter


def gathering() -> Iterator[Record]:
    yield one(say("ENTER", 0, "ana"))
    yield one(say("ENTER", 0.2, "ben", user_id="u-1"))
    yield many([say("BREATH", 1 + at, name, data={"phase": at / 2, "rate": 12}) for at, name in enumerate(DEVICES)])
    old = [say("BREATH", 6 + at / 4, name, v=None, data={"phase": 45.5 * at - 90}) for at, name in enumerate(DEVICES)]
    yield one(old[0])  # version 0 alone, in a batch, and with a time in words
    yield many(old[1:4])
    yield one(old[4] | {"timestamp": "2025-06-15T17:06:47.1239+02:00"})
    field = {"harmonics": [{"x": 1, "y": -2.5, "frequency": 7.83, "amplitude": 0.5, "phase": 0.1}], "resonance": 0.25}
    yield one(say("FIELD", 8, "eve", data=field | {"phase": 3}))
    yield one(say("FIELD", 8, "eve", room=None))


def echoes() -> Iterator[Record]:
    """Gestures in the same and the next second; near, far and nowhere; touches that are meant."""
    near, far = {"x": 1, "y": 1}, {"x": 50, "y": 50, "z": 1.5}
    for second in (10.1, 12.2, 14.9):
        yield one(say("SPIRAL", second, "ana", position=near, data={"turns": 2, "direction": "left"}))
        yield one(say("SPIRAL", second + 0.5, "ben", data={"direction": 1, "angle": 0.25, "radius": 3}))
        yield one(say("SPIRAL", second + 0.6, "cid", position=far))
    for second in (20, 21, 22, 23):
        pair = [
            say("SACRED_PHRASE", second, name, data={"phrase": "ab" * 16, "language": "de"}) for name in ("dia", "eve")
        ]
        yield frame(pair)
    for second in (24, 25, 26):
        touch = say("TOUCH", second, "cid", room=None, data={"target_device": "ana", "pressure": 2})
        yield many([touch, say("BLOOM", second, "ben", position=near, data={"radius": 1.5, "petals": 5})])
    yield one(say("TOUCH", 26.5, "dia"))


def bonds() -> Iterator[Record]:
    yield one(say("ENTANGLE", 30, "ana", data={"target_device": "eve", "kind": "twin", "intensity": 0.75}))
    yield one(say("ENTANGLE", 31, "ben", room=None, data={"target_device": "ana"}))
    yield one(say("RELEASE", 33, "ana", room=None, data={"target_device": "ben"}))
    yield one(say("ENTANGLE", 34, "ben", room=None, data={"target_device": "cid"}))


def sequences() -> Iterator[Record]:
    """Numbers that come twice, out of order, too late, and anew; ids that come twice."""
    numbered = [say("BLOOM", 35 + at / 10, "dia", seq=at, epoch=1) for at in (1, 3, 2, 70, 69, 4, 70)]
    yield from map(one, numbered)
    yield one(numbered[1])
    yield frame([numbered[3], numbered[2]])
    yield one(say("BLOOM", 43, "dia", seq=1, epoch=2))
    yield one(say("BLOOM", 43.5, "dia", seq=71, epoch=1))
    same = say("BLOOM", 44, "eve", room="garden")
    yield many([same, same | {"intensity": 0.25}, same | {"id": same["id"].upper()}])


def disorder() -> Iterator[Record]:
    """Behind by less and by more than ten seconds."""
    yield one(say("BREATH", 60, "ana", data={"phase": 1}))
    for second in (59, 51.5, 50, 49.999, 40):
        yield one(say("BREATH", second, "ben", data={"phase": 2}))
    yield many([say("LEAVE", 58, "cid"), say("ENTER", 57, "cid"), say("SPIRAL", 56, "cid"), say("SPIRAL", 56.5, "ana")])


def leaving() -> Iterator[Record]:
    """Out, unheard while out, in again; twice the same toggle."""
    out = say("OPT_OUT", 65, "cid", room=None)
    yield one(out)
    yield one(out)
    yield one(say("SACRED_PHRASE", 66, "cid", data={"phrase": "0123456789abcdef"}))
    yield one(say("TOUCH", 67, "ana", data={"target_device": "cid"}))
    yield frame([say("OPT_IN", 70, "cid", room=None), say("ENTER", 71, "cid")])
    yield one(say("SPIRAL", 72, "cid", room="garden"))


def crowd() -> Iterator[Record]:
    """Frames and batches of a few hundred events, slightly out of order; seventy in one room for sixty-four seats."""
    chance = random.Random(64)
    yield frame([say("ENTER", 80 + at / 100, f"guest-{at}") for at in range(70)])
    for start in range(85, 125, 5):
        events = []
        for _ in range(40):
            kind = chance.choice(("BREATH", "SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE"))
            data = {"BREATH": {"phase": chance.randrange(-300, 300) / 64}, "SACRED_PHRASE": {"phrase": "5a" * 8}}.get(
                kind
            )
            place = {"x": chance.randrange(40) / 2, "y": chance.randrange(40) / 2} if chance.random() < 0.5 else None
            device = f"guest-{chance.randrange(70)}" if chance.random() < 0.5 else chance.choice(DEVICES)
            events.append(
                say(
                    kind,
                    start + chance.randrange(5_000) / 1_000,
                    device,
                    chance.choice(ROOMS),
                    data=data,
                    position=place,
                    intensity=chance.randrange(1_001) / 1_000,
                )
            )
        yield (frame if chance.random() < 0.5 else many)(events)


def bad_ones() -> Iterator[Record]:
    """What never was an event, alone and between good ones."""
    yield Record(START_MS + 130_000, b"no event")
    good, bad = say("BLOOM", 130, "ana"), say("BLOOM", 130, "ben", intensity=7)
    yield many([good, bad])
    yield one(say("BLOOM", 500, "ana"), received=130)


def much_later() -> Iterator[Record]:
    """After six minutes of silence the room opens anew."""
    yield one(say("BREATH", 500, "ana", data={"phase": 0.5}))
    yield frame([say("BLOOM", 501, "ben"), say("LEAVE", 502, "ana"), say("ENTER", 503, "dia")])


def one(plain: dict[str, Any], received: float | None = None) -> Record:
    return Record(_received([plain]) if received is None else START_MS + round(received * 1_000), _json(plain))


def many(plain: list[dict[str, Any]]) -> Record:
    return Record(_received(plain), _json(plain))


def frame(plain: list[dict[str, Any]]) -> Record:
    events = [one for one in read_record(_json(plain), 2 * START_MS) if isinstance(one, ev.Event)]
    assert len(events) == len(plain)
    return Record(_received(plain), encode_frame(events))


def _received(plain: list[dict[str, Any]]) -> int:
    """Half a second after the last event that has its time in numbers."""
    return 500 + max((one["timestamp"] for one in plain if isinstance(one["timestamp"], int)), default=START_MS)


def _json(plain: object) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()
