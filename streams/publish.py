"""The log's publisher for trusted publishers: events or raw lines in, acknowledged records out.

It counts what the broker has acknowledged (all replicas, idempotent producer, so that a retry writes nothing twice).
At most two sets of records a partition are under way: whoever publishes waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams import access
from streams.errors import DeliveryError, PartUnavailable
from streams.packing import Gatherer, Record, Wire
from streams.settings import Settings

SET_BYTES_MAX: Final = 256 * 1024
"""Records of one partition that go to the broker together; a quarter of what a broker takes by default."""


class LogPublisher(Gatherer):
    """Publishes to the events topic; an async context manager.

    Raises PartUnavailable when Kafka does not answer and DeliveryError when a write is not acknowledged.
    """

    store = "the broker"

    def __init__(self, settings: Settings, wire: Wire = "json") -> None:
        super().__init__(settings, wire)
        self._waiting: dict[int, list[Record]] = {}
        self._bytes: dict[int, int] = {}
        self._under_way: set[asyncio.Future[None]] = set()
        self._failure: BaseException | None = None
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> LogPublisher:
        self._producer = AIOKafkaProducer(
            **access.brokers(self.settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,  # sets are gathered here, by partition
            max_batch_size=SET_BYTES_MAX,
            request_timeout_ms=30_000,
        )
        topic = self.settings.events_topic
        try:
            await self._producer.start()
            async with asyncio.timeout(10):
                found = await self._producer.partitions_for(topic)
        except (KafkaError, TimeoutError) as error:
            await self._producer.stop()
            problem = f"topic {topic} is not there" if isinstance(error, TimeoutError) else str(error)
            raise PartUnavailable(f"Kafka ({self.settings.kafka_brokers})", problem) from None
        self.partitions = len(found)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._producer is not None
        try:
            if kind is None:
                await self.flush()
        finally:
            await self._producer.stop()

    async def push(self) -> None:
        """Send all that was taken so far, without waiting for its acknowledgement."""
        await self._gather()
        for partition in list(self._waiting):
            await self._send(partition)

    async def flush(self) -> int:
        """Send all and wait until the broker has acknowledged it; returns ``acknowledged``."""
        await self.push()
        while self._under_way:
            await asyncio.wait(self._under_way)
        self._check()
        return self.acknowledged

    async def _add(self, records: Sequence[Record]) -> None:
        for record in records:
            size = len(record.value) + 100
            if self._bytes.get(record.partition, 0) + size > SET_BYTES_MAX:
                await self._send(record.partition)
            self._waiting.setdefault(record.partition, []).append(record)
            self._bytes[record.partition] = self._bytes.get(record.partition, 0) + size

    async def _send(self, partition: int) -> None:
        """One set to the broker; waits while the partition already has one queued."""
        self._check()
        assert self._producer is not None, "use `async with`"
        records = self._waiting.pop(partition, [])
        self._bytes[partition] = 0
        while records:
            batch = self._producer.create_batch()
            taken = 0
            for record in records:
                done = batch.append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers))
                if done is None:
                    break
                taken += 1
            batch.close()
            count = sum(record.events for record in records[:taken])
            try:
                future = await self._producer.send_batch(batch, self.settings.events_topic, partition=partition)
            except KafkaError as error:
                raise self._undelivered(partition, error) from None
            self._follow(future, partition, count)
            records = records[taken:]

    def _follow(self, future: asyncio.Future[None], partition: int, count: int) -> None:
        self._under_way.add(future)

        def done(finished: asyncio.Future[None]) -> None:
            self._under_way.discard(finished)
            error = None if finished.cancelled() else finished.exception()
            if error is None:
                self.acknowledged += count
            elif self._failure is None:
                self._failure = self._undelivered(partition, error)

        future.add_done_callback(done)

    def _undelivered(self, partition: int, error: BaseException) -> DeliveryError:
        problem = f"not acknowledged ({error or type(error).__name__}); {self.acknowledged} events are on the log"
        return DeliveryError(problem, topic=self.settings.events_topic, partition=partition)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
