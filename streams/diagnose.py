"""The careful way from bytes to an event: taken when the fast one fails, to accept or to say exactly why not.

Pure. It accepts what the schema accepts and msgspec's strict types do not (null for an optional field, ``1.0`` for
an integer, an older version), and names the first thing that is wrong with everything else.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any, Final

import msgspec

from streams import events as ev
from streams.envelope import CLASSES, Position, build
from streams.errors import WireError
from streams.upcast import UPCASTERS

_INT_DIGITS_MAX: Final = 400
"""Longer whole numbers are read as floats (as infinity, mostly): Python refuses, slowly, to make an int of them."""

# Possessive, and an open string runs to the end: linear time whatever the bytes.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_BRACKETS: Final = (b"[", b"]", b"{", b"}")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_PAIRS: Final = {b"]": b"[", b"}": b"{"}

_REASON_OF: Final = {
    "id": "bad_id",
    "device_id": "bad_id",
    "user_id": "bad_id",
    "room_id": "bad_id",
    "target_device": "bad_id",
    "kind": "bad_id",
    "timestamp": "bad_timestamp",
}


def read(piece: bytes) -> ev.Event:
    """One JSON object, carefully; raises WireError with the reason."""
    return from_plain(parse(piece))


def parse(piece: bytes) -> object:
    """JSON text as plain objects; raises WireError (not_utf8, malformed_json, not_finite, too_deep)."""
    check_utf8(piece)
    try:
        return json.loads(piece.decode("utf-8"), parse_constant=_refuse_constant, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise WireError("malformed_json", f"{error.msg}, character {error.pos}") from None
    except RecursionError:
        raise WireError("too_deep", "nested beyond reading") from None


def from_plain(plain: object) -> ev.Event:
    """The event of a parsed JSON object of any version; raises WireError with the reason."""
    if not isinstance(plain, dict):
        raise WireError("not_an_object", type(plain).__name__)
    kind = plain.get("type")
    if kind is None:
        raise WireError("missing_field", "type")
    if not isinstance(kind, str) or kind not in CLASSES:
        raise WireError("unknown_type", ascii(kind)[:80])
    if "v" not in plain:
        if kind not in UPCASTERS:
            raise WireError("unknown_version", f"{kind} has no version without v")
        plain = UPCASTERS[kind](plain)
    version = plain["v"]
    if isinstance(version, bool) or version != 1:
        raise WireError("unknown_version", ascii(version)[:80])
    return build(_struct(CLASSES[kind], plain, "", ev.DATA_CLASSES.get(kind, ev.Data)))


def check_utf8(text: bytes) -> None:
    """Raises WireError (not_utf8) when the bytes are no UTF-8."""
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError("not_utf8", f"byte {error.start}") from None


def deeper_than(text: bytes, depth_max: int) -> bool:
    """Whether objects and arrays nest deeper; counting brackets is cheap, and enough for nearly all events."""
    return text.count(b"{") + text.count(b"[") > depth_max and depth(text) > depth_max


def depth(text: bytes) -> int:
    """How deep objects and arrays nest; brackets within strings do not count."""
    if b"\\" in text:
        brackets = b"".join(match[0] for match in _TOKENS.finditer(text) if match[0] in _BRACKETS)
    else:  # without escapes every second piece between quotes is a string: much faster
        brackets = b"".join(text.split(b'"')[::2]).translate(None, _NO_BRACKETS)
    level = deepest = 0
    for one in brackets:
        level += 1 if one in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def pieces(array: bytes, pieces_max: int) -> list[bytes]:
    """The raw elements of a JSON array, found by brackets, commas and strings alone.

    So an element that is no JSON costs no other one. Raises WireError: malformed_json when the brackets of the whole
    do not match, too_large beyond ``pieces_max`` elements.
    """
    out: list[bytes] = []
    opened: list[bytes] = []
    start = end = 0
    for match in _TOKENS.finditer(array):
        token = match[0]
        if end:
            break
        if token in (b"[", b"{"):
            start = start if opened else match.end()
            opened.append(token)
        elif token in (b"]", b"}"):
            if not opened or opened.pop() != _PAIRS[token]:
                raise WireError("malformed_json", f"unmatched {token.decode()} at byte {match.start()}")
            end = 0 if opened else match.end()
        elif token == b"," and len(opened) == 1:
            out.append(array[start : match.start()].strip(b" \t\r\n"))
            start = match.end()
            if len(out) >= pieces_max:
                raise WireError("too_large", f"more than {pieces_max} events in one record")
    if not end or array[end:].strip(b" \t\r\n"):
        raise WireError("malformed_json", "the array does not end where the record does")
    last = array[start : end - 1].strip(b" \t\r\n")
    return [*out, last] if out or last else []


def _struct(cls: Any, plain: dict[str, Any], path: str, data: type[ev.Data] | None = None) -> Any:
    values = {}
    for field in _fields(cls):
        raw = plain.get(field.encode_name)
        name = path + field.encode_name
        if raw is None:
            if field.required:
                raise WireError("missing_field", name)
        elif field.name == "data" and data is not None:
            values["data"] = _struct(data, _object(raw, name), "data.")
        elif field.name == "position":
            values["position"] = _struct(Position, _object(raw, name), "position.")
        elif field.name == "harmonics":
            values["harmonics"] = _harmonics(raw, name)
        else:
            values[field.name] = _scalar(field, raw, name)
    return cls(**values)


@lru_cache(maxsize=64)
def _fields(cls: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(cls)  # takes half a millisecond: it reads the annotations anew


def _object(raw: object, name: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise WireError("bad_value", f"{name} is not an object")
    return raw


def _harmonics(raw: object, name: str) -> tuple[ev.Harmonic, ...]:
    if not isinstance(raw, list):
        raise WireError("bad_value", f"{name} is not an array")
    return tuple(_struct(ev.Harmonic, _object(one, f"{name}[{i}]"), f"{name}[{i}].") for i, one in enumerate(raw))


def _scalar(field: msgspec.structs.FieldInfo, raw: object, name: str) -> Any:
    if isinstance(raw, float) and not math.isfinite(raw):
        raise WireError("not_finite", name)
    try:
        return msgspec.convert(raw, field.type)
    except (ValueError, OverflowError) as error:  # what msgspec raises for a lone surrogate is a ValueError only
        if isinstance(raw, float) and raw.is_integer():  # JSON knows one kind of number: 1.0 is the integer 1
            return _scalar(field, int(raw), name)
        raise WireError(_REASON_OF.get(field.name, "bad_value"), f"{name}: {error}"[:200]) from None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _INT_DIGITS_MAX else float(digits)


def _refuse_constant(name: str) -> object:
    raise WireError("not_finite", f"{name} is not JSON")
