"""The log from a position to a position, for whoever folds it again: entries of one partition, in order.

``History`` is what a replay reads; where the records lie (Kafka, an archive, both in one) does not show in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from streams import access
from streams.archive.format import Packed
from streams.chunks import Chunk
from streams.entry import Entry, read_entry
from streams.errors import HistoryError, PartUnavailable
from streams.fetching import ChunkConsumer
from streams.settings import Settings
from streams.validate import Limits

POLL_MS: Final = 500
FETCH_BYTES: Final = 4 * 1024 * 1024
WAIT_MS: Final = 10
"""How long a broker may hold back an answer at the end of the log, where nobody waits for more: until then it answers
nothing else of this consumer's, such as the question for its next partition.
"""


class History(Protocol):
    """Entries of the events topic."""

    async def bounds(self) -> Mapping[int, tuple[int, int]]:
        """(first offset that is there, offset after the last) by partition."""

    def entries(self, partition: int, start: int, end: int) -> AsyncIterator[list[Entry]]:
        """Entries with start <= offset < end, some at a time.

        Raises HistoryError when records from ``start`` on are no longer there.
        """


class StoredHistory(History, Protocol):
    """One whose stored form a compiled fold can take."""

    def pieces(self, partition: int, start: int, end: int) -> AsyncIterator[Chunk | Packed]:
        """``entries`` as they are stored; there may be some before ``start`` and after ``end`` in them."""


class KafkaHistory:
    """The topic itself. One consumer, without a group: partitions are read one after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._stack = AsyncExitStack()
        self._consumer: Any = None

    async def __aenter__(self) -> KafkaHistory:
        self._consumer = await self._stack.enter_async_context(_started(self._make_consumer()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def bounds(self) -> dict[int, tuple[int, int]]:
        """As Kafka says now; raises PartUnavailable."""
        places = [self._place(number) for number in range(self._settings.partitions)]
        try:
            starts = await self._consumer.beginning_offsets(places)
            ends = await self._consumer.end_offsets(places)
        except KafkaError as error:
            raise PartUnavailable("Kafka", f"{self._settings.events_topic}: {error}") from error
        return {place.partition: (starts[place], ends[place]) for place in places}

    async def entries(self, partition: int, start: int, end: int) -> AsyncIterator[list[Entry]]:
        """As ``History`` says; raises PartUnavailable too."""
        partitions = self._settings.partitions
        async for records in self._fetched(self._consumer, partition, start, end):
            yield [read_entry(record, partition, partitions, self._limits) for record in records if record.offset < end]

    async def pieces(self, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """As ``History`` says; raises PartUnavailable too."""
        async with _started(ChunkConsumer.of(self._make_consumer(), self._settings.events_topic)) as consumer:
            async for chunks in self._fetched(consumer, partition, start, end):
                for chunk in chunks:
                    if chunk.base_offset >= end:
                        return
                    yield chunk

    async def _fetched(self, consumer: Any, partition: int, start: int, end: int) -> AsyncIterator[list[Any]]:
        if start >= end:
            return  # a consumer that is stopped just after an assignment may never end (aiokafka 0.14)
        place = self._place(partition)
        try:
            first = (await consumer.beginning_offsets([place]))[place]
            if start < min(first, end):
                raise HistoryError(
                    f"records {start}..{min(first, end) - 1} are no longer in Kafka: an archive that has them is "
                    "needed (`field archive`, FIELD_ARCHIVE)",
                    topic=place.topic, partition=partition, offset=start,
                )  # fmt: skip
            consumer.assign([place])
            consumer.seek(place, start)
            while await consumer.position(place) < end:
                for found in (await consumer.getmany(place, timeout_ms=POLL_MS)).values():
                    yield found
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            raise HistoryError(
                "records went away while they were read (retention): an archive that has them is needed, and "
                "FIELD_ARCHIVE that names it",
                topic=place.topic, partition=partition, offset=start,
            ) from error  # fmt: skip
        except KafkaError as error:
            raise PartUnavailable("Kafka", f"{place.topic}/{partition}: {error}") from error

    def _make_consumer(self) -> Any:
        return AIOKafkaConsumer(
            **access.brokers(self._settings),
            client_id="field-history",
            auto_offset_reset="none",  # records that go while we read are an error, not a reason to jump to the end
            enable_auto_commit=False,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=WAIT_MS,
        )

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.events_topic, partition)


@asynccontextmanager
async def _started(consumer: Any) -> AsyncIterator[Any]:
    """The consumer while it runs; raises PartUnavailable."""
    try:
        await consumer.start()
        await asyncio.sleep(0)  # aiokafka's stop ends in a cancellation when its tasks have not begun yet
    except KafkaError as error:
        await consumer.stop()
        raise PartUnavailable("Kafka", str(error)) from error
    try:
        yield consumer
    finally:
        await consumer.stop()
