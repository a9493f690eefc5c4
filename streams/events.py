"""What an event is, once it is read: types, weights, the normalised ``Event``, its routing key.

Pure. Bytes become events in ``wire`` and ``validate``; nothing here knows JSON or Kafka.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

BREATH: Final = "BREATH"
SPIRAL: Final = "SPIRAL"
BLOOM: Final = "BLOOM"
TOUCH: Final = "TOUCH"
SACRED_PHRASE: Final = "SACRED_PHRASE"
FIELD: Final = "FIELD"
ENTANGLE: Final = "ENTANGLE"
RELEASE: Final = "RELEASE"
ENTER: Final = "ENTER"
LEAVE: Final = "LEAVE"
OPT_OUT: Final = "OPT_OUT"
OPT_IN: Final = "OPT_IN"

TYPES: Final = (
    BREATH, SPIRAL, BLOOM, TOUCH, SACRED_PHRASE, FIELD, ENTANGLE, RELEASE, ENTER, LEAVE, OPT_OUT, OPT_IN,
)  # fmt: skip
OPTS: Final = frozenset((OPT_OUT, OPT_IN))
WEIGHED: Final = frozenset((BREATH, SPIRAL, BLOOM, TOUCH, SACRED_PHRASE))

MILLION: Final = 1_000_000
TIMESTAMP_MS_MAX: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last RFC 3339 moment


class Data(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """``data`` of a type that has none; base of those that have."""


class Breath(Data, frozen=True, gc=False):
    phase: float
    """radians"""
    rate: float | None = None
    """breaths a minute"""


class Spiral(Data, frozen=True, gc=False):
    angle: float | None = None
    radius: float | None = None
    turns: float | None = None
    direction: str | int | None = None


class Bloom(Data, frozen=True, gc=False):
    radius: float | None = None
    petals: int | None = None


class Touch(Data, frozen=True, gc=False):
    pressure: float | None = None
    target_device: str | None = None


class Phrase(Data, frozen=True, gc=False):
    phrase: str
    """lower-case hexadecimal digest of the words, never the words"""
    language: str | None = None


class Harmonic(msgspec.Struct, frozen=True, gc=False):
    x: float
    y: float
    frequency: float
    amplitude: float
    phase: float


class Quantum(Data, frozen=True, gc=False):
    """``data`` of FIELD."""

    harmonics: tuple[Harmonic, ...] = ()
    phase: float = 0.0
    resonance: float | None = None


class Entangle(Data, frozen=True, gc=False):
    target_device: str
    kind: str = "bond"
    intensity: float = 1.0


class Release(Data, frozen=True, gc=False):
    target_device: str


DATA_CLASSES: Final[Mapping[str, type[Data]]] = MappingProxyType({
    BREATH: Breath,
    SPIRAL: Spiral,
    BLOOM: Bloom,
    TOUCH: Touch,
    SACRED_PHRASE: Phrase,
    FIELD: Quantum,
    ENTANGLE: Entangle,
    RELEASE: Release,
})  # fmt: skip
"""The class of ``data`` by type; a type that is not here has none (``Data``)."""


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One accepted-by-the-schema event, normalised.

    ``timestamp`` integer milliseconds; ``id`` lower-case UUID; ``intensity`` integer millionths;
    ``x, y, z`` as sent (``x`` and ``y`` come together); ``target`` is ``data.target_device``;
    ``key`` is the routing key; ``data`` is one of the ``Data`` classes above.
    """

    timestamp: int
    id: str
    type: str
    device_id: str
    key: str
    intensity: int = 0
    seq: int | None = None
    epoch: int = 0
    x: float | None = None
    y: float | None = None
    z: float | None = None
    room_id: str | None = None
    user_id: str | None = None
    target: str | None = None
    data: Data = Data()


def from_values(values: list[Any]) -> Event:
    """An event out of positional plain values, as ``Event`` encodes; ``data`` becomes the class of its type."""
    *plain, data = values
    plain.append(msgspec.convert(data, DATA_CLASSES.get(plain[2], Data)))
    return Event(*plain)


def routing_key(device_id: str, room_id: str | None, target: str | None) -> str:
    """Room, else the smaller id of a pair, else the device (DESIGN: one room is whole in one partition)."""
    if room_id is not None:
        return room_id
    if target is not None and target < device_id:
        return target
    return device_id


def to_millionths(value: float) -> int:
    """0..1 as integer millionths, round half even, so that sums never depend on their order."""
    return round(value * MILLION)
