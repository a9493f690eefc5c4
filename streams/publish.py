"""The log's publisher for trusted publishers: events or raw lines in, acknowledged records out.

It computes routing key and partition itself, keeps a batch inside one partition, sends OPT_* to every
partition, and counts what the broker has acknowledged (all replicas, idempotent producer, so that a retry
writes nothing twice). At most two sets of records a partition are under way: whoever publishes waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Literal, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.errors import DeliveryError, InputError, PartUnavailable
from streams.events import OPTS, Event
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import LIMITS, Limits, read_record
from streams.wire import encode_batch, encode_event, encode_frame

Wire = Literal["json", "batch", "frame"]
WIRES: Final[tuple[Wire, ...]] = ("json", "batch", "frame")

JSON_HEADER: Final = ("content-type", b"application/json")
FRAME_HEADER: Final = ("content-type", b"application/vnd.field.frame")
SET_BYTES_MAX: Final = 256 * 1024
"""Records of one partition that go to the broker together; a quarter of what a broker takes by default."""
BATCH_EVENTS: Final = {"json": 1, "batch": 100, "frame": 1_000}
"""Events of one record at most: arrays stay readable, frames small enough to be one record."""
LINE_BYTES_MAX: Final = 900_000
"""A longer line would be refused by the broker itself, so it cannot even become a dead letter."""


class Record(NamedTuple):
    """What goes to the broker: a Kafka record of ``partition`` that holds ``events`` events (or bad lines)."""

    partition: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    events: int


def pack(events: Sequence[Event], partitions: int, wire: Wire = "json") -> list[Record]:
    """Records for events: batches hold events of one partition, OPT_* go to all of them by themselves.

    The order inside each partition is the order given. Of the copies of an OPT_* event only the first counts.
    """
    out: list[Record] = []
    open_: dict[int, list[Event]] = {}
    size = BATCH_EVENTS[wire]

    def close(partition: int) -> None:
        if batch := open_.pop(partition, None):
            out.append(_record(partition, batch, wire))

    for event in events:
        if event.type in OPTS:
            for partition in range(partitions):
                close(partition)
            out.extend(_copies(event, encode_event(event), partitions))
            continue
        partition = partition_of(event.key, partitions)
        open_.setdefault(partition, []).append(event)
        if len(open_[partition]) >= size:
            close(partition)
    for partition in sorted(open_):
        close(partition)
    return out


def pack_line(
    line: bytes, number: int, partitions: int, wire: Wire = "json", limits: Limits = LIMITS
) -> tuple[list[Record], int]:
    """Records for one line of JSON, and how many things in it look invalid (sent as they are all the same).

    ``number`` spreads lines that have no routing key over the partitions; ``limits`` are those of the worker.
    """
    found = read_record(line, int(time.time() * 1000), limits)
    events = [item for item in found if isinstance(item, Event)]
    bad = [item for item in found if not isinstance(item, Event)]
    if not events:
        return [Record(number % partitions, None, line, (), 1)], max(1, len(bad))
    if wire == "json" and len(found) == 1:
        event = events[0]
        if event.type in OPTS:
            return _copies(event, line, partitions), 0
        return [Record(partition_of(event.key, partitions), event.key.encode(), line, (JSON_HEADER,), 1)], 0
    records = pack(events, partitions, "batch" if wire == "json" else wire)
    records += [Record(number % partitions, None, item.raw, (), 1) for item in bad]
    return records, len(bad)


def _record(partition: int, batch: Sequence[Event], wire: Wire) -> Record:
    key = batch[0].key.encode()
    if wire == "frame":
        return Record(partition, key, encode_frame(batch), (FRAME_HEADER,), len(batch))
    if wire == "batch" and len(batch) > 1:
        return Record(partition, key, encode_batch(batch), (JSON_HEADER,), len(batch))
    return Record(partition, key, encode_event(batch[0]), (JSON_HEADER,), 1)


def _copies(event: Event, value: bytes, partitions: int) -> list[Record]:
    headers = (JSON_HEADER, ("fanout", str(partitions).encode()))
    return [Record(n, event.key.encode(), value, headers, 1 if n == 0 else 0) for n in range(partitions)]


class LogPublisher:
    """Publishes to the events topic; an async context manager.

    ``acknowledged`` counts events (and bad lines) that the broker has on its log, ``invalid`` lines that look
    as if the worker will reject them. Raises PartUnavailable when Kafka does not answer and DeliveryError when
    a write is not acknowledged.
    """

    store = "the broker"

    def __init__(self, settings: Settings, wire: Wire = "json") -> None:
        self.settings = settings
        self.wire = wire
        self.acknowledged = 0
        self.invalid = 0
        self.partitions = settings.partitions
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._lines = 0
        self._events: list[Event] = []
        self._waiting: dict[int, list[Record]] = {}
        self._bytes: dict[int, int] = {}
        self._under_way: set[asyncio.Future[None]] = set()
        self._failure: BaseException | None = None
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> LogPublisher:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka_brokers,
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

    async def publish(self, event: Event) -> None:
        """Take one event; it is sent with others soon (``push``) or when a set is full."""
        self._events.append(event)
        if len(self._events) >= BATCH_EVENTS[self.wire] * self.partitions:
            await self._gather()

    async def publish_line(self, line: bytes) -> None:
        """Take one line as it is: a JSON event, an array, or something that the worker will reject."""
        self._lines += 1
        if len(line) > LINE_BYTES_MAX:
            raise InputError(f"line {self._lines} has {len(line)} bytes, more than a record may have")
        await self._gather()
        records, bad = pack_line(line, self._lines, self.partitions, self.wire, self._limits)
        self.invalid += bad
        await self._add(records)

    async def publish_records(self, records: Sequence[Record]) -> None:
        """Take records that are packed already; the order inside each partition is the order given."""
        await self._gather()
        await self._add(records)

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

    async def _gather(self) -> None:
        if self._events:
            events, self._events = self._events, []
            await self._add(pack(events, self.partitions, self.wire))

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
