"""The ``performance`` block: how often the caches had the answer, and how long answers took, lately."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

WINDOW: Final = 1_000
"""The last so many reads and answers count."""


class PerformanceBlock(msgspec.Struct, frozen=True, rename="camel"):
    """Measured over the last thousand reads and answers; ``average_response_time`` in ms."""

    cache_enabled: bool
    spatial_index_enabled: bool
    calculation_complexity: str
    cache_hit_rate: float
    average_response_time: float


class Performance:
    """What one gateway has measured."""

    def __init__(self, *, cached: bool) -> None:
        self._cached = cached
        self._hits: deque[bool] = deque(maxlen=WINDOW)
        self._answers_s: deque[float] = deque(maxlen=WINDOW)

    def read(self, hit: bool) -> None:
        """A read, from a cache (memory, or the gateway's copy in Redis) or not."""
        self._hits.append(hit)

    def answered(self, seconds: float) -> None:
        """An answer was ready after so long."""
        self._answers_s.append(seconds)

    def block(self) -> PerformanceBlock:
        hits, answers = self._hits, self._answers_s
        return PerformanceBlock(
            cache_enabled=self._cached,
            spatial_index_enabled=True,
            calculation_complexity="O(n log n)",
            cache_hit_rate=round(sum(hits) / len(hits), 4) if hits else 0.0,
            average_response_time=round(1000 * sum(answers) / len(answers), 3) if answers else 0.0,
        )
