"""How long what came into the log waited until it was folded and kept, and until it was in the database."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Final

from deploy import positions
from deploy.positions import Positions
from streams.errors import PartUnavailable
from streams.settings import Settings

EVERY_S: Final = 0.2
LOOKS_MAX: Final = 10_000
"""Looks at the ends of the log that are not reached yet: half an hour."""


class Lateness:
    """What waits now, and the longest until ``begin`` was called last; as exact as the looks are frequent."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ends: dict[str, deque[tuple[float, Positions]]] = {}
        self._longest_s: dict[str, float] = {}
        self.now_s: dict[str, float] = {}
        self.longest_before_s: dict[str, float] = {}

    def begin(self) -> None:
        """A new part of the rehearsal."""
        self.longest_before_s, self._longest_s = self._longest_s, {}

    async def run(self) -> None:
        """Until cancelled."""
        async with positions.LogWatch(self._settings) as log:
            while True:
                now, ends = time.monotonic(), await log.ends()
                self._look("folded", now, ends, await log.worker())
                try:
                    rows = await asyncio.to_thread(positions.of_database, self._settings)
                except PartUnavailable:
                    rows = {}  # a migration may hold it up: that counts as waiting
                for name in (positions.RAW, positions.STATE):
                    self._look(f"rows of {name}", now, ends, rows.get(name, {}))
                await asyncio.sleep(EVERY_S)

    def _look(self, name: str, now: float, ends: Positions, reached: Mapping[int, int]) -> None:
        waiting = self._ends.setdefault(name, deque(maxlen=LOOKS_MAX))
        waiting.append((now, ends))
        while waiting and not positions.behind(name, reached, waiting[0][1]):
            waiting.popleft()
        late_s = now - waiting[0][0] if waiting else 0.0
        self.now_s[name] = late_s
        self._longest_s[name] = max(self._longest_s.get(name, 0.0), late_s)
