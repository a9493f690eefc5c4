"""Memory particles and quantum fields: the most recent N by (timestamp, id), kept per shard, merged on reading.

Pure. What a device leaves behind when it opts out is an empty place: it is never shown but still counts,
so that the number of shards and partitions changes nothing in the merged N.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec

from streams.events import Event
from streams.fold.opts import Toggles


class Remembered(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One place. An empty one has no ``key``; its ``device`` stays, unseen: it decides the order of equal ids."""

    timestamp: int
    id: str
    device: str
    key: str
    type: str = ""
    intensity: int = 0
    x: float | None = None
    y: float | None = None
    z: float | None = None
    data: dict[str, Any] = {}


rank = attrgetter("timestamp", "id", "device")
"""Place in the order of all."""


def remember(event: Event) -> Remembered:
    """The place that an event takes."""
    return Remembered(
        event.timestamp, event.id, event.device_id, event.key, event.type, event.intensity,
        event.x, event.y, event.z, msgspec.to_builtins(event.data),
    )  # fmt: skip


class Memory:
    """The places of one shard whose events are final."""

    __slots__ = ("capacity", "places")

    def __init__(self, capacity: int, places: list[Remembered] | None = None) -> None:
        self.capacity = capacity
        self.places: list[Remembered] = places or []

    def add(self, place: Remembered) -> None:
        """Take a place; ``settle`` drops what is too much."""
        self.places.append(place)

    def forget(self, device: str, key: str) -> None:
        """Empty all places of a device in one key: its OPT_OUT came late."""
        self.places = [vacant(place) if (place.device, place.key) == (device, key) else place for place in self.places]

    def settle(self, toggles: Toggles) -> None:
        """Keep the newest N in order, and empty the places of those who opted out since."""
        self.places = newest(self.places, self.capacity)
        if toggles.devices:
            self.places = [emptied(place, toggles) for place in self.places]


def drop_outranked(memories: list[Memory]) -> None:
    """Drop what the memories of one partition can never show together: the newest N of all stay.

    A place in a memory is final, so N newer ones stay newer; nothing merged ever changes by this.
    """
    capacity = memories[0].capacity
    if sum(len(memory.places) for memory in memories) <= 2 * capacity:
        return
    lowest = sorted(map(rank, chain.from_iterable(memory.places for memory in memories)))[-capacity]
    for memory in memories:
        memory.places = [place for place in memory.places if rank(place) >= lowest]


def vacant(place: Remembered) -> Remembered:
    """The place with nobody and nothing in it."""
    return Remembered(place.timestamp, place.id, place.device, "")


def emptied(place: Remembered, toggles: Toggles) -> Remembered:
    """The place, or an empty one when its device opted out after it."""
    if place.device not in toggles.devices or (place.timestamp, place.id) > toggles.last_out(place.device):
        return place
    return vacant(place)


def newest(places: Iterable[Remembered], capacity: int) -> list[Remembered]:
    """The newest N places, oldest first, empty ones among them."""
    return sorted(places, key=rank)[-capacity:]
