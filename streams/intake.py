"""Records of a batch -> the fold: validation, partitions, OPT_*, dead letters, the flood limit.

The one place where the log meets the fold. Synchronous for each record; between turns of a few thousand events
the loop gets its breath back (checkpoints go on meanwhile).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from streams import metrics, traces
from streams.assignment import Assignment, Partition
from streams.chunks import Chunk
from streams.delivery import Delivery, Place, source_of
from streams.errors import FloodError
from streams.events import OPTS, Event
from streams.flood import Flood
from streams.native.cursor import Cursor
from streams.native.fold import NativeFold
from streams.settings import Settings
from streams.table import partition_of
from streams.transport import Batch
from streams.validate import Limits, Rejection, read_record, received_at

TURN_EVENTS: Final = 2_000
"""Events folded before other tasks may run: some tens of milliseconds."""

CHUNK_EVENTS: Final = 5_000
"""The same for the compiled fold: some milliseconds. A checkpoint takes dozens of turns, and each waits for so long."""


class Intake:
    """Folds batches. ``events`` since the last checkpoint, rejected ones too (who makes it sets 0); ``records`` rises.

    At most OUTSTANDING_MAX sends and those of one record wait for Kafka: bad input is small, its dead letters not.
    """

    def __init__(self, delivery: Delivery, settings: Settings) -> None:
        self._delivery = delivery
        self._settings = settings
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._flood = Flood(settings)
        self._to_all = b"%d" % settings.partitions
        self._seen = 0
        self.events = 0
        self.records = 0

    async def fold(self, batch: Batch, part: Partition, assignment: Assignment) -> bool:
        """Fold a whole batch; False when the partitions went away meanwhile.

        Raises FloodError, with all dead letters so far acknowledged; DeliveryError.
        """
        if not traces.on:
            return await self._fold(batch, part, assignment)
        with traces.work("fold", batch.records, **{"kafka.partition": part.number, "kafka.offset": batch.first}):
            return await self._fold(batch, part, assignment)

    async def _fold(self, batch: Batch, part: Partition, assignment: Assignment) -> bool:
        begun, delivery = self._seen, self._delivery
        by_chunk = isinstance(batch.records[0], Chunk)
        turn = CHUNK_EVENTS if by_chunk else TURN_EVENTS
        for bad in self._chunks(batch, part) if by_chunk else self._records(batch, part):
            if bad is not None:
                await self._stop_flood(bad)
            if self._seen - begun >= turn or delivery.full:
                self.events += self._seen - begun
                begun = self._seen
                await self._breathe(part)
                if not assignment.current:
                    return False
        self.events += self._seen - begun
        self.records += batch.size
        self._note(batch, part)
        return True

    def _records(self, batch: Batch, part: Partition) -> Iterator[Any]:
        """Folds a record a step; what comes out is None, or the record that was one bad record too many."""
        fold, next_offset = part.fold.fold, part.next_offset
        for record in batch.records:
            if record.offset < next_offset:
                continue  # read again, after a gap was asked for
            events = self._read(record, part.number)
            if events is not None:
                fold(record.offset, events)
            yield None if events is not None else record

    def _chunks(self, batch: Batch, part: Partition) -> Iterator[Any]:
        """The same for a compiled fold: it takes the plain records of a chunk by itself and leaves us the others."""
        fold, next_offset = part.fold, part.next_offset
        assert isinstance(fold, NativeFold)  # nobody else is given chunks
        for chunk in batch.records:
            cursor = Cursor(chunk, CHUNK_EVENTS, next_offset)
            while cursor.more:
                fold.fold_chunk(cursor)
                self._seen += cursor.events
                self._flood.good(cursor.records)
                bad = None
                if cursor.odd and (record := cursor.take()).offset >= next_offset:
                    events = self._read(record, part.number)
                    if events is not None:
                        fold.fold(record.offset, events)
                    else:
                        bad = record
                yield bad

    async def _breathe(self, part: Partition) -> None:
        if self._delivery.full:
            await self._delivery.settle(f"copies and dead letters of partition {part.number}")
        else:
            await asyncio.sleep(0)

    def _read(self, record: Any, number: int) -> Sequence[Event] | None:
        """The events of a record that are folded here; None: that was one bad record too many."""
        headers = record.headers
        if headers:
            return self._sort(record, number, dict(headers))
        items = read_record(record.value, record.timestamp, self._limits)
        if len(items) == 1:  # the common case, by the shortest way
            event = items[0]
            if (
                type(event) is Event
                and event.type not in OPTS
                and partition_of(event.key, self._settings.partitions) == number
            ):
                self._seen += 1
                self._flood.good(1)
                return (event,)
        return self._sort(record, number, {}, items)

    def _sort(
        self,
        record: Any,
        number: int,
        headers: dict[str, bytes],
        items: Sequence[Event | Rejection] | None = None,
    ) -> list[Event] | None:
        place = _place(record, headers)
        if items is None:
            items = read_record(record.value, place.received_ms, self._limits, headers.get("content-type"))
        self._seen += len(items)
        if len(items) > 1:  # a copy is one event: several under one place would be one dead letter
            place = place._replace(source=None)
        sent_to_all = place.source is not None or headers.get("fanout") == self._to_all
        rejected = 0
        here: list[Event] = []
        for index, item in enumerate(items):
            if isinstance(item, Rejection):
                rejected += 1
                self._delivery.reject(item, place)
            elif item.type in OPTS:
                here.append(item)
                if not sent_to_all:
                    self._delivery.fan_out(item, place, index)
            elif (home := partition_of(item.key, self._settings.partitions)) == number:
                here.append(item)
            else:
                self._delivery.copy(item, place, index, home)
        return None if self._flood.add(2 * rejected >= max(1, len(items))) else here

    def _note(self, batch: Batch, part: Partition) -> None:
        metrics.BATCH_RECORDS.observe(batch.size)
        metrics.EVENTS.inc(self._seen)
        self._seen = 0
        counts = part.count()
        for name, metric in _COUNTERS:
            metric.inc(counts.get(name, 0))

    async def _stop_flood(self, record: Any) -> None:
        await self._delivery.settle("dead letters")
        raise FloodError(
            f"{self._flood.bad} of the last {self._settings.flood_window} records are bad; look at "
            f"{self._settings.rejected_topic}, mend the publisher, or raise FIELD_FLOOD_SHARE to go on",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )


def _place(record: Any, headers: dict[str, bytes]) -> Place:
    """Where a record stands; headers that cannot be true are none."""
    return Place(
        record.topic,
        record.partition,
        record.offset,
        received_at(headers.get("received"), record.timestamp),
        source_of(headers.get("source")),
    )


_COUNTERS: Final[Iterable[tuple[str, Any]]] = (
    ("accepted", metrics.EVENTS_FOLDED),
    ("duplicate", metrics.EVENTS_DUPLICATE),
    ("late", metrics.EVENTS_LATE),
)
