"""What a listener wants to hear, decided here and not in the browser. Pure.

A filter set is a value: listeners with equal ones share every encoded message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from projections.gateway.written import Box, box_of, number_of
from streams.events import MILLION, TYPES, Event

KINDS: Final = ("events", "field", "rooms", "entanglements")
DEFAULT_KINDS: Final = frozenset(("events", "field"))
NAMES: Final = ("types", "room", "device", "box", "min_intensity", "include")
VALUES_MAX: Final = 100
"""Rooms or devices in one filter: every event is looked up in them, and the filter is kept as long as the listener."""
ID_MAX: Final = 64
T = TypeVar("T")


class FilterError(ValueError):
    """A filter that cannot be meant; ``name`` of the parameter, and why."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


class Filters(msgspec.Struct, frozen=True):
    """Of what is not None or empty, all must hold."""

    types: frozenset[str] = frozenset()
    rooms: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    box: Box | None = None
    intensity: int = 0
    """in millionths, as events have it"""
    kinds: frozenset[str] = DEFAULT_KINDS

    @property
    def all_events(self) -> bool:
        """Whether every event passes."""
        return not (self.types or self.rooms or self.devices or self.box or self.intensity)

    def passes(self, event: Event) -> bool:
        """A device is heard when it acts and when it is meant; an event without a position is in no box."""
        if self.types and event.type not in self.types:
            return False
        if self.rooms and event.room_id not in self.rooms:
            return False
        if self.devices and event.device_id not in self.devices and event.target not in self.devices:
            return False
        if event.intensity < self.intensity:
            return False
        return self.box is None or self.box.has(event.x, event.y)

    def passes_room(self, room: str) -> bool:
        """Of news about rooms."""
        return not self.rooms or room in self.rooms

    def passes_pair(self, low: str, high: str) -> bool:
        """Of news about entanglements."""
        return not self.devices or low in self.devices or high in self.devices


def read(given: Mapping[str, Any]) -> Filters:
    """Filters out of query parameters (texts, comma separated) or out of a JSON object (lists and numbers too).

    Raises FilterError. Names that are none of ``NAMES`` are not looked at.
    """
    box, least = given.get("box"), given.get("min_intensity")
    return Filters(
        _some("types", given.get("types"), TYPES),
        _some("room", given.get("room")),
        _some("device", given.get("device")),
        None if box is None or box == "" else _read("box", box_of, box),
        0 if least is None or least == "" else _intensity(_read("min_intensity", _share, least)),
        _some("include", given.get("include"), KINDS) or DEFAULT_KINDS,
    )


def _some(name: str, value: Any, known: Iterable[str] = ()) -> frozenset[str]:
    if value is None:
        return frozenset()
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise FilterError(name, "wants names, as a list or with commas between")
    found = frozenset(part.strip() for part in parts) - {""}
    if len(found) > VALUES_MAX:
        raise FilterError(name, f"{len(found)} of them, at most {VALUES_MAX}")
    if any(len(part) > ID_MAX for part in found):
        raise FilterError(name, f"an id has at most {ID_MAX} characters")
    if known and (unknown := sorted(found - set(known))):
        raise FilterError(name, f"{unknown[0]!r} is none of {', '.join(known)}")
    return found


def _share(value: Any) -> float:
    return number_of(value, 0, 1)


def _intensity(value: float) -> int:
    return math.ceil(round(value * MILLION, 3))


def _read(name: str, read: Callable[[Any], T], value: Any) -> T:
    try:
        return read(value)
    except ValueError as error:
        raise FilterError(name, str(error)) from None
