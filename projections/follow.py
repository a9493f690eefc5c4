"""A topic into PostgreSQL: the rows of a batch and the position behind them in one transaction.

Kafka's group only shares out the partitions. Where to read from stands in PostgreSQL: a partition is read after
its position was loaded, and a batch whose position somebody else has moved is forgotten and read again from there.
Each partition has at most one batch on its way, so while PostgreSQL does not answer nothing more is read from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from projections import membership
from projections.backoff import Backoff
from projections.ends import reached
from projections.positions import Connection, Moved, Position, Positions
from projections.queries import query
from streams import access, logs, metrics, traces
from streams.chunks import Chunk
from streams.errors import ProjectionError
from streams.fetching import ChunkConsumer
from streams.settings import Settings

log = logging.getLogger(__name__)

POLL_MS: Final = 100
POLL_BUSY_MS: Final = 10
SETTLE_S: Final = 10.0
HEARTBEAT_MS: Final = 3_000
"""At the latest: with it a member hears that the group comes together anew, however long its session may be silent."""
FEW_RECORDS: Final = 1_000
"""After a batch of fewer there is nothing to catch up with: the next ones may gather for ``project_ms``."""
FETCH_BYTES: Final = 4 * 1024 * 1024  # by partition: the most that waits in memory
Pool = AsyncConnectionPool[Connection]
UNAVAILABLE: Final = (
    psycopg.OperationalError,  # away, starting, its disk full
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby, or somebody has stopped all writing
    psycopg.errors.IdleInTransactionSessionTimeout,
    PoolTimeout,
    TimeoutError,
)
"""PostgreSQL does not take what we have, and may later: wait, and drop nothing."""


class Batch(NamedTuple):
    """What one transaction writes. ``input_position`` -1: these records say nothing about it."""

    log_offset: int
    input_position: int
    content: Any


Found = Sequence[ConsumerRecord[bytes, bytes]] | Sequence[Chunk]
"""What a fetch brought of a partition."""


class Projection(Protocol):
    """What a topic's records become."""

    name: str
    topic: str
    scope: str
    """Of which rows its position speaks: those of a generation, or of a log whose rows all generations share."""
    remedy: str
    """What to do when the topic has lost records that the rows need."""
    chunks: bool
    """Whether it takes the log's own batches as they are."""

    def prepare(self, partition: int, found: Found) -> Iterator[Batch]:
        """Records of one partition, in order, as batches that cover all of them; no I/O."""

    async def write(self, connection: Connection, partition: int, batch: Batch) -> int:
        """Write the rows inside the caller's transaction; returns how many."""


