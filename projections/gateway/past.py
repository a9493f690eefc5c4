"""The log's past for one listener: its records from a position on, all partitions together, in the order of receiving.

Order within a partition is the log's; between partitions it is that of the times of receiving: the append times, and of
copies those of what they were copied from.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from projections.gateway.stores import LogReader, OpenLog
from projections.gateway.unless import whole
from projections.gateway.vectors import Log, Vector
from streams.settings import Settings
from streams.validate import received_at

POLL_MS: Final = 200
RECORDS: Final = 500
"""Of a partition, taken at a time; they are decoded one by one when it is their turn."""
FETCH_BYTES: Final = 1024 * 1024
ANSWER_S: Final = 10.0


class Gone(Exception):
    """Records that were asked for are no longer in Kafka, or they are more than a listener gets."""


class Away(Exception):
    """Kafka does not answer."""


class Busy(Exception):
    """Too many listeners hear the past at this time."""


class Place(NamedTuple):
    """A record, the partition it is of, and when it was received."""

    partition: int
    record: Any
    received_ms: int


class Past:
    """One reader of the log; an async context manager. Raises Away and Gone."""

    def __init__(self, settings: Settings, open_log: OpenLog, log: Log) -> None:
        self._settings = settings
        self._open_log = open_log
        self.log = log
        self._places = [TopicPartition(log.topic, number) for number in range(log.partitions)]
        self._heads: dict[int, list[Place]] = {}
        self._consumer: LogReader

    async def __aenter__(self) -> Past:
        self._consumer = self._open_log("field-past", fetch_bytes=FETCH_BYTES)
        try:
            async with asyncio.timeout(ANSWER_S):
                await whole(self._consumer.start())
            await asyncio.sleep(0)  # aiokafka's stop ends in a cancellation when its tasks have not begun yet
        except (KafkaError, OSError, TimeoutError) as error:
            await self._consumer.stop()
            raise _away(error) from error
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def since(self, time_ms: int) -> Vector:
        """The positions just before the first records that were appended at ``time_ms`` or later.

        What they are copies of may have been received before.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await self._consumer.offsets_for_times(dict.fromkeys(self._places, time_ms))
                ends = await self._consumer.end_offsets(self._places)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _away(error) from error
        firsts = {place: ends[place] if found[place] is None else found[place].offset for place in self._places}
        return {place.partition: first - 1 for place, first in firsts.items()}

    async def begin(self, positions: Vector, end: Vector) -> None:
        """Read what follows ``positions``, which is about as much as there is until ``end``."""
        try:
            async with asyncio.timeout(ANSWER_S):
                firsts = await self._consumer.beginning_offsets(self._places)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _away(error) from error
        for place in self._places:
            first, wanted = firsts[place], positions[place.partition] + 1
            if wanted < first:
                raise Gone(f"records {wanted}..{first - 1} of partition {place.partition} are no longer there")
        count = sum(max(0, end[number] - at) for number, at in positions.items())
        if count > self._settings.push_back_records:
            raise Gone(f"{count} records back, at most {self._settings.push_back_records} are read again")
        self._consumer.assign(self._places)
        for place in self._places:
            self._consumer.seek(place, positions[place.partition] + 1)

    async def until(self, end: Vector) -> AsyncGenerator[Place, None]:
        """Records up to ``end`` (last offset by partition), from where the last call ended."""
        queue: list[tuple[int, int]] = []
        for place in self._places:
            await self._line_up(queue, place, end)
        while queue:
            _, number = heapq.heappop(queue)
            yield self._heads[number].pop()
            await self._line_up(queue, self._places[number], end)

    async def _line_up(self, queue: list[tuple[int, int]], place: TopicPartition, end: Vector) -> None:
        """Put the next record of a partition in the queue, when there is one."""
        number = place.partition
        try:
            while not self._heads.get(number):
                if await self._consumer.position(place) > end[number]:
                    return
                found = await self._consumer.getmany(place, timeout_ms=POLL_MS, max_records=RECORDS)
                self._heads[number] = [_placed(number, record) for some in found.values() for record in reversed(some)]
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            raise Gone("records went away while they were read") from error
        except (KafkaError, OSError) as error:
            raise _away(error) from error
        head = self._heads[number][-1]
        if head.record.offset <= end[number]:
            heapq.heappush(queue, (head.received_ms, number))


def _placed(partition: int, record: Any) -> Place:
    return Place(partition, record, received_at(dict(record.headers).get("received"), record.timestamp))


def _away(error: BaseException) -> Away:
    return Away(str(error) or type(error).__name__)
