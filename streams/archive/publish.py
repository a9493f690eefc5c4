"""An archive onto the log again: of another Kafka, under another name, with another number of partitions.

Every record holds, in the header ``archived``, how far each partition of the archive is in this partition of the topic
with it; so the topic itself says where to go on. Events keep their order by routing key; OPT_* of an archived partition
go to every partition of the topic that can have its keys, at the same place among them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams import access
from streams.archive.history import ArchiveHistory
from streams.archive.marks import MARK, NOTHING, Marks, Place, read_marks, write_marks
from streams.archive.write import Progress
from streams.entry import Entry
from streams.errors import InputError, PartUnavailable
from streams.events import OPTS, Event
from streams.packing import FRAME_HEADER, Record
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Limits, read_record
from streams.wire import encode_frame

FRAME_EVENTS: Final = 1_000
FRAME_SPAN_MS: Final = 1_000
"""Events of one frame share one ``received`` header, the latest: none of them moves by more than this."""
FRAME_BYTES_MAX: Final = 900_000
TAIL_RECORDS: Final = 500
"""Looked at first for the last mark; four times as many each time that there is none."""


class Item(NamedTuple):
    """An archived event and where it stood."""

    partition: int
    place: Place
    received_ms: int
    event: Event


class Frames:
    """Events for one partition of the topic, gathered to records; ``marks`` are those of the last event taken."""

    def __init__(self, topic: str, partition: int, partitions: int, marks: Marks, limits: Limits) -> None:
        self._topic = topic
        self._partition = partition
        self._partitions = partitions
        self._limits = limits
        self._items: list[Item] = []
        self.marks = marks

    def add(self, item: Item) -> list[Record]:
        """Take an event, unless the topic has it; returns the records that are full. Raises InputError."""
        if item.place <= self.marks.get(item.partition, NOTHING):
            return []
        first = self._items[0].received_ms if self._items else item.received_ms
        full = len(self._items) == FRAME_EVENTS or abs(item.received_ms - first) > FRAME_SPAN_MS
        records = self.close() if full else []
        self._items.append(item)
        return records

    def close(self) -> list[Record]:
        """What is gathered as records: one, or more where it is too large for one."""
        items, self._items = self._items, []
        return self._records(items) if items else []

    def _records(self, items: Sequence[Item]) -> list[Record]:
        events = [item.event for item in items]
        value = encode_frame(events)
        if len(value) > FRAME_BYTES_MAX and len(items) > 1:
            half = len(items) // 2
            return self._records(items[:half]) + self._records(items[half:])
        received_ms = max(item.received_ms for item in items)
        for event, found in zip(events, read_record(value, received_ms, self._limits), strict=True):
            if found != event:
                raise InputError(
                    f"event {event.id} was valid when it was archived and is not now ({found}): the limits are others, "
                    "see FIELD_SKEW_MS_MAX, FIELD_EVENT_BYTES_MAX and FIELD_DEPTH_MAX"
                )
        for item in items:
            self.marks[item.partition] = item.place
        headers = (
            FRAME_HEADER,
            ("received", b"%d" % received_ms),
            ("fanout", b"%d" % self._partitions),
            (MARK, write_marks(self._topic, self.marks)),
        )
        return [Record(self._partition, events[0].key.encode(), value, headers, len(events))]


async def publish(
    archive: ArchiveHistory, publisher: LogPublisher, marks: Mapping[int, Marks], limits: Limits,
    progress: Progress = lambda partition, events: None,
) -> int:  # fmt: skip
    """Send what the topic does not have by ``marks`` (by its partition) and wait until the broker has it.

    Returns the events sent, those of OPT_* once for each partition. Raises InputError when the settings' limits
    refuse an event, HistoryError, DeliveryError.
    """
    partitions = publisher.partitions
    frames = [
        Frames(archive.store.topic, number, partitions, dict(marks.get(number, {})), limits)
        for number in range(partitions)
    ]
    shared = math.gcd(archive.partitions, partitions)
    starts = {
        source: min(frames[to].marks.get(source, NOTHING)[0] for to in range(source % shared, partitions, shared))
        for source in archive.files
    }
    sent = 0
    async for item in merged(archive, starts):
        homes: Sequence[int] = (partition_of(item.event.key, partitions),)
        if item.event.type in OPTS:
            homes = range(item.partition % shared, partitions, shared)
        for home in homes:
            if records := frames[home].add(item):
                sent += sum(record.events for record in records)
                progress(item.partition, sum(record.events for record in records))
                await publisher.publish_records(records)
    for frame in frames:
        records = frame.close()
        sent += sum(record.events for record in records)
        await publisher.publish_records(records)
    await publisher.flush()
    return sent


async def merged(archive: ArchiveHistory, starts: Mapping[int, int]) -> AsyncIterator[Item]:
    """Events of all partitions from these offsets on, about in the order they were received in: each partition's own
    order is kept."""
    sources = {number: _entries(archive, number, start) for number, start in starts.items()}
    heads = []
    for number, source in sources.items():
        if (entry := await anext(source, None)) is not None:
            heads.append((entry.received_ms, number, entry))
    heapq.heapify(heads)
    while heads:
        _, number, entry = heads[0]
        for index, event in zip(entry.indexes, entry.events, strict=True):
            yield Item(number, (entry.offset, index), entry.received_ms, event)
        following = await anext(sources[number], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following.received_ms, number, following))


async def _entries(archive: ArchiveHistory, partition: int, start: int) -> AsyncIterator[Entry]:
    first, end = (await archive.bounds())[partition]
    async for entries in archive.entries(partition, max(start, first), end):
        for entry in entries:
            yield entry


async def published(settings: Settings, topic: str) -> dict[int, Marks]:
    """What of the archive of ``topic`` the events topic has, by its partition; a topic that has nothing yet has none.

    Raises InputError when the events topic began with something else, PartUnavailable.
    """
    consumer = AIOKafkaConsumer(**access.brokers(settings), client_id="field-archive", enable_auto_commit=False)
    try:
        await consumer.start()
        places = [TopicPartition(settings.events_topic, number) for number in range(settings.partitions)]
        firsts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return {place.partition: await _last(consumer, place, topic, firsts[place], ends[place]) for place in places}
    except KafkaError as error:
        raise PartUnavailable("Kafka", f"{settings.events_topic}: {error}") from error
    finally:
        await consumer.stop()


async def _last(consumer: Any, place: TopicPartition, topic: str, first: int, end: int) -> Marks:
    """The last mark in a partition of the topic, which has records first <= offset < end."""
    if first == end:
        return {}
    opening = await _marked(consumer, place, first, first + 1)
    if opening is None or opening[0] != topic:
        other = "no archive" if opening is None else f"the archive of {opening[0]}"
        raise InputError(
            f"topic {place.topic} begins with {other}, so what is archived of {topic} would come after it, too late: "
            "publish into a new topic (FIELD_EVENTS_TOPIC)"
        )
    count = TAIL_RECORDS
    while True:
        start = max(first, end - count)
        found = await _marked(consumer, place, start, end)
        if found is not None:
            return found[1]
        count *= 4


async def _marked(consumer: Any, place: TopicPartition, start: int, end: int) -> tuple[str, Marks] | None:
    """The last mark of records start <= offset < end."""
    found = None
    consumer.assign([place])
    consumer.seek(place, start)
    while await consumer.position(place) < end:
        for records in (await consumer.getmany(place, timeout_ms=500)).values():
            for record in records:
                mark = read_marks(dict(record.headers).get(MARK)) if record.offset < end else None
                found = mark or found
    return found
