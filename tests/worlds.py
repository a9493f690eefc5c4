"""Short ways to say what happened, for tests: ``say("ana", "BLOOM", 12.5, room="hall")``."""

from __future__ import annotations

from typing import Any

from streams.events import DATA_CLASSES, Data, Event, Harmonic, routing_key, to_millionths

START_S = 1_700_000_000
"""A moment that is also the start of a slot of ten seconds."""


def event_id(number: int, spread: int = 0) -> str:
    """A UUID; ``spread`` (0..2^32-1) decides how it sorts, ``number`` makes it distinct."""
    return f"{spread & 0xFFFFFFFF:08x}-0000-4000-8000-{number & 0xFFFFFFFFFFFF:012x}"


_counter = 0


def say(
    device: str,
    event_type: str,
    seconds: float,
    *,
    room: str | None = None,
    to: str | None = None,
    intensity: float = 0.5,
    at: tuple[float, ...] | None = None,
    seq: int | None = None,
    epoch: int = 0,
    **data: Any,
) -> Event:
    """An event ``seconds`` after START_S; ids rise in the order of saying unless ``id`` is given."""
    global _counter
    _counter += 1
    x, y, z = (*at, None, None)[:3] if at else (None, None, None)
    return Event(
        timestamp=round((START_S + seconds) * 1000),
        id=data.pop("id", event_id(_counter)),
        type=event_type,
        device_id=device,
        key=routing_key(device, room, to),
        intensity=to_millionths(intensity),
        seq=seq,
        epoch=epoch,
        x=x,
        y=y,
        z=z,
        room_id=room,
        target=to,
        data=data_of(event_type, to, data),
    )


def data_of(event_type: str, to: str | None, data: dict[str, Any]) -> Data:
    """The ``Data`` of a type, with plain defaults for what is required."""
    values = _REQUIRED.get(event_type, {}) | data
    if event_type in ("TOUCH", "ENTANGLE", "RELEASE"):
        values["target_device"] = to
    if "harmonics" in values:
        values["harmonics"] = tuple(Harmonic(*one) for one in values["harmonics"])
    return DATA_CLASSES.get(event_type, Data)(**values)


_REQUIRED = {"BREATH": {"phase": 0.0}, "SACRED_PHRASE": {"phrase": "0123456789abcdef"}}
