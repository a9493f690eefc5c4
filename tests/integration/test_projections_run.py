"""The two processes as they run: real Kafka, PostgreSQL and Redis, outages, SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from redis import Redis

from projections import pool as pool_module
from projections import raw
from projections.follow import Follower
from projections.hot import Names
from projections.migrate import migrate
from projections.positions import Position, Positions
from projections.run import project, publish
from streams import topics
from streams.errors import ProjectionError
from streams.events import Event
from streams.fold.partition import PartitionFold
from streams.settings import Settings, exports
from streams.table import partition_of
from streams.wire import encode_event
from tests.integration.folded import WRITER, lively
from tests.integration.projecting import Door, database, rows, until


class Log:
    """A publisher of events and, for each checkpoint asked for, what a worker would write."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings, self._producer = settings, producer
        self._folds = [PartitionFold(n, settings.shards, settings.rules) for n in range(settings.partitions)]
        self.ends: dict[int, int] = {}

    async def say(self, events: Sequence[Event]) -> None:
        for event in events:
            number = partition_of(event.key, self._settings.partitions)
            sent = await self._producer.send_and_wait(
                self._settings.events_topic, encode_event(event), partition=number
            )
            self.ends[number] = sent.offset
            self._folds[number].fold(sent.offset, [event])

    async def checkpoint(self) -> None:
        for number in self.ends:
            found = self._folds[number].checkpoint(WRITER)
            for key, value in found.changes:
                await self._send(self._settings.changes_topic, number, key, value)
            await self._send(self._settings.changes_topic, number, b"%d/marker" % number, found.marker)
            for key, value in found.records:
                await self._send(topics.changelog_topic(self._settings), number, key, value)

    async def _send(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        await self._producer.send_and_wait(topic, value, key=key, partition=partition)


@asynccontextmanager
async def log_of(settings: Settings) -> AsyncIterator[Log]:
    await topics.create(settings)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers, linger_ms=0) as producer:
        yield Log(settings, producer)


