"""Short ways to say what happened, for tests: ``say("ana", "BLOOM", 12.5, room="hall")``."""

from __future__ import annotations

from typing import Any

from streams.events import (
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
    match event_type:
        case "BREATH":
            return Breath(phase=data.get("phase", 0.0), rate=data.get("rate"))
        case "SPIRAL":
            return Spiral(**data)
        case "BLOOM":
            return Bloom(**data)
        case "TOUCH":
            return Touch(target_device=to, **data)
        case "SACRED_PHRASE":
            return Phrase(phrase=data.get("phrase", "0123456789abcdef"), language=data.get("language"))
        case "FIELD":
            harmonics = tuple(Harmonic(*values) for values in data.get("harmonics", ()))
            return Quantum(harmonics=harmonics, phase=data.get("phase", 0.0), resonance=data.get("resonance"))
        case "ENTANGLE":
            return Entangle(target_device=to or "", **data)
        case "RELEASE":
            return Release(target_device=to or "")
    return Data()
