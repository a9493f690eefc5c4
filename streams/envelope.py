"""The JSON envelope, version 1, as msgspec reads it, and the checks that make an ``Event`` of it.

Pure. ``build`` is the one gate: JSON objects, arrays, upcast events and rows of a frame all pass it,
so that the same event has the same verdict in every form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec

from streams import events as ev
from streams.errors import WireError

BOUND: Final = 1e9
"""Largest absolute coordinate, frequency and amplitude: far beyond any room, far below where floats get coarse."""
ANGLE: Final = 1e6
"""Largest absolute angle (radians; degrees in BREATH v0), and largest radius, turns and pressure."""
RATE: Final = 1_000
PETALS: Final = 10_000
HARMONICS: Final = 64
SEQ_MAX: Final = 2**63 - 1

# (?!\n) because Python's $ also matches before a last newline; other dialects read the pattern alike.
ID_PATTERN: Final = r"^[A-Za-z0-9_.:-]{1,64}(?!\n)$"
UUID_PATTERN: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?!\n)$"
PHRASE_PATTERN: Final = r"^[0-9a-f]{16,128}(?!\n)$"
LANGUAGE_PATTERN: Final = r"^[A-Za-z0-9-]{2,35}(?!\n)$"

_LEAP: Final = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE: Final = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
# The first and the last day are read only where no offset can lead out of 0..TIMESTAMP_MS_MAX.
TIME_PATTERN: Final = (
    r"^(?=19[7-9]|[2-9])(?!1970-01-01.*\+(?!00:00))(?!9999-12-31.*-)"
    rf"{_DATE}[Tt]{_CLOCK}:[0-5][0-9](?:\.([0-9]{{1,64}}))?(?:[Zz]|([+-])({_CLOCK}))(?!\n)$"
)
"""RFC 3339 without leap seconds, 1970 to 9999, the calendar's own days only."""

_id_match: Final = re.compile(ID_PATTERN).match
_uuid_match: Final = re.compile(UUID_PATTERN).match
_phrase_match: Final = re.compile(PHRASE_PATTERN).match
_language_match: Final = re.compile(LANGUAGE_PATTERN).match
_time_match: Final = re.compile(TIME_PATTERN).match
_NO_DATA: Final = ev.Data()


class Limits(NamedTuple):
    """What one event may be, apart from its schema: milliseconds, bytes, levels of nesting."""

    skew_ms_max: int = 60_000
    event_bytes_max: int = 65_536
    depth_max: int = 16


LIMITS: Final = Limits()


class Position(msgspec.Struct, frozen=True, gc=False):
    x: float
    y: float
    z: float | None = None


class Envelope(msgspec.Struct, tag_field="type", kw_only=True, gc=False):
    """What all types have. A subclass is one type: its tag is ``type``, its ``data`` the class of it."""

    id: str
    device_id: str
    timestamp: int | float | str
    v: Literal[1]
    user_id: str | None = None
    room_id: str | None = None
    seq: int | None = None
    epoch: int | None = None
    intensity: float | None = None
    position: Position | None = None


class Breath(Envelope, tag=ev.BREATH, kw_only=True, gc=False):
    data: ev.Breath


class Spiral(Envelope, tag=ev.SPIRAL, kw_only=True, gc=False):
    data: ev.Spiral | None = None


class Bloom(Envelope, tag=ev.BLOOM, kw_only=True, gc=False):
    data: ev.Bloom | None = None


class Touch(Envelope, tag=ev.TOUCH, kw_only=True, gc=False):
    data: ev.Touch | None = None


class Phrase(Envelope, tag=ev.SACRED_PHRASE, kw_only=True, gc=False):
    data: ev.Phrase


class Quantum(Envelope, tag=ev.FIELD, kw_only=True, gc=False):
    data: ev.Quantum | None = None


class Entangle(Envelope, tag=ev.ENTANGLE, kw_only=True, gc=False):
    data: ev.Entangle


class Release(Envelope, tag=ev.RELEASE, kw_only=True, gc=False):
    data: ev.Release


class Enter(Envelope, tag=ev.ENTER, kw_only=True, gc=False):
    data: ev.Data | None = None


class Leave(Envelope, tag=ev.LEAVE, kw_only=True, gc=False):
    data: ev.Data | None = None