@asynccontextmanager
async def running(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks that are told to stop, and have stopped, whatever happens in the test."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield tasks
    finally:
        stop.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert ends == [None] * len(tasks)


@pytest.fixture
def small(make_settings) -> Settings:
    return make_settings(partitions=2, publish_ms=50, sample_ms=100)


def reflected(settings: Settings, projection: str) -> dict[int, int]:
    return dict(
        rows(
            settings.database_url,
            "SELECT partition, input_position FROM projection_positions"
            " WHERE projection = %s AND generation IN (%s, %s) AND input_position >= 0",
            projection,
            settings.generation,
            settings.events_topic,
        )
    )


async def test_what_is_said_is_in_every_store(small: Settings, redis_port: int) -> None:
    stop, names = asyncio.Event(), Names.of(small.generation)
    await asyncio.to_thread(migrate, small.database_url)
    async with log_of(small) as log, running(stop, project(small, stop), publish(small, stop)):
        for events in (lively(1, 60), lively(2, 60)):
            await log.say(events)
            await log.checkpoint()
        for projection in ("raw", "state"):
            await until(lambda name=projection: reflected(small, name) == log.ends, f"{projection} at {log.ends}")
        with Redis(port=redis_port) as redis:
            wanted = {str(partition): offset for partition, offset in sorted(log.ends.items())}
            await until(lambda: msgspec.json.decode(redis.get(names.position) or b"{}") == wanted, "Redis")
            assert redis.get(names.current) is not None
        await until(
            lambda: (
                rows(small.database_url, "SELECT position FROM consciousness_states WHERE node_id = 'field'")
                == [(wanted,)]
            ),
            "the merged field",
        )
    assert rows(small.database_url, "SELECT count(*) FROM consciousness_events") == [(120,)]
    assert rows(small.database_url, "SELECT count(*) > 3 FROM entanglements") == [(True,)]
    assert rows(small.database_url, "SELECT count(*) >= 3 FROM room64_sessions") == [(True,)]


async def test_postgres_may_go_and_nothing_is_dropped(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "TIMEOUT_S", 1.0)  # so that the batch on its way is given up meanwhile
    address = urlsplit(small.database_url)
    assert address.port is not None
    door, stop = Door(address.port), asyncio.Event()
    await door.open()
    through = replace(small, database_url=address._replace(
        netloc=f"{address.username}:{address.password}@127.0.0.1:{door.port}").geturl())  # fmt: skip
    await asyncio.to_thread(migrate, small.database_url)
    await door.shut()  # it is not there at the start either
    async with door, log_of(small) as log, running(stop, project(through, stop)) as (task,):
        await log.say(lively(3, 40))
        await asyncio.sleep(0.5)
        await door.open()
        await until(lambda: reflected(small, "raw") == log.ends, "raw, after the first outage")
        await door.shut()
        await log.say(lively(4, 40))
        await log.checkpoint()
        await asyncio.sleep(2.5)
        assert not task.done()
        await door.open()
        await until(lambda: reflected(small, "raw") == log.ends, "raw, after the second outage")
        await until(lambda: reflected(small, "state") == log.ends, "state, after the second outage")
    assert rows(small.database_url, "SELECT count(*) FROM consciousness_events") == [(80,)]


async def test_a_position_that_somebody_moved_is_taken_over(small: Settings) -> None:
    """Two projectors of one partition: the guard lets one of them win, and the other goes on from there."""
    at = "SELECT partition, log_offset FROM projection_positions WHERE log_offset >= 0"
    stop = asyncio.Event()
    async with (
        log_of(small) as log,
        database(small) as pool,
        running(stop, Follower(raw.Raw(small), small, pool, stop).run()),
    ):
        await log.say(lively(5, 30))
        await until(lambda: reflected(small, "raw") == log.ends, "raw")
        for partition, end in log.ends.items():
            async with pool.connection() as connection:
                positions = Positions("raw", small.events_topic)
                await positions.advance(connection, partition, end, Position(end - 3, end - 3))
        await log.say(lively(6, 30))
        await until(
            lambda: set(rows(small.database_url, at)) == set(log.ends.items()),
            "raw, from where the other had put it",
        )
    assert rows(small.database_url, "SELECT count(*) FROM consciousness_events") == [(60,)]


async def test_another_log_is_refused(small: Settings) -> None:
    stop = asyncio.Event()
    async with log_of(small), database(small) as pool:
        async with pool.connection() as connection:
            positions = Positions("raw", small.events_topic)
            await positions.load(connection, 0)
            await positions.advance(connection, 0, -1, Position(1_000, 1_000))
        with pytest.raises(ProjectionError, match="another log"):
            await asyncio.wait_for(project(small, stop), 60)


@pytest.mark.parametrize(("projection", "topic", "advice"), [
    ("raw", "events_topic", "from a copy"), ("state", "changes_topic", "another FIELD_GENERATION")])  # fmt: skip
@pytest.mark.parametrize("applied", [-1, 2])
async def test_lost_records_are_no_line_in_a_log_only(
    small: Settings, projection: str, topic: str, advice: str, applied: int
) -> None:
    """Their rows would be missing for ever, also for one that has applied nothing yet."""
    async with log_of(small) as log, database(small) as pool:
        for seed in range(2):
            await log.say(lively(seed, 30))
            await log.checkpoint()
        async with pool.connection() as connection:
            positions = Positions(projection, small.events_topic if projection == "raw" else small.generation)
            for partition in range(small.partitions):
                await positions.load(connection, partition)
                await positions.advance(connection, partition, -1, Position(applied, applied))
        admin = AIOKafkaAdminClient(bootstrap_servers=small.kafka_brokers)
        await admin.start()
        try:
            place = TopicPartition(getattr(small, topic), min(log.ends))
            await admin.delete_records({place: RecordsToDelete(before_offset=4)})
        finally:
            await admin.close()
        with pytest.raises(ProjectionError, match=f"{projection} needs records {applied + 1}..3 .*{advice}") as failed:
            await asyncio.wait_for(project(small, asyncio.Event()), 60)
        assert failed.value.exit_code == 8


@pytest.mark.parametrize("role", ["projector", "publisher"])
async def test_sigterm_ends_it_cleanly(small: Settings, role: str) -> None:
    await topics.create(small)
    code = (
        "import os, sys; from projections.run import run_projector, run_publisher; from streams.settings import"
        f" read, known; sys.exit(run_{role}(read({{k: v for k, v in os.environ.items() if k in known()}})))"
    )
    environment = {**os.environ, **exports(small, secrets=True), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"metrics on" in await process.stdout.readline()
    await asyncio.sleep(2)
    assert process.returncode is None
    process.send_signal(signal.SIGTERM)
    said, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, errors, b"error.stack_trace" in said) == (0, b"", False), said.decode()
