"""What is spent here while Redis is not asked: a bucket that is well filled need not be looked at for every request.

Pure: time is an argument. Redis has said what is in a bucket; for FRESH_MS after that, and as long as SHARE of it is
left, requests are let pass here and written down. The sum goes to Redis a few times a second and is taken out there
whatever is left: what several gateways have spent at once beyond a bucket is its debt. So in the long run all count
together, and when it gets tight each request is Redis's own decision.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from projections.gateway.buckets import BUCKETS_MAX, Ask, Told

FRESH_MS: Final = 1_000.0
SHARE: Final = 0.5


class Tab:
    """Known buckets, and what is owed for each. Both are bounded; one that is forgotten is asked for again."""

    def __init__(self, buckets_max: int = BUCKETS_MAX) -> None:
        self._known: OrderedDict[str, tuple[float, float, float]] = OrderedDict()
        """Level, when that was, and when Redis said it (ms)."""
        self._owed: dict[str, Ask] = {}
        self._buckets_max = buckets_max

    def __len__(self) -> int:
        return len(self._known)

    def owes(self, asks: Sequence[Ask]) -> bool:
        """Whether Redis does not yet know all that was spent of one of these."""
        return any(ask.key in self._owed for ask in asks)

    def spend(self, asks: Sequence[Ask], now_ms: float) -> list[Told] | None:
        """Take it out of all of them; None, and nothing is taken, when Redis has to be asked."""
        levels = []
        for ask in asks:
            found = self._known.get(ask.key)
            if found is None or now_ms - found[2] > FRESH_MS:
                return None
            level = min(ask.capacity, found[0] + max(0.0, now_ms - found[1]) * ask.rate / 1_000) - ask.cost
            if level < ask.capacity * SHARE:
                return None
            levels.append((level, now_ms, found[2]))
        for ask, known in zip(asks, levels, strict=True):
            self._known[ask.key] = known
            before = self._owed.get(ask.key)
            self._owed[ask.key] = ask if before is None else ask._replace(cost=ask.cost + before.cost)
        return [Told(math.floor(level), 0) for level, _, _ in levels]

    def take(self) -> list[Ask]:
        """All that is owed, to be told to Redis; it is owed no more."""
        owed, self._owed = list(self._owed.values()), {}
        return owed

    def learn(self, asks: Sequence[Ask], told: Sequence[Told], now_ms: float) -> None:
        """What Redis has said is left; what was spent since it was asked is still owed."""
        for ask, one in zip(asks, told, strict=True):
            owed = self._owed.get(ask.key)
            self._known[ask.key] = (one.left - (owed.cost if owed else 0), now_ms, now_ms)
            self._known.move_to_end(ask.key)
        while len(self._known) > self._buckets_max:
            self._known.popitem(last=False)
