"""Numbers, boxes and times as callers write them: in query parameters as text, in JSON as numbers too. Pure.

Every function raises ValueError that says what is wrong, to be put behind the name of what was given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from streams.envelope import BOUND, TIME_PATTERN
from streams.events import TIMESTAMP_MS_MAX

_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,3})?")
_TIME: Final = re.compile(TIME_PATTERN)


class Box(NamedTuple):
    """A part of the plane, its edges included."""

    x0: float
    y0: float
    x1: float
    y1: float

    def has(self, x: float | None, y: float | None) -> bool:
        return x is not None and y is not None and self.x0 <= x <= self.x1 and self.y0 <= y <= self.y1


def number_of(value: Any, least: float, most: float) -> float:
    """A number within bounds."""
    found = _number(value)
    if found is None or not least <= found <= most:
        raise ValueError(f"is no number from {least:g} to {most:g}")
    return found


def point_of(pair: Sequence[Any]) -> tuple[float, float]:
    """``x``, ``y``."""
    found = [_number(part) for part in pair]
    if len(found) != 2 or found[0] is None or found[1] is None:
        raise ValueError("is not x,y")
    if not (-BOUND <= found[0] <= BOUND and -BOUND <= found[1] <= BOUND):
        raise ValueError(f"is beyond {BOUND:g}")
    return found[0], found[1]


def box_of(parts: Any) -> Box:
    """``x0``, ``y0``, ``x1``, ``y1``: a text with commas, or a list."""
    parts = parts.split(",") if isinstance(parts, str) else parts
    found = [_number(part) for part in parts] if isinstance(parts, list) else []
    if len(found) != 4 or None in found:
        raise ValueError("is not x0,y0,x1,y1")
    box = Box(*[edge for edge in found if edge is not None])
    if not all(-BOUND <= edge <= BOUND for edge in box):
        raise ValueError(f"is beyond {BOUND:g}")
    if box.x0 > box.x1 or box.y0 > box.y1:
        raise ValueError("has its first corner above its second")
    return box


def time_of(text: str) -> int:
    """RFC 3339, or milliseconds since 1970; in milliseconds, cut as times of events are."""
    if _WHOLE.fullmatch(text) and int(text) <= TIMESTAMP_MS_MAX:
        return int(text)
    if not _TIME.match(text):  # "+" of an offset that was not escaped has become a space
        raise ValueError("is neither RFC 3339 (a + in it is written %2B) nor milliseconds, 1970 to 9999")
    try:
        at = datetime.fromisoformat(re.sub(r"\.([0-9]+)", _milliseconds, text.upper()))
        return int(at.timestamp() * 1000 + 0.5)
    except (ValueError, OverflowError):
        raise ValueError("is no time of the calendar") from None


def whole_of(text: str) -> int | None:
    """A whole number from 0 on; None: it is none."""
    return int(text) if _WHOLE.fullmatch(text) else None


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _milliseconds(fraction: re.Match[str]) -> str:
    return "." + fraction.group(1)[:3].ljust(3, "0")
