"""How far everything is, by stored positions: the log's ends, and what worker, projections and Redis reflect.

A position is the offset of the last record of the events topic that is reflected; -1 means none. Group lag is
not looked at: a commit says what was read, a stored position says what was kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from projections.hot import Names
from projections.redis_access import redis_at
from streams import access, topics
from streams.changelog import ChangelogFollower
from streams.errors import PartUnavailable
from streams.settings import Settings

WORKER: Final = "worker"
RAW: Final = "raw"
STATE: Final = "state"
STATES: Final = "states"
REDIS: Final = "redis"
ASK_S: Final = 5.0
"""A part that has not answered within this time counts as not answering."""

Positions = dict[int, int]


class Behind(NamedTuple):
    """One projection's partition that does not reflect the log up to ``end`` yet."""

    projection: str
    partition: int
    position: int
    end: int


class LogWatch:
    """Kafka's side, kept open between two looks: the log's ends, and what the worker has kept.

    An async context manager; raises PartUnavailable when Kafka does not answer or has no such topics.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._follower = ChangelogFollower(settings)
        self._consumer = AIOKafkaConsumer(
            **access.brokers(settings), request_timeout_ms=5_000, enable_auto_commit=False
        )
        self._places: list[TopicPartition] = []

    async def __aenter__(self) -> LogWatch:
        try:
            with self._translated():
                async with asyncio.timeout(ASK_S * 2):
                    await self._consumer.start()
                    self._places = await self._partitions()
                    await self._follower.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        await self._follower.stop()
        await self._consumer.stop()

    async def ends(self) -> Positions:
        """Offset of the last record by partition, -1 for an empty one."""
        with self._translated():
            async with asyncio.timeout(ASK_S * 2):
                offsets = await self._consumer.end_offsets(self._places)
                starts = await self._consumer.beginning_offsets(self._places)
        found = sorted(offsets.items())
        return {place.partition: offset - 1 if offset > starts[place] else -1 for place, offset in found}

    async def worker(self) -> Positions:
        """Last offset that the worker has folded and kept, by partition."""
        with self._translated():
            if self._follower.caught_up():
                await self._follower.poll(timeout_ms=100)
            else:
                await self._follower.catch_up()
        return dict(self._follower.positions)

    def worker_moved_s(self) -> dict[int, float]:
        """When the worker last kept something new, by partition (epoch seconds); known after ``worker``."""
        return {partition: ms / 1000 for partition, ms in self._follower.moved_ms.items()}

    async def _partitions(self) -> list[TopicPartition]:
        topic = self._settings.events_topic
        admin = AIOKafkaAdminClient(**access.brokers(self._settings))
        await admin.start()
        try:
            counts = await topics.partition_counts(admin)
        finally:
            await admin.close()
        if topic not in counts:
            raise PartUnavailable(self._where(), f"there is no topic {topic} yet; `field up` creates it")
        return [TopicPartition(topic, partition) for partition in range(counts[topic])]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, TimeoutError, OSError) as error:
            raise PartUnavailable(self._where(), str(error) or "no answer in time; `field up` starts it") from None

    def _where(self) -> str:
        return f"Kafka ({self._settings.kafka_brokers})"


def of_database(settings: Settings, timeout_s: float = ASK_S) -> dict[str, Positions]:
    """Positions of every projection in the database by name; raises PartUnavailable."""
    try:
        with psycopg.connect(settings.database_url, connect_timeout=max(1, int(timeout_s))) as connection:
            if connection.execute("SELECT to_regclass('projection_positions')").fetchone() == (None,):
                raise PartUnavailable("PostgreSQL", "it has no schema yet; `field up` makes it")
            rows = connection.execute(
                "SELECT projection, partition, max(input_position) FROM projection_positions"
                " WHERE generation IN (%s, %s) GROUP BY 1, 2",  # raw rows are shared: their scope is the log
                (settings.generation, settings.events_topic),
            ).fetchall()
            merged = connection.execute(
                "SELECT position FROM consciousness_states_all WHERE node_id = 'field' AND generation = %s",
                (settings.generation,),
            ).fetchone()
    except psycopg.Error as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None
    out: dict[str, Positions] = {}
    for projection, partition, position in rows:
        out.setdefault(projection, {})[partition] = position
    if merged is not None:
        out[STATES] = {int(partition): position for partition, position in merged[0].items()}
    return out


def hot(settings: Settings, timeout_s: float = ASK_S) -> redis.Redis:
    """A Redis client with bounded waiting."""
    return redis.Redis(
        **redis_at(settings),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
    )


def of_redis(settings: Settings, timeout_s: float = ASK_S) -> Positions:
    """Positions that the hot snapshot reflects; raises PartUnavailable."""
    try:
        with hot(settings, timeout_s) as client:
            found: Any = client.get(Names.of(settings.generation).position)
    except redis.RedisError as error:
        raise PartUnavailable(f"Redis ({settings.redis_host}:{settings.redis_port})", str(error)) from None
    return {} if found is None else vector(found)


def vector(blob: bytes) -> Positions:
    """A position vector as it is stored, ``{"0": 41, "1": 7}``."""
    return msgspec.json.decode(blob, type=dict[int, int], strict=False)


def told(late: Iterable[Behind]) -> list[str]:
    """One line for people a projection: ``raw: 12 records behind (partition 0: 3, 1: 9)``."""
    lines = []
    for projection, group in groupby(late, lambda item: item.projection):
        found = {item.partition: item.end - item.position for item in group}
        each = ", ".join(f"{partition}: {count}" for partition, count in found.items())
        lines.append(f"{projection}: {sum(found.values())} records behind (partition {each})")
    return lines


def behind(projection: str, positions: Mapping[int, int], targets: Mapping[int, int]) -> list[Behind]:
    """The partitions that do not reflect ``targets``; one with nothing in it is always reached."""
    return [
        Behind(projection, partition, positions.get(partition, -1), end)
        for partition, end in sorted(targets.items())
        if positions.get(partition, -1) < end
    ]
