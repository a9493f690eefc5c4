"""The newest of what the gateway has heard, so that a listener who was away for seconds needs no look into the log.

It is also where history and the live stream meet: what a listener has not yet of the newest is handed over in the
same step in which it joins, so that nothing is between the two.
"""

from __future__ import annotations

from collections import deque

from projections.gateway.pushed import Batch, Heard
from projections.gateway.vectors import Vector


class Tail:
    """Batches in the order in which they came; the oldest go when there are too many events or batches."""

    def __init__(self, events_max: int, batches_max: int) -> None:
        self._batches: deque[Batch] = deque(maxlen=batches_max)
        self._events_max = events_max
        self._events = 0
        self._floor: Vector = {}

    def begin(self, positions: Vector) -> None:
        """Nothing is known that is not after these."""
        self._batches.clear()
        self._events = 0
        self._floor = dict(positions)

    def add(self, batch: Batch) -> None:
        """The newest."""
        while self._batches and (
            self._events + len(batch.heard) > self._events_max or len(self._batches) == self._batches.maxlen
        ):
            oldest = self._batches.popleft()
            self._events -= len(oldest.heard)
            self._floor = oldest.after
        self._batches.append(batch)
        self._events += len(batch.heard)

    @property
    def events(self) -> int:
        """How many are kept."""
        return self._events

    def missed(self, positions: Vector) -> list[Heard] | None:
        """What came after ``positions``, in order; None when it is more than what is kept."""
        if any(positions.get(partition, -1) < floor for partition, floor in self._floor.items()):
            return None
        return [one for batch in self._batches for one in batch.heard if one.offset > positions.get(one.partition, -1)]