class Follower(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types that mypy can follow
    """Runs one projection over the partitions that its group gives it."""

    def __init__(self, projection: Projection, settings: Settings, pool: Pool, stop: asyncio.Event) -> None:
        self._projection = projection
        self._settings = settings
        self._pool = pool
        self._stop = stop
        self._positions = Positions(projection.name, projection.scope)
        self._loaded: dict[TopicPartition, int] = {}
        self._reflected: dict[int, int] = {}
        self._busy: dict[TopicPartition, asyncio.Task[None]] = {}
        self._postgres = Backoff("postgres", stop)
        self._kafka = Backoff("kafka", stop)
        self._consumer: Any = None
        self._joined = False
        """The group has said which partitions are ours; there may be none."""

    async def run(self) -> None:
        """Until stopped; Kafka and PostgreSQL may come and go. Raises ProjectionError, and faults of our own."""
        while not self._stop.is_set():
            self._joined = False
            self._consumer = self._new_consumer()
            try:
                await self._consumer.start()
                self._kafka.answered()
                self._consumer.subscribe([self._projection.topic], listener=self)
                await self._follow()
            except (KafkaError, OSError) as error:
                await self._kafka.failed(error)
            finally:
                try:
                    await self._settle()
                finally:
                    await self._consumer.stop()

    def reflects(self, ends: Mapping[int, int], asked_s: float) -> bool:
        """``ends.Reflects``: the partitions that are ours are in the rows up to there; not before we know which."""
        if self._consumer is None or not self._joined:
            return False
        ours = {place.partition for place in self._consumer.assignment()}
        return reached(self._reflected, {partition: end for partition, end in ends.items() if partition in ours})

    def waits_for(self) -> str:
        """What it waits for before it writes rows; empty when it does, or has nothing to write."""
        if not self._joined or self._consumer is None:
            return f"the group of {self._projection.topic} says which partitions are its own"
        here = {place for place in self._consumer.assignment() if place in self._loaded or place in self._busy}
        return "" if here or not self._consumer.assignment() else "PostgreSQL says how far its rows are"

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Called by the consumer: positions are loaded again when a partition comes back."""
        self._joined = False
        for place in revoked:
            self._loaded.pop(place, None)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Called by the consumer; the same partition may have been somebody else's in between."""
        await self.on_partitions_revoked(assigned)
        self._joined = True

    def _new_consumer(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **access.brokers(self._settings),
            group_id=membership.group(self._projection.scope, self._projection.name),
            client_id=f"field-{self._projection.name}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._settings.session_timeout_s * 1000,
            request_timeout_ms=self._settings.answer_s * 1000,
            heartbeat_interval_ms=min(HEARTBEAT_MS, self._settings.session_timeout_s * 1000 // 3),
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        return ChunkConsumer.of(consumer, self._projection.topic) if self._projection.chunks else consumer

    async def _follow(self) -> None:
        while not self._stop.is_set():
            self._raise_failures()
            idle = [place for place in self._consumer.assignment() if place not in self._busy]
            ready = [place for place in idle if place in self._loaded or await self._load(place)]
            if not ready:
                await asyncio.wait([*self._busy.values(), _sleep(POLL_MS)], return_when=asyncio.FIRST_COMPLETED)
                continue
            found = await self._consumer.getmany(
                *ready, timeout_ms=POLL_BUSY_MS if self._busy else POLL_MS, max_records=self._settings.project_events
            )
            for place, records in found.items():
                self._busy[place] = asyncio.create_task(self._project(place, records))

    def _check_partitions(self) -> None:
        """With another number every key would seem to stand on the wrong partition, and be passed over."""
        found = len(self._consumer.partitions_for_topic(self._projection.topic) or ())
        if found and found != self._settings.partitions:
            raise ProjectionError(
                f"{self._projection.topic} has {found} partitions, FIELD_PARTITIONS says {self._settings.partitions}: "
                f"set it to {found}"
            )

    async def _load(self, place: TopicPartition) -> bool:
        """Seek to behind the stored position; False when PostgreSQL does not answer."""
        self._check_partitions()
        try:
            async with asyncio.timeout(self._settings.transaction_s), self._pool.connection() as connection:
                position = await self._positions.load(connection, place.partition)
        except Moved:
            return False
        except UNAVAILABLE as error:
            await self._given_up(error)
            return False
        self._postgres.answered()
        await self._check_log(place, position)
        if place not in self._consumer.assignment():  # taken away while we asked
            return False
        self._consumer.seek(place, position.log_offset + 1)
        self._loaded[place] = position.log_offset
        self._show(place.partition, position)
        return True

    async def _check_log(self, place: TopicPartition, position: Position) -> None:
        """A log that ends before the position is another log; one that begins after it lacks records that rows need.

        Going on would leave rows out for ever and say nothing: whoever runs it has to know.
        """
        end = (await self._consumer.end_offsets([place]))[place]
        if end < position.log_offset + 1:
            raise ProjectionError(
                f"projection {self._projection.name} has {place.topic}/{place.partition} up to offset"
                f" {position.log_offset}, but the log ends at {end}: this is another log. Use another generation,"
                " or another database"
            )
        begin = (await self._consumer.beginning_offsets([place]))[place]
        if begin > position.log_offset + 1:
            raise ProjectionError(
                f"projection {self._projection.name} needs records {position.log_offset + 1}..{begin - 1} of"
                f" {place.topic}/{place.partition}, which are no longer there: its rows would lack them."
                f" {self._projection.remedy}"
            )

    async def _project(self, place: TopicPartition, found: Found) -> None:
        if traces.on:
            about: dict[str, str | int] = {"kafka.partition": place.partition, "kafka.offset": _begin(found)}
            with traces.work(f"project {self._projection.name}", found, **about):
                await self._write(place, found)
        else:
            await self._write(place, found)
        if place in self._loaded and _count(found) < FEW_RECORDS:
            await asyncio.sleep(self._settings.project_ms / 1000)

    async def _write(self, place: TopicPartition, found: Found) -> None:
        expected = self._loaded.get(place)
        if expected is None or _begin(found) <= expected:
            self._loaded.pop(place, None)
            return
        try:
            for batch in self._projection.prepare(place.partition, found):
                await self._transact(place.partition, expected, batch)
                expected = batch.log_offset
                if place not in self._loaded:  # taken away meanwhile
                    return
                self._loaded[place] = expected
        except Moved:
            log.info(
                "projection %s was moved by another process", self._projection.name,
                extra=logs.at(place.topic, place.partition),
            )  # fmt: skip
            self._loaded.pop(place, None)
        except UNAVAILABLE as error:
            self._loaded.pop(place, None)  # a commit may or may not have reached the database: ask it
            await self._given_up(error)

    async def _transact(self, partition: int, expected: int, batch: Batch) -> None:
        started = time.perf_counter()
        position = Position(batch.log_offset, batch.input_position)
        limit = asyncio.timeout(self._settings.transaction_s)
        async with limit, self._pool.connection() as connection, connection.transaction():
            await self._positions.advance(connection, partition, expected, position)
            rows = await self._projection.write(connection, partition, batch)
        self._postgres.answered()
        name = self._projection.name
        metrics.PROJECTION_SECONDS.labels(name).observe(time.perf_counter() - started)
        metrics.PROJECTION_ROWS.labels(name).inc(rows)
        self._show(partition, position)

    async def _given_up(self, error: BaseException) -> None:
        """Wait; where nothing was heard, first end what the server still keeps open and locked for nobody.

        It would wait for ever for the rest of a COPY from a client that is gone.
        """
        if isinstance(error, TimeoutError):
            with contextlib.suppress(*UNAVAILABLE):
                async with asyncio.timeout(self._settings.transaction_s), self._pool.connection() as connection:
                    await connection.execute(query("abandoned_end"), (self._settings.transaction_s,))
        await self._postgres.failed(error)

    def _show(self, partition: int, position: Position) -> None:
        if position.input_position >= 0:
            self._reflected[partition] = position.input_position
            gauge = metrics.PROJECTION_POSITION.labels(self._projection.name, str(partition))
            gauge.set(position.input_position)

    def _raise_failures(self) -> None:
        """Take finished tasks away; a fault that is not ours to wait out ends the process."""
        for place in [place for place, task in self._busy.items() if task.done()]:
            self._busy.pop(place).result()

    async def _settle(self) -> None:
        """Let the transactions under way end; one that hangs is given up, and is rolled back or is found done."""
        if self._busy:
            _, hanging = await asyncio.wait(self._busy.values(), timeout=SETTLE_S)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            self._busy = {place: task for place, task in self._busy.items() if task not in hanging}
            self._raise_failures()
        self._loaded.clear()


def _begin(found: Found) -> int:
    first = found[0]
    return first.start if isinstance(first, Chunk) else int(first.offset)


def _count(found: Found) -> int:
    return sum(one.size if isinstance(one, Chunk) else 1 for one in found)


def _sleep(ms: int) -> asyncio.Task[None]:
    return asyncio.create_task(asyncio.sleep(ms / 1000))
