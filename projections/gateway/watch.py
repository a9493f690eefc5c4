"""What is known of all parts, asked for every two seconds: stores by asking them, processes by what stores tell.

The worker's and the projector's groups in Kafka say whether somebody is in them, the publisher's snapshot lives only as
long as it publishes. Positions come from where each part keeps them; the worker's is the commit behind its checkpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.asyncio import Redis

from projections import membership
from projections.backoff import Backoff
from projections.follow import Pool
from projections.gateway.answers import Health, PartHealth, Parts
from projections.gateway.cold_tier import CONNECT_S, POSTGRES_AWAY
from projections.gateway.hot_tier import REDIS_AWAY
from projections.gateway.positions import Positions, lowest, reached
from projections.gateway.target import Target
from projections.gateway.unless import whole
from projections.hot import Names
from projections.queries import query
from streams import access, topics
from streams.settings import Settings

EVERY_S: Final = 2.0
ANSWER_S: Final = 3.0
ENDS_KEPT: Final = 64
_PROJECTIONS: Final = ("raw", "state")


Look = Callable[[], Awaitable[str | None]]
"""Asks a store; what is wrong with it though it answers, or None."""


class Members(NamedTuple):
    """What Kafka says of the groups; None: not known."""

    worker: int | None
    projector: int | None


class LogEnds:
    """Where the log ended lately; ``ends``: its last offsets, None while nobody knows."""

    def __init__(self) -> None:
        self.ends: Positions | None = None
        self._seen: deque[tuple[float, Positions]] = deque(maxlen=ENDS_KEPT)

    def found(self, asked_s: float, ends: Positions) -> None:
        """They were at least these at that time (epoch seconds)."""
        self.ends = ends
        self._seen.append((asked_s, ends))

    def lost(self) -> None:
        """Nothing has come to a log that is away, as far as anybody knows."""
        self.ends = None
        self._seen.clear()

    def behind(self, positions: Mapping[int, int], bound_ms: int) -> bool:
        """Whether the log has held more than ``positions`` for longer than ``bound_ms``."""
        before_s = time.time() - bound_ms / 1000
        return any(asked_s <= before_s and not reached(positions, ends) for asked_s, ends in self._seen)

    def lag(self, positions: Mapping[int, int]) -> Positions | None:
        """Records that ``positions`` are behind the log's end."""
        if self.ends is None:
            return None
        return {number: max(0, end - positions.get(number, -1)) for number, end in self.ends.items()}


class Progress:
    """One part: what it reflects, and when that was the end of the log (epoch seconds; 0: not seen yet)."""

    def __init__(self) -> None:
        self.positions: Positions | None = None
        self.since_s = 0.0

    def look(self, asked_s: float, ends: Positions | None) -> None:
        if self.positions is not None and ends is not None and reached(self.positions, ends):
            self.since_s = asked_s

    def lag(self, ends: Positions | None) -> Positions | None:
        if self.positions is None or ends is None:
            return None
        return {partition: max(0, end - self.positions.get(partition, -1)) for partition, end in ends.items()}


class StoreHealth:
    """A store: whether it answered last, when, and what was wrong."""

    def __init__(self) -> None:
        self.up: bool | None = None
        self.answered_s = 0.0
        self.problem: str | None = None

    def health(self, now_s: float) -> PartHealth:
        age_s = now_s - self.answered_s if self.answered_s else None
        return PartHealth(self.up, None, None if age_s is None else round(max(0.0, age_s), 3), self.problem)


