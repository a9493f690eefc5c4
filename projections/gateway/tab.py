"""What is spent here while Redis is not asked: a bucket that is well filled need not be looked at for every request.

Pure. Redis has said what is in a bucket; as long as SHARE of it is left, requests are let pass here and written down.
The sum goes to Redis every ``limits.SETTLE_S``, which takes it out whatever is left, and says what that is now.

The bound. Of what Redis said a gateway takes off all that it has let pass since, and all that it has asked for and has
no answer to; nothing flows in until Redis says so. So between two answers it lets pass by itself at most
``allowance``: the rest of the bucket, 1 - SHARE of what it holds. In any span of time N gateways together let pass at
most what a full bucket holds, and what has flowed into it, and (N - 1) allowances; one gateway alone, nothing beyond
the bucket. What is beyond it becomes the bucket's debt as soon as it is told: nobody is let pass before that is paid
back by what flows in. (N - 1, as what has emptied the bucket is a gateway that knows.)

Three things are outside of that: a request of more than a bucket holds, which needs it full and leaves the rest as
debt; while Redis does not answer, or more wait for it than ``limits.WAITING_MAX``, each gateway counts for itself, and
what it had not told yet it tells after; what a gateway had not told when it was killed is forgotten, an allowance of a
bucket at most.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from projections.gateway.buckets import BUCKETS_MAX, Ask, Told

SHARE: Final = 0.5


def allowance(capacity: float) -> float:
    """Events that a gateway lets pass of a bucket by itself, at most, before Redis has been told and has answered."""
    return capacity * (1 - SHARE)


class Tab:
    """Known buckets, and what is owed for each: ``buckets_max`` of both, and of the latter those of one round more.

    One that is forgotten is asked for again, and so is every one while as many are owed.
    """

    def __init__(self, buckets_max: int = BUCKETS_MAX) -> None:
        self._known: OrderedDict[str, int] = OrderedDict()
        """What Redis said is left. However old: others may have spent it since, which the bound allows for."""
        self._owed: dict[str, Ask] = {}
        self._away: Counter[str] = Counter()
        """Costs that Redis is asked for or told of now."""
        self._buckets_max = buckets_max

    def __len__(self) -> int:
        return len(self._known)

    def spend(self, asks: Sequence[Ask]) -> list[Told] | None:
        """Take it out of all of them; None, and nothing is taken, when Redis has to be asked."""
        if len(self._owed) + len(asks) > self._buckets_max:
            return None
        levels = []
        for ask in asks:
            owed = self._owed.get(ask.key)
            level = self._known.get(ask.key, 0) - (owed.cost if owed else 0) - self._away[ask.key] - ask.cost
            if level < ask.capacity * SHARE:
                return None
            levels.append(level)
        self.owe(asks)
        return [Told(level, 0) for level in levels]

    def owe(self, asks: Iterable[Ask]) -> None:
        """It is spent, and Redis does not know: of a moment ago, or it was told and did not answer."""
        for ask in asks:
            before = self._owed.get(ask.key)
            self._owed[ask.key] = ask if before is None else ask._replace(cost=ask.cost + before.cost)

    def take(self, first: Iterable[str], most: int) -> list[Ask]:
        """What is owed, to be told to Redis: for all of ``first``, and for others up to ``most`` of both."""
        found = [self._owed.pop(key) for key in dict.fromkeys(first) if key in self._owed]
        for key in list(self._owed)[: max(0, most - len(found))]:
            found.append(self._owed.pop(key))
        self.ask(found)
        return found

    def ask(self, asks: Iterable[Ask]) -> None:
        """Redis is asked for these, or told of them, from now until ``told``."""
        for ask in asks:
            self._away[ask.key] += ask.cost

    def told(self, asks: Iterable[Ask]) -> None:
        """Redis has answered, or will not."""
        for ask in asks:
            self._away[ask.key] -= ask.cost
            if not self._away[ask.key]:
                del self._away[ask.key]

    def learn(self, asks: Sequence[Ask], told: Sequence[Told]) -> None:
        """What Redis has said is left, in its order: of a bucket that is named twice the later one counts."""
        for ask, one in zip(asks, told, strict=True):
            self._known[ask.key] = one.left
            self._known.move_to_end(ask.key)
        while len(self._known) > self._buckets_max:
            self._known.popitem(last=False)
