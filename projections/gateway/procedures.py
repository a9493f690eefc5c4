"""The procedures of the tRPC interface: which REST path each one is, and its input as that path's parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlencode

BASE: Final = "/api/consciousness"
Input = Mapping[str, Any]


class Target(NamedTuple):
    """A REST path and its query string."""

    path: str
    query: str = ""


class Procedure(NamedTuple):
    """``target`` of a query's input; a mutation's input is the body."""

    kind: Literal["query", "mutation"]
    target: Callable[[Input], Target]


def _field(given: Input) -> Target:
    return Target(f"{BASE}/field", query_of(given))


def _sync(given: Input) -> Target:
    return Target(f"{BASE}/sync")


def _entanglement(given: Input) -> Target:
    return Target(f"{BASE}/entanglements", query_of(given))


def _room64(given: Input) -> Target:
    """One room where ``room_id`` is given, else a page of them."""
    if given.get("room_id") is None:
        return Target(f"{BASE}/rooms", query_of(given))
    rest = {name: value for name, value in given.items() if name != "room_id"}
    return Target(f"{BASE}/rooms/{_text(given['room_id'])}", query_of(rest))


def _archaeology(given: Input) -> Target:
    """Events; where ``kind`` is given, the patterns of those kinds."""
    patterns = "" if given.get("kind") is None else "/patterns"
    return Target(f"{BASE}/archaeology{patterns}", query_of(given))


PROCEDURES: Final[Mapping[str, Procedure]] = {
    "consciousness.field": Procedure("query", _field),
    "consciousness.sync": Procedure("mutation", _sync),
    "consciousness.entanglement": Procedure("query", _entanglement),
    "consciousness.room64": Procedure("query", _room64),
    "consciousness.archaeology": Procedure("query", _archaeology),
}


def query_of(given: Input) -> str:
    """A query string: null is absent, lists have commas, lists of places semicolons. Raises ValueError."""
    return urlencode([(name, _text(value)) for name, value in given.items() if value is not None])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        places = any(isinstance(item, list | dict) for item in value)
        return (";" if places else ",").join(_text(item) for item in value)
    if isinstance(value, dict) and value.keys() == {"x", "y"}:
        return f"{_text(value['x'])},{_text(value['y'])}"
    raise ValueError("an input has texts, numbers, lists of them, and places {x, y}")
