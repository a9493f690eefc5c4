"""How fast a replay may go: told from outside while it runs, in events a second."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from streams.entry import Entry

TURN_S: Final = 0.2
"""How soon a changed rate is noticed; also the most that is folded ahead of the rate."""

TURN_EVENTS_MAX: Final = 50_000


class Pace:
    """``rate`` events a second: 0 holds, None is as fast as it goes. ``stop`` ends every wait."""

    def __init__(self, rate: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.stop = asyncio.Event()
        self._clock = clock
        self._due = clock()

    @property
    def turn(self) -> int:
        """Events that may be folded at once: what the rate allows in a turn, and never so many that nobody else gets
        one."""
        return TURN_EVENTS_MAX if self.rate is None else min(TURN_EVENTS_MAX, max(1, int(self.rate * TURN_S)))

    def slices(self, entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
        """The entries in pieces that a turn at the rate allows: of a log of single events, not more than that."""
        at = 0
        while at < len(entries):
            size = len(entries) if self.rate is None else max(1, int(self.rate * TURN_S))
            yield entries[at : at + size]
            at += size

    async def spend(self, events: int) -> None:
        """Wait until so many events more are allowed."""
        if self.rate is None:
            self._due = self._clock()
            await asyncio.sleep(0)
            return
        if self.rate > 0:
            self._due = max(self._due, self._clock() - TURN_S) + events / self.rate
        while not self.stop.is_set() and (self.rate == 0 or (self.rate is not None and self._due > self._clock())):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), TURN_S)
