"""The field as of moments of the past, several of them in one pass over the log.

Pure. What came too late, or twice, was never in the field, so it is in no past of it either: the whole log decides
what is accepted, and the field as of T is the fold of the accepted events with timestamp <= T. An event of before T may
stand anywhere in the log, so no moment is known before its end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from streams.events import OPTS, Event
from streams.fold.key import Key
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.fold.shard import Shard
from streams.fold.view import ShardView, view

FOREVER: Final = 1 << 62
"""A moment that has everything before it."""
SETTLE_EVENTS: Final = 50_000
"""Pruned after so many events, so that what a partition holds does not grow with the log."""


class Acceptance:
    """Only judges: watermarks, sequence windows and the events of the last L by routing key, no state."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._keys: dict[str, Key] = {}
        self._unshed = 0

    def accepts(self, event: Event) -> bool:
        """Whether the fold takes this event (not OPT_*) when it comes now: neither late nor a duplicate."""
        key = self._keys.get(event.key)
        if key is None:
            key = self._keys[event.key] = Key()
        if key.accept(event, self._rules):
            return False
        if len(key.tail) > key.threshold:
            key.shed(key.watermark - self._rules.lateness_ms)
        self._unshed += 1
        if self._unshed >= SETTLE_EVENTS:  # also of the keys that are too quiet to reach their threshold
            self._unshed = 0
            for one in self._keys.values():
                one.shed(one.watermark - self._rules.lateness_ms)
        return True


class _Partition:
    """One partition: the fold as of the first moment, and what waits for each later one, in order of arrival."""

    def __init__(self, number: int, moments: Sequence[int], rules: Rules) -> None:
        self._moments = moments
        self._acceptance = Acceptance(rules)
        self._waiting: list[list[Event]] = [[] for _ in moments]
        self._shard = Shard(number, 0, 1, rules)
        self._unsettled = 0

    def fold(self, offset: int, events: Sequence[Event]) -> None:
        if offset <= self._shard.position:
            return
        self._shard.position = offset
        for event in events:
            # a toggle is never late; the shard knows those that came twice
            if event.type in OPTS or self._acceptance.accepts(event):
                at = bisect_left(self._moments, event.timestamp)
                if at == 0:
                    self._take(event)
                elif at < len(self._moments):
                    self._waiting[at].append(event)

    def views(self) -> Iterator[ShardView]:
        """As of each moment; a view is good until the next one is asked for."""
        for waiting in self._waiting:
            for event in waiting:
                self._take(event)
            waiting.clear()
            self._settle()
            yield view(self._shard)

    def _take(self, event: Event) -> None:
        if event.type in OPTS:
            self._shard.toggle(event)
        else:
            self._shard.take(event)
        self._unsettled += 1
        if self._unsettled >= SETTLE_EVENTS:
            self._settle()

    def _settle(self) -> None:
        shard = self._shard
        shard.settle()
        for name in shard.dirty:  # nobody asks here what has changed
            shard.keys[name].base.room.closed.clear()
            shard.keys[name].base.bonds.touched.clear()
        shard.dirty.clear()
        self._unsettled = 0


class AsOf:
    """The field as of each of ``moments`` (ms, at least one): hand in the log, then take the ``readings`` once.

    Memory is that of a fold, and the accepted events between the first and the last moment.
    """

    def __init__(self, moments: Iterable[int], rules: Rules = DEFAULT_RULES) -> None:
        self.moments = sorted(set(moments))
        self._rules = rules
        self._partitions: dict[int, _Partition] = {}

    def fold(self, partition: int, offset: int, events: Sequence[Event]) -> None:
        """Take the valid events of one record, records of a partition in order; one delivered twice is skipped."""
        part = self._partitions.get(partition)
        if part is None:
            part = self._partitions[partition] = _Partition(partition, self.moments, self._rules)
        part.fold(offset, events)

    def readings(self) -> Iterator[tuple[int, list[ShardView]]]:
        """(moment, views to be merged and read at it), moments rising; read the views before the next step."""
        views = [part.views() for part in self._partitions.values()]
        for moment in self.moments:
            yield moment, [next(one) for one in views]
