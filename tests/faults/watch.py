"""Watches an instance from beside: who moves the changelog when, and whether anything that is stored goes back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from typing import Any, NamedTuple

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.exceptions import RedisError

from projections.hot import Names
from streams.changes import record_position
from streams.settings import Settings
from streams.table import parse_key
from streams.topics import changelog_topic
from tests.faults import tiers

SAMPLE_S = 0.25
LIMIT_S = 90.0
"""A bound on hanging, never a performance check."""

_STORED = (
    "SELECT 'projection ' || projection || '/' || partition, log_offset FROM projection_positions",
    "SELECT 'shard ' || partition || '/' || shard, position FROM shard_positions",
    "SELECT 'session ' || room_id || '@' || opened, position FROM room64_sessions",
    "SELECT 'pair ' || routing_key || ' ' || low || ' ' || high, position FROM entanglements",
    "SELECT 'state ' || node_id || '/' || p.key, p.value::bigint"
    " FROM consciousness_states, jsonb_each_text(position) AS p",
)


class Move(NamedTuple):
    """A partition's position went on. ``seconds``: monotonic clock when we saw it."""

    seconds: float
    partition: int
    position: int
    writer: str


class Watch:
    """``async with Watch(settings) as watch``; the topics must exist, database and Redis may be away.

    ``moves``: each time a partition came further than ever. ``late``: by writer, records of places that somebody else
    had brought further already. ``back``: what went back that never may: a value of one writer, or a stored position.
    """

    def __init__(self, settings: Settings, *, stores: bool = True) -> None:
        self._settings = settings
        self._stores = stores
        self._tasks: list[asyncio.Task[None]] = []
        self._heights: dict[tuple[int, int | None], tuple[int, str]] = {}
        self._own: dict[bytes, int] = {}
        self._stored: dict[str, int] = {}
        self.moves: list[Move] = []
        self.late: dict[str, int] = {}
        self.back: list[str] = []

    async def __aenter__(self) -> Watch:
        self._tasks.append(asyncio.create_task(self._follow()))
        if self._stores:
            self._tasks.append(asyncio.create_task(self._sample()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        found = await asyncio.gather(*self._tasks, return_exceptions=True)
        failed = [error for error in found if isinstance(error, Exception)]
        if failed:
            raise failed[0]

    @property
    def writers(self) -> set[str]:
        """Everybody who has moved a position so far."""
        return {move.writer for move in self.moves}

    async def moved(self, since: float, known: set[str] | None = None) -> Move:
        """The first move after ``since`` by a writer that is not ``known``; waits for it."""
        end = time.monotonic() + LIMIT_S
        while True:
            for move in reversed(self.moves):
                if move.seconds <= since:
                    break
                if move.writer not in (known or ()):
                    return next(m for m in self.moves if m.seconds > since and m.writer not in (known or ()))
            assert time.monotonic() < end, f"nobody moved any position in {LIMIT_S:g} s"
            await asyncio.sleep(0.02)

    def stall_max(self, since: float, until: float) -> float:
        """Longest time (s) between two moves of any partition, from ``since`` to ``until``."""
        times = [since, *(move.seconds for move in self.moves if since < move.seconds < until), until]
        return max(b - a for a, b in itertools.pairwise(times))

    async def _follow(self) -> None:
        topic = changelog_topic(self._settings)
        async with AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_brokers, enable_auto_commit=False, fetch_max_wait_ms=50
        ) as consumer:
            places = [TopicPartition(topic, number) for number in range(self._settings.partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while True:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        if record.value is not None:
                            self._take(record.key, record_position(record.value))

    def _take(self, key: bytes, position: int) -> None:
        partition, shard, writer = parse_key(key)
        if position < self._own.get(key, -1):
            self.back.append(f"{key.decode()}: {position} after {self._own[key]}")
        self._own[key] = position
        height, who = self._heights.get((partition, shard), (-1, writer))
        if position > height:
            self._heights[partition, shard] = (position, writer)
            if shard is None:
                self.moves.append(Move(time.monotonic(), partition, position, writer))
        elif position < height and who != writer:
            self.late[writer] = self.late.get(writer, 0) + 1

    async def _sample(self) -> None:
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(SAMPLE_S)

    def _look(self) -> None:
        """Rows may go, and come back anew; while one stands there its position only rises."""
        found: dict[str, int] = {}
        with (
            contextlib.suppress(psycopg.Error),
            psycopg.connect(self._settings.database_url, autocommit=True) as database,
        ):
            for sql in _STORED:
                found.update({str(name): int(position) for name, position in database.execute(sql.encode())})
        with contextlib.suppress(RedisError, OSError), tiers.client(self._settings) as redis:
            stored: Any = json.loads(redis.get(Names.of(self._settings.generation).position) or b"{}")
            found.update({f"Redis {partition}": offset for partition, offset in stored.items()})
        for name, position in found.items():
            if position < self._stored.get(name, -1):
                self.back.append(f"{name}: {position} after {self._stored[name]}")
            self._stored[name] = position