class OptOut(Envelope, tag=ev.OPT_OUT, kw_only=True, gc=False):
    data: ev.Data | None = None


class OptIn(Envelope, tag=ev.OPT_IN, kw_only=True, gc=False):
    data: ev.Data | None = None


AnyEnvelope = Breath | Spiral | Bloom | Touch | Phrase | Quantum | Entangle | Release | Enter | Leave | OptOut | OptIn
NEEDS_ROOM: Final = frozenset((ev.ENTER, ev.LEAVE))
NEEDS_DATA: Final = frozenset((ev.BREATH, ev.SACRED_PHRASE, ev.ENTANGLE, ev.RELEASE))

decode: Final[Callable[[bytes], AnyEnvelope]] = msgspec.json.Decoder(AnyEnvelope).decode


def build(envelope: AnyEnvelope) -> ev.Event:
    """The event of an envelope whose types are right; raises WireError with the reason otherwise."""
    kind: str = _TAGS[type(envelope)]
    uuid = envelope.id
    if _uuid_match(uuid) is None:
        raise WireError("bad_id", f"id {uuid[:80]!a} is not a UUID")
    device = known_id(envelope.device_id)
    room = envelope.room_id
    if room is not None:
        room = known_id(room)
    elif kind in NEEDS_ROOM:
        raise WireError("missing_field", "room_id")
    user = envelope.user_id
    if user is not None:
        user = known_id(user)
    intensity = envelope.intensity
    if intensity is None:
        if kind in ev.WEIGHED:
            raise WireError("missing_field", "intensity")
        intensity = 0.0
    elif not 0.0 <= intensity <= 1.0:
        raise WireError("bad_value", "intensity is outside 0..1")
    seq = envelope.seq
    if seq is not None and not 0 <= seq <= SEQ_MAX:
        raise WireError("bad_value", "seq is outside 0..2^63-1")
    epoch = envelope.epoch or 0
    if not 0 <= epoch <= SEQ_MAX:
        raise WireError("bad_value", "epoch is outside 0..2^63-1")
    x, y, z = _place(envelope.position)
    data, target = CHECKS[kind](envelope.data)
    return ev.Event(
        to_ms(envelope.timestamp),
        uuid.lower(),
        kind,
        device,
        ev.routing_key(device, room, target),
        round(intensity * ev.MILLION),
        seq,
        epoch,
        x,
        y,
        z,
        room,
        user,
        target,
        data,
    )


@lru_cache(maxsize=65_536)
def known_id(text: str) -> str:
    """The same string for the same id, checked once; a bad one raises WireError and is not remembered."""
    if _id_match(text) is None:
        raise WireError("bad_id", f"{text[:80]!a} is not 1 to 64 of A-Z a-z 0-9 _ . : -")
    return text


def to_ms(value: int | float | str) -> int:
    """Event time in whole milliseconds since 1970, truncated; raises WireError (bad_timestamp)."""
    if isinstance(value, str):
        match = _time_match(value)
        if match is None:
            raise WireError("bad_timestamp", f"{value[:80]!a} is not RFC 3339 of 1970 to 9999")
        fraction, sign, offset = match.groups()
        ms = _minute(value[:16]) * 60_000 + int(value[17:19]) * 1_000
        if fraction is not None:
            ms += int(fraction[:3].ljust(3, "0"))
        if sign is None:
            return ms
        away = (int(offset[:2]) * 60 + int(offset[3:])) * 60_000
        return ms - away if sign == "+" else ms + away
    if not 0 <= value <= ev.TIMESTAMP_MS_MAX:
        raise WireError("bad_timestamp", f"{str(value)[:80]} is outside 0..{ev.TIMESTAMP_MS_MAX}")
    return math.floor(value)


@lru_cache(maxsize=4_096)
def _minute(text: str) -> int:
    """Whole minutes from 1970 to ``YYYY-MM-DDTHH:MM``, by the Gregorian calendar."""
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    year -= month <= 2  # years begin in March here: the leap day is the last of its year
    days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719_469
    return days * 1_440 + int(text[11:13]) * 60 + int(text[14:16])


