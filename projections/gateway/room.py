"""How much may wait: a count of events and bytes with an end, instead of queues without one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Full(Exception):
    """There is no room for it now."""


class Room:
    """Room for ``events`` and ``bytes`` at once; what alone is more than that has never room."""

    def __init__(self, events_max: int, bytes_max: int) -> None:
        self.events = 0
        self.bytes = 0
        self._events_max = events_max
        self._bytes_max = bytes_max

    def take(self, events: int, size_bytes: int) -> None:
        """Raises Full, and then takes nothing."""
        if self.events + events > self._events_max or self.bytes + size_bytes > self._bytes_max:
            raise Full
        self.events += events
        self.bytes += size_bytes

    def give(self, events: int, size_bytes: int) -> None:
        """What was taken is free again."""
        self.events -= events
        self.bytes -= size_bytes

    @contextlib.contextmanager
    def share(self) -> Iterator[Share]:
        """Room that is taken bit by bit and given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self.give(0, share.bytes)


class Share:
    """A part of a room."""

    def __init__(self, room: Room) -> None:
        self.bytes = 0
        self._room = room

    def take(self, size_bytes: int) -> None:
        """Raises Full."""
        self._room.take(0, size_bytes)
        self.bytes += size_bytes
