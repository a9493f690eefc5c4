"""Query parameters, strictly: one that is not known, comes twice or cannot be is a 400 that names it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request

from projections.gateway.problems import Problem
from projections.gateway.written import Box, box_of, number_of, point_of, time_of, whole_of
from streams.envelope import ID_PATTERN

FIELDS_MAX: Final = 32
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_ID: Final = re.compile(ID_PATTERN)
T = TypeVar("T")


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
        return self._read(name, lambda value: number_of(value, least, most))

    def id(self, name: str) -> str | None:
        """A device's or room's id."""
        value = self._given.get(name)
        return value if value is None else checked_id(name, value)

    def limit(self, default: int, most: int) -> int:
        """How many rows: at least 1; more than ``most`` are ``most``."""
        value = self._given.get("limit")
        if value is None:
            return default
        found = whole_of(value)
        return min(found, most) if found else _refuse("limit", "is not a whole number from 1 on")

    def time(self, name: str) -> int | None:
        """RFC 3339, or milliseconds since 1970."""
        return self._read(name, time_of)

    def box(self, name: str = "box") -> Box | None:
        """``x0,y0,x1,y1``."""
        return self._read(name, box_of)

    def points(self, name: str, most: int) -> tuple[tuple[float, float], ...]:
        """``x,y;x,y``; none where it is not given."""
        value = self._given.get(name)
        if value is None:
            return ()
        pairs = value.split(";")
        if len(pairs) > most:
            _refuse(name, f"are {len(pairs)}, at most {most}")
        return self._read(name, lambda _: tuple(point_of(pair.split(",")) for pair in pairs)) or ()

    def _read(self, name: str, read: Callable[[str], T]) -> T | None:
        value = self._given.get(name)
        if value is None:
            return None
        try:
            return read(value)
        except ValueError as error:
            return _refuse(name, str(error))


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


def _refuse(name: str, why: str) -> NoReturn:
    raise refused(name, why)


def refused(name: str, why: str) -> Problem:
    """The problem with a parameter."""
    return Problem(400, "bad_parameter", f"{name}: {why}", parameter=name)
