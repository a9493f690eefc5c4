"""Query parameters, strictly: one that is not known, comes twice or cannot be is a 400 that names it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple, NoReturn
from urllib.parse import parse_qsl

from starlette.requests import Request

from projections.gateway import positions
from projections.gateway.positions import Positions
from projections.gateway.problems import Problem
from streams.envelope import BOUND, ID_PATTERN, TIME_PATTERN
from streams.events import TIMESTAMP_MS_MAX

FIELDS_MAX: Final = 32
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_ID: Final = re.compile(ID_PATTERN)
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


class Parameters:
    """The parameters of one request, of which only ``known`` ones may be there. Every getter raises Problem (400)."""

    def __init__(self, request: Request, *known: str) -> None:
        self._given: dict[str, str] = {}
        for name, value in _pairs(request.scope["query_string"]):
            if name not in known:
                there = ", ".join(known) or "none"
                _refuse(name[:64], f"there is no such parameter here; known: {there}")
            if name in self._given:
                _refuse(name, "is given twice")
            self._given[name] = value

    def text(self, name: str) -> str | None:
        return self._given.get(name)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of ``choices``; the first where it is not given."""
        value = self._given.get(name, choices[0])
        return value if value in choices else _refuse(name, f"is none of {', '.join(choices)}")

    def some(self, name: str, known: tuple[str, ...]) -> tuple[str, ...] | None:
        """One or more of ``known``, with commas between, in the order of ``known``."""
        value = self._given.get(name)
        if value is None:
            return None
        wanted = value.split(",")
        if unknown := sorted(set(wanted) - set(known)):
            _refuse(name, f"{unknown[0][:64]!r} is none of {', '.join(known)}")
        return tuple(one for one in known if one in wanted)

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number within bounds."""
        value = self._given.get(name)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value) or not least <= float(value) <= most:
            _refuse(name, f"is no number from {least:g} to {most:g}")
        return float(value)

    def id(self, name: str) -> str | None:
        """A device's or room's id."""
        value = self._given.get(name)
        return value if value is None else checked_id(name, value)

    def limit(self, default: int, most: int) -> int:
        """How many rows: at least 1; more than ``most`` are ``most``."""
        value = self._given.get("limit")
        if value is None:
            return default
        if not _WHOLE.fullmatch(value) or int(value) < 1:
            _refuse("limit", "is not a whole number from 1 on")
        return min(int(value), most)

    def time(self, name: str) -> int | None:
        """RFC 3339, or milliseconds since 1970."""
        value = self._given.get(name)
        if value is None:
            return None
        if _WHOLE.fullmatch(value) and int(value) <= TIMESTAMP_MS_MAX:
            return int(value)
        if not _TIME.match(value):  # "+" of an offset that was not escaped has become a space
            _refuse(name, "is neither RFC 3339 (a + in it is written %2B) nor milliseconds, 1970 to 9999")
        try:
            at = datetime.fromisoformat(re.sub(r"\.([0-9]+)", _milliseconds, value.upper()))
            return int(at.timestamp() * 1000 + 0.5)
        except (ValueError, OverflowError):
            return _refuse(name, "is no time of the calendar")

    def box(self, name: str = "box") -> Box | None:
        """``x0,y0,x1,y1``."""
        value = self._given.get(name)
        if value is None:
            return None
        parts = value.split(",")
        if len(parts) != 4 or not all(_NUMBER.fullmatch(part) for part in parts):
            _refuse(name, "is not x0,y0,x1,y1")
        box = Box(*map(float, parts))
        if not all(-BOUND <= edge <= BOUND for edge in box):
            _refuse(name, f"is beyond {BOUND:g}")
        if box.x0 > box.x1 or box.y0 > box.y1:
            _refuse(name, "has its first corner above its second")
        return box

    def points(self, name: str, most: int) -> tuple[tuple[float, float], ...]:
        """``x,y;x,y``; none where it is not given."""
        value = self._given.get(name)
        if value is None:
            return ()
        pairs = [part.split(",") for part in value.split(";")]
        if len(pairs) > most:
            _refuse(name, f"are {len(pairs)}, at most {most}")
        if not all(len(pair) == 2 and all(_NUMBER.fullmatch(part) for part in pair) for pair in pairs):
            _refuse(name, "are not x,y;x,y")
        found = tuple((float(x), float(y)) for x, y in pairs)
        if not all(-BOUND <= part <= BOUND for pair in found for part in pair):
            _refuse(name, f"are beyond {BOUND:g}")
        return found

    def at_least(self, partitions: int) -> Positions:
        """Positions that the answer has to reflect; empty: any will do."""
        value = self._given.get("at_least")
        if value is None:
            return {}
        try:
            return positions.parse(value, partitions)
        except ValueError as error:
            return _refuse("at_least", str(error))


def checked_id(name: str, value: str) -> str:
    """An id that can be one; raises Problem."""
    return value if _ID.match(value) else _refuse(name, "is no id: 1 to 64 of A-Z, a-z, 0-9, _ . : and -")


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        found = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except UnicodeDecodeError:
        raise Problem(400, "bad_query", "the query is not UTF-8") from None
    except ValueError:
        raise Problem(400, "bad_query", f"the query has more than {FIELDS_MAX} parameters") from None
    for name, value in found:
        if _CONTROL.search(name) or _CONTROL.search(value):
            shown = _CONTROL.sub("?", name)[:64]
            raise Problem(400, "bad_parameter", f"{shown}: has control characters", parameter=shown)
    return found


def _milliseconds(fraction: re.Match[str]) -> str:
    """Cut, not rounded, as times of events are."""
    return "." + fraction.group(1)[:3].ljust(3, "0")


def _refuse(name: str, why: str) -> NoReturn:
    raise refused(name, why)


def refused(name: str, why: str) -> Problem:
    """The problem with a parameter."""
    return Problem(400, "bad_parameter", f"{name}: {why}", parameter=name)