class Watch(LogEnds):
    """A part of the gateway. ``generation`` says which one is read."""

    def __init__(
        self, settings: Settings, pool: Pool, redis: Redis, generation: Callable[[], str], target: Target
    ) -> None:
        super().__init__()
        self._settings = settings
        self._pool = pool
        self._redis = redis
        self._generation = generation
        self._target = target
        self._consumer: Any = None
        self._admin: Any = None
        self._topic = ""
        self._members_of: Members | None = None
        self._publishes: bool | None = None
        self.stores = {"kafka": StoreHealth(), "postgres": StoreHealth(), "redis": StoreHealth()}
        self.followers = {"worker": Progress(), "projector": Progress(), "publisher": Progress()}

    def health(self, ready: bool) -> Health:
        now_s = time.time()
        groups = self._members_of
        up = {
            "worker": _any(groups.worker if groups else None),
            "projector": _any(groups.projector if groups else None),
            "publisher": self._publishes,
        }
        found = {name: store.health(now_s) for name, store in self.stores.items()}
        for name, progress in self.followers.items():
            fresh_s = round(max(0.0, now_s - progress.since_s), 3) if progress.since_s else None
            problem = None if up[name] is not False else _GONE[name]
            found[name] = PartHealth(up[name], progress.lag(self.ends), fresh_s, problem)
        return Health(alive=True, ready=ready, generation=self._generation(), end=self.ends, parts=Parts(**found))

    async def run(self, stop: asyncio.Event) -> None:
        """Looks until stopped; a store that does not answer is asked less often."""
        stopping = asyncio.ensure_future(stop.wait())
        looks = [
            asyncio.ensure_future(look)
            for look in (
                self._again(stop, "kafka", self._kafka, (KafkaError, OSError, TimeoutError)),
                self._again(stop, "postgres", self._postgres, POSTGRES_AWAY),
                self._again(stop, "redis", self._redis_look, REDIS_AWAY),
            )
        ]
        try:
            done, _ = await asyncio.wait({*looks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*looks, stopping):
                task.cancel()  # who asks a store that is away need not wait for it
            await asyncio.gather(*looks, return_exceptions=True)
            await self._leave()
        for task in done - {stopping}:
            task.result()

    async def _again(
        self,
        stop: asyncio.Event,
        name: str,
        look: Callable[[], Awaitable[str | None]],
        away: tuple[type[BaseException], ...],
    ) -> None:
        backoff, store = Backoff(name, stop), self.stores[name]
        while not stop.is_set():
            try:
                async with asyncio.timeout(ANSWER_S):
                    problem = await look()
            except away as error:
                store.up, store.problem = False, _line(error)
                self._lost(name)
                if name == "kafka":
                    await self._leave()
                await backoff.failed(error)
                continue
            store.up, store.problem, store.answered_s = True, problem, time.time()
            backoff.answered()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)

    def _lost(self, name: str) -> None:
        """What only this store told is not known any more."""
        if name == "kafka":
            self._members_of = None
            self.lost()
            self.followers["worker"].positions = None
        elif name == "postgres":
            self.followers["projector"].positions = None
        else:
            self.followers["publisher"].positions = None
            self._publishes = None

    async def _kafka(self) -> str | None:
        if self._consumer is None:
            await self._connect()
        topic, partitions = self._target.log
        if self._topic != topic:  # to ask for its end would wait until it is there
            self.lost()
            if topic not in await self._consumer.topics():
                return f"there is no topic {topic} yet"
            self._topic = topic
        asked_s = time.time()
        places = [TopicPartition(topic, number) for number in range(partitions)]
        ends = {place.partition: end - 1 for place, end in sorted((await self._consumer.end_offsets(places)).items())}
        settings = self._settings_of_generation()
        group = topics.app_id(settings)
        committed = await self._admin.list_consumer_group_offsets(group)
        worker = {place.partition: found.offset - 1 for place, found in committed.items()
                  if place.topic == topic and found.offset >= 0}  # fmt: skip
        members = [await self._members(name) for name in (group, membership.group(settings.generation, "state"))]
        self._members_of = Members(*members)
        self.found(asked_s, ends)
        self.followers["worker"].positions = worker
        for progress in self.followers.values():
            progress.look(asked_s, ends)
        return None

    async def _connect(self) -> None:
        line = {
            **access.brokers(self._settings),
            "client_id": "field-gateway-watch",
            "request_timeout_ms": int(ANSWER_S * 1000),
        }
        self._consumer = AIOKafkaConsumer(**line, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(**line)
        await whole(self._consumer.start())
        await whole(self._admin.start())

    async def _leave(self) -> None:
        consumer, admin = self._consumer, self._admin
        self._consumer = self._admin = None
        self._topic = ""
        for client, end in ((consumer, "stop"), (admin, "close")):
            if client is not None:
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await getattr(client, end)()

    async def _members(self, group: str) -> int | None:
        """How many are in a group; None where the broker does not say."""
        for response in await self._admin.describe_consumer_groups([group]):
            for found in response.to_object()["groups"]:
                return len(found["members"]) if not found["error_code"] else None
        return None

    async def _postgres(self) -> str | None:
        generation = self._generation()
        parameters = {"generation": generation, "log": self._settings.events_topic}
        async with self._pool.connection(CONNECT_S) as connection:
            rows = await (await connection.execute(query("gateway_positions"), parameters)).fetchall()
            merged = await (await connection.execute(query("gateway_position"), parameters)).fetchone()
        vectors: dict[str, Positions] = {name: {} for name in _PROJECTIONS}
        for projection, partition, position in rows:
            vectors[projection][partition] = position
        vectors["states"] = {} if merged is None else {int(number): at for number, at in merged[0].items()}
        self.followers["projector"].positions = lowest(vectors.values())
        return None

    async def _redis_look(self) -> str | None:
        names = Names.of(self._generation())
        position, current = await asyncio.gather(self._redis.get(names.position), self._redis.exists(names.current))
        stored = {} if position is None else msgspec.json.decode(position, type=dict[int, int])
        self.followers["publisher"].positions = stored
        self._publishes = bool(current)
        return None

    def _settings_of_generation(self) -> Settings:
        return replace(self._settings, generation=self._generation())


_GONE: Final = {
    "worker": "nobody is in its group: nothing is folded",
    "projector": "nobody is in its group: PostgreSQL stays as it is",
    "publisher": "its snapshot has run out: Redis stays as it is",
}


def _any(members: int | None) -> bool | None:
    return None if members is None else members > 0


def _line(error: BaseException) -> str:
    """Its class only: this is shown to anybody, and an error's words name hosts and users. The log has them."""
    return type(error).__name__
