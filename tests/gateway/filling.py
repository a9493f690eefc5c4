"""Stores as worker, projector and publisher would fill them, at the present time and without their processes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from redis.asyncio import Redis

from projections.follow import Pool, Projection
from projections.generations import Current
from projections.hot import Publisher
from projections.positions import Position, Positions
from projections.raw import Raw
from projections.samples import Sampler
from projections.state import State
from projections.views import Views, now_ms
from streams.changes import FieldReading
from streams.events import OPTS, Event
from streams.fold.partition import PartitionFold
from streams.settings import Settings
from streams.table import partition_of
from streams.wire import encode_event
from tests.fixtures.gateway import Serving
from tests.gateway.reading import eventually
from tests.integration.folded import WRITER, FakeFollower
from tests.integration.projecting import database
from tests.worlds import START_S, say


def lately(device: str, kind: str, ago_s: float = 0.0, **more: Any) -> Event:
    """``say``, so many seconds before now."""
    return say(device, kind, time.time() - START_S - ago_s, **more)


class World:
    """Events go to the partition of their key, one a record; ``publish`` and ``project`` bring them to the stores."""

    def __init__(self, settings: Settings, pool: Pool, redis: Redis) -> None:
        self.settings = settings
        self.pool = pool
        self.current = Current(settings)
        self.current.name = settings.generation
        self.views, self._follower = Views(settings), FakeFollower()
        self.views._follower = self._follower  # type: ignore[assignment]
        self.views.ready = True
        self._publisher = Publisher(settings, self.views, redis, self.current)
        self._sampler = Sampler(settings, self.views, pool)
        self._folds = [PartitionFold(n, settings.shards, settings.rules) for n in range(settings.partitions)]
        self._raw: list[list[Any]] = [[] for _ in self._folds]
        self._changes: list[list[Any]] = [[] for _ in self._folds]
        self.events: list[Event] = []

    @property
    def positions(self) -> dict[int, int]:
        """Of all that was said."""
        return {fold.partition: fold.position for fold in self._folds}

    def say(self, *events: Event) -> dict[int, int]:
        """They are on the log and folded, and a checkpoint is made; the positions of these events."""
        places: dict[int, int] = {}
        for event in events:
            everywhere = range(len(self._folds)) if event.type in OPTS else ()
            for number in everywhere or (partition_of(event.key, len(self._folds)),):
                fold, offset = self._folds[number], len(self._raw[number])
                fold.fold(offset, [event])
                self._raw[number].append(_record(number, offset, encode_event(event)))
                places[number] = offset
        self.events += events
        for fold in self._folds:
            checkpoint = fold.checkpoint(WRITER)
            for partition, shard in self._follower.take(checkpoint.records):
                self.views._waiting.setdefault(partition, set()).add(shard)
            queue = self._changes[fold.partition]
            for value in [value for _, value in checkpoint.changes] + [checkpoint.marker]:
                queue.append(_record(fold.partition, len(queue), value))
        return places

    async def publish(self) -> FieldReading:
        """A snapshot into Redis."""
        now = now_ms()
        assert await self._publisher.publish(now)
        return self.views.read(now)

    async def project(self) -> FieldReading:
        """Raw rows, sessions, pairs and the merged row into PostgreSQL."""
        for number in range(len(self._folds)):
            await self._apply(Raw(self.settings), number, self._raw[number])
            await self._apply(State(self.settings), number, self._changes[number])
        now = now_ms()
        await self._sampler.sample(now)
        return self.views.read(now)

    async def _apply(self, projection: Projection, partition: int, records: Sequence[Any]) -> None:
        positions = Positions(projection.name, projection.scope)
        async with self.pool.connection() as connection:
            stored = (await positions.load(connection, partition)).log_offset
        fresh = [record for record in records if record.offset > stored]
        for batch in projection.prepare(partition, fresh) if fresh else ():
            async with self.pool.connection() as connection, connection.transaction():
                to = Position(batch.log_offset, batch.input_position)
                await positions.advance(connection, partition, stored, to)
                await projection.write(connection, partition, batch)
            stored = batch.log_offset


@asynccontextmanager
async def world(settings: Settings) -> AsyncIterator[World]:
    """An empty one, its database migrated; its generation is the current one when it is the first."""
    async with database(settings) as pool, Redis(port=settings.redis_port) as redis:
        yield World(settings, pool, redis)


async def listening(served: Serving, told: World) -> None:
    """Publishes until the gateway has heard of it."""

    async def heard() -> bool:
        await told.publish()
        return served.gateway.reader._listening

    await eventually(heard, "a gateway that listens")


def gathering() -> list[Event]:
    """A room of four who breathe, touch and bloom, and two more rooms: pairs, particles, harmonics."""
    found = []
    for number, device in enumerate(("ana", "bea", "cyd", "dan")):
        found.append(lately(device, "ENTER", 60 - number, room="hall"))
        found += [lately(device, "BREATH", 20 - 2 * n + number / 10, room="hall", phase=n / 3) for n in range(5)]
    for second in (30, 25, 20):
        found.append(lately("ana", "TOUCH", second, room="hall", to="bea"))
    found.append(lately("cyd", "ENTANGLE", 12, room="hall", to="dan"))
    for number in range(7):
        spot = (float(number), -float(number))
        found.append(lately("ana", "BLOOM", 15 - number, room="hall", at=spot, intensity=number / 10))
        found.append(lately(f"one{number}", "ENTER", 14 - number, room=f"room{number}"))
    found.append(lately("eve", "FIELD", 3, at=(1.0, 2.0)))
    return sorted(found, key=lambda event: event.timestamp)


def _record(partition: int, offset: int, value: bytes) -> Any:
    """What aiokafka would give."""
    return SimpleNamespace(topic="t", partition=partition, offset=offset, timestamp=now_ms(), value=value, headers=())
