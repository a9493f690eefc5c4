"""What JSON lets pass and the field does not: keys that stand twice, NUL, half characters, numbers beyond all numbers.

Pure. Readers of JSON disagree about such text (which of two keys counts?), so it is refused rather than guessed at.
Most events are read fast and only counted; where a count or a backslash looks odd they are read again with care.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import msgspec

BITS_MAX: Final = 1_023
"""A whole number with more bits is none that a float could hold."""
DIGITS_MAX: Final = 309
DETAIL_MAX: Final = 200


class Fault(NamedTuple):
    """``reason`` names it for programs, ``detail`` (ASCII) for people."""

    reason: str
    detail: str


class _Found(ValueError):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(reason, detail.encode("ascii", "backslashreplace").decode()[:DETAIL_MAX])


_decode: Final = msgspec.json.Decoder().decode


def fault(text: bytes) -> Fault | None:
    """The first such thing in a JSON text, None when there is none. Text that is no JSON has one, too."""
    if b"\\" not in text:
        try:
            keys = _count(_decode(text))
        except (ValueError, RecursionError):
            return _careful(text)
        # without escapes every second piece between quotes is a string, and each colon outside of them has a key
        if keys == b"".join(text.split(b'"')[::2]).count(b":"):
            return None
    return _careful(text)


def _count(value: Any) -> int:
    """Keys in all objects of a value; raises ValueError for a number that is too large."""
    if isinstance(value, dict):
        return len(value) + sum([_count(one) for one in value.values() if not isinstance(one, str | float)])
    if isinstance(value, list):
        return sum([_count(one) for one in value if not isinstance(one, str | float)])
    if isinstance(value, int) and value.bit_length() > BITS_MAX:
        raise ValueError("too large")
    return 0


def _careful(text: bytes) -> Fault | None:
    try:
        value = json.loads(
            text.decode(), object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_whole, parse_float=_float
        )
        if isinstance(value, str):
            _check(value)
        elif isinstance(value, list):
            _check_all(value)
    except _Found as found:
        return found.fault
    except UnicodeDecodeError as error:
        return Fault("not_utf8", f"byte {error.start}")
    except json.JSONDecodeError as error:
        return Fault("malformed_json", f"{error.msg}, character {error.pos}")
    except RecursionError:
        return Fault("too_deep", "nested beyond reading")
    return None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        _check(key)
        if key in found:
            raise _Found("duplicate_key", f"{key[:80]!a} stands twice in one object")
        found[key] = value
        if isinstance(value, str):
            _check(value)
        elif isinstance(value, list):
            _check_all(value)
    return found


def _check_all(values: list[Any]) -> None:
    for value in values:
        if isinstance(value, str):
            _check(value)
        elif isinstance(value, list):
            _check_all(value)


def _check(text: str) -> None:
    if "\0" in text:
        raise _Found("nul", f"the character NUL in {text[:80]!a}")
    if not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text):
        raise _Found("lone_surrogate", f"half a character in {text[:80]!a}")


def _constant(name: str) -> Any:
    raise _Found("not_finite", f"{name} is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise _Found("not_finite", f"a number of {len(digits)} digits")
    value = int(digits)
    if value.bit_length() > BITS_MAX:
        raise _Found("not_finite", f"a number of {len(digits)} digits")
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Found("not_finite", f"{text[:80]} is beyond all numbers")
    return value