def _place(position: Position | None) -> tuple[float | None, float | None, float | None]:
    if position is None:
        return None, None, None
    x, y, z = position.x, position.y, position.z
    if -BOUND <= x <= BOUND and -BOUND <= y <= BOUND and (z is None or -BOUND <= z <= BOUND):
        return x, y, z
    raise WireError("bad_value", f"position is outside {-BOUND:g}..{BOUND:g}")


def _within(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise WireError("bad_value", f"data.{name} is outside {low:g}..{high:g}")


def _breath(data: ev.Breath) -> tuple[ev.Data, None]:
    rate = data.rate
    if not -ANGLE <= data.phase <= ANGLE or not (rate is None or 0 <= rate <= RATE):
        _within("phase", data.phase, -ANGLE, ANGLE)
        _within("rate", rate, 0, RATE)
    return data, None


def _spiral(data: ev.Spiral | None) -> tuple[ev.Data, None]:
    if data is None:
        return ev.Spiral(), None
    _within("angle", data.angle, -ANGLE, ANGLE)
    _within("radius", data.radius, 0, ANGLE)
    _within("turns", data.turns, -ANGLE, ANGLE)
    direction = data.direction
    if isinstance(direction, str):
        if _id_match(direction) is None:
            raise WireError("bad_value", f"data.direction {direction[:80]!a}")
    else:
        _within("direction", direction, -1, 1)
    return data, None


def _bloom(data: ev.Bloom | None) -> tuple[ev.Data, None]:
    if data is None:
        return ev.Bloom(), None
    _within("radius", data.radius, 0, ANGLE)
    _within("petals", data.petals, 0, PETALS)
    return data, None


def _touch(data: ev.Touch | None) -> tuple[ev.Data, str | None]:
    if data is None:
        return ev.Touch(), None
    _within("pressure", data.pressure, 0, ANGLE)
    target = data.target_device
    return data, None if target is None else known_id(target)


def _phrase(data: ev.Phrase) -> tuple[ev.Data, None]:
    if _phrase_match(data.phrase) is None:
        raise WireError("bad_value", "data.phrase is not a digest of 16 to 128 lower-case hexadecimal digits")
    if data.language is not None and _language_match(data.language) is None:
        raise WireError("bad_value", f"data.language {data.language[:80]!a}")
    return data, None


def _quantum(data: ev.Quantum | None) -> tuple[ev.Data, None]:
    if data is None:
        return ev.Quantum(), None
    if len(data.harmonics) > HARMONICS:
        raise WireError("bad_value", f"data.harmonics has more than {HARMONICS}")
    for one in data.harmonics:
        if not all(-BOUND <= part <= BOUND for part in (one.x, one.y, one.frequency, one.amplitude, one.phase)):
            raise WireError("bad_value", f"data.harmonics is outside {-BOUND:g}..{BOUND:g}")
    _within("phase", data.phase, -ANGLE, ANGLE)
    _within("resonance", data.resonance, 0, 1)
    return data, None


def _entangle(data: ev.Entangle) -> tuple[ev.Data, str]:
    known_id(data.kind)
    _within("intensity", data.intensity, 0, 1)
    return data, known_id(data.target_device)


def _release(data: ev.Release) -> tuple[ev.Data, str]:
    return data, known_id(data.target_device)


def _nothing(data: ev.Data | None) -> tuple[ev.Data, None]:
    return _NO_DATA, None


CHECKS: Final[Mapping[str, Callable[[Any], tuple[ev.Data, str | None]]]] = {
    ev.BREATH: _breath,
    ev.SPIRAL: _spiral,
    ev.BLOOM: _bloom,
    ev.TOUCH: _touch,
    ev.SACRED_PHRASE: _phrase,
    ev.FIELD: _quantum,
    ev.ENTANGLE: _entangle,
    ev.RELEASE: _release,
    ev.ENTER: _nothing,
    ev.LEAVE: _nothing,
    ev.OPT_OUT: _nothing,
    ev.OPT_IN: _nothing,
}
CLASSES: Final[Mapping[str, type[AnyEnvelope]]] = {str(one.__struct_config__.tag): one for one in AnyEnvelope.__args__}
_TAGS: Final[Mapping[type[AnyEnvelope], str]] = {one: tag for tag, one in CLASSES.items()}
