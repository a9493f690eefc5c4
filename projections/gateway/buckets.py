"""Token buckets in memory: what ``limits.lua`` does in Redis, for one gateway alone.

Pure: time is an argument. The number of buckets is bounded; the one unused for longest is forgotten first.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

BUCKETS_MAX: Final = 20_000


class Ask(NamedTuple):
    """``cost`` from the bucket ``key``, which fills at ``rate`` a second up to ``capacity``."""

    key: str
    rate: float
    capacity: float
    cost: int


class Told(NamedTuple):
    """``left`` in a bucket (under 0: debt), and the milliseconds until it has enough for what was asked."""

    left: int
    wait_ms: int


class Buckets:
    """All of them; a bucket that is not there is full."""

    def __init__(self, buckets_max: int = BUCKETS_MAX) -> None:
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._buckets_max = buckets_max

    def __len__(self) -> int:
        return len(self._levels)

    def charge(self, asks: Sequence[Ask], now_ms: float) -> tuple[bool, list[Told]]:
        """All are charged, or none is."""
        levels = [self._level(ask, now_ms) for ask in asks]
        missing = [min(ask.cost, ask.capacity) - level for ask, level in zip(asks, levels, strict=True)]
        charged = max(missing, default=0) <= 0
        told = []
        for ask, level, short in zip(asks, levels, missing, strict=True):
            left = level - ask.cost if charged else level
            if charged:
                self._levels[ask.key] = (left, now_ms)
                self._levels.move_to_end(ask.key)
            told.append(Told(math.floor(left), math.ceil(max(0.0, short) * 1_000 / ask.rate)))
        while len(self._levels) > self._buckets_max:
            self._levels.popitem(last=False)
        return charged, told

    def _level(self, ask: Ask, now_ms: float) -> float:
        found = self._levels.get(ask.key)
        if found is None:
            return ask.capacity
        level, at_ms = found
        return min(ask.capacity, level + max(0.0, now_ms - at_ms) * ask.rate / 1_000)
