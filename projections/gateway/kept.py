"""Answers of the database by question, kept in memory and in Redis: young ones save a query, older ones stand in.

Both keep a fixed number of answers, however many different questions come. In Redis a question has one of so many
places; another one in the same place takes it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from redis.asyncio import Redis

from projections.gateway.answers import Reflects, TierName
from projections.gateway.flight import Flight, Rest
from projections.gateway.hot_tier import REDIS_AWAY
from projections.gateway.performance import Performance
from projections.gateway.positions import Positions, never_behind
from projections.gateway.problems import Problem
from projections.views import now_ms
from streams.settings import Settings

ANSWERS_MAX: Final = 64
PLACES: Final = 64
BYTES_MAX: Final = 1_000_000
"""A larger one is not kept."""
FLIGHTS_MAX: Final = 64
ANSWER_S: Final = 2.0


class Found(msgspec.Struct, frozen=True):
    """What a question came to: JSON, what it reflects, and when (ms)."""

    question: str
    data: msgspec.Raw
    positions: dict[int, int]
    at: int
    generation: str


class Told(NamedTuple):
    """An answer and where it is from."""

    found: Found
    tier: TierName


class Copies(Protocol):
    """Answers that all gateways share."""

    async def get(self, question: str) -> Found | None: ...
    async def put(self, found: Found) -> None: ...


class Kept:
    """``copies`` None: nobody else asks. ``behind``: whether positions are behind the log for so long (ms)."""

    def __init__(
        self,
        settings: Settings,
        copies: Copies | None,
        performance: Performance,
        behind: Callable[[Positions, int], bool] = never_behind,
    ) -> None:
        self._settings = settings
        self._copies = copies
        self._performance = performance
        self._behind = behind
        self._memory: OrderedDict[str, Found] = OrderedDict()
        self._flights: dict[str, Flight[Told]] = {}

    async def ask(self, question: str, load: Callable[[], Awaitable[Found | None]]) -> Told:
        """The answer; ``load`` asks the database, None: it does not answer. Raises Problem (503)."""
        found = self._memory.get(question)
        if found is not None and self._young(found):
            self._memory.move_to_end(question)
            self._performance.read(True)
            return Told(found, "memory")
        flight = self._flights.get(question)
        if flight is None:
            if len(self._flights) >= FLIGHTS_MAX:
                raise Problem(503, "busy", f"{FLIGHTS_MAX} questions are being answered already", retry_after_s=1)
            flight = self._flights[question] = Flight(lambda: self._load(question, load))
            flight.join().add_done_callback(lambda _: self._flights.pop(question, None))
        told = await asyncio.shield(flight.join())
        self._performance.read(told.tier != "database")
        return told

    def behind(self, positions: Positions) -> bool:
        """Whether the log has had more for so long that an answer at these positions is stale."""
        return self._behind(positions, self._settings.gateway_stale_ms)

    def reflects(self, told: Told) -> Reflects:
        found, age_ms = told.found, max(0, now_ms() - told.found.at)
        stale = age_ms > self._settings.gateway_stale_ms or self.behind(found.positions)
        return Reflects(told.tier, found.positions, found.at, age_ms, found.generation, stale)

    async def _load(self, question: str, load: Callable[[], Awaitable[Found | None]]) -> Told:
        copy = None if self._copies is None else await self._copies.get(question)
        if copy is not None and self._young(copy):
            self._remember(copy)
            return Told(copy, "redis")
        fresh = await load()
        if fresh is not None:
            self._remember(fresh)
            if self._copies is not None:
                await self._copies.put(fresh)
            return Told(fresh, "database")
        if copy is not None:
            self._remember(copy)
            return Told(copy, "redis")
        older = self._memory.get(question)
        if older is not None and now_ms() - older.at <= self._settings.gateway_kept_s * 1000:
            return Told(older, "memory")
        raise Problem(
            503, "database_away", "the database does not answer, or not in time for a range as long as this one",
            retry_after_s=2,
        )  # fmt: skip

    def _young(self, found: Found) -> bool:
        return 0 <= now_ms() - found.at < self._settings.gateway_memory_ms

    def _remember(self, found: Found) -> None:
        if len(found.data) > BYTES_MAX:
            return
        self._memory[found.question] = found
        self._memory.move_to_end(found.question)
        while len(self._memory) > ANSWERS_MAX:
            self._memory.popitem(last=False)


class RedisCopies:
    """``rest``: that of Redis, so that one failure there is enough."""

    def __init__(self, settings: Settings, redis: Redis, rest: Rest) -> None:
        self._kept_s = settings.gateway_kept_s
        self._redis = redis
        self._rest = rest

    async def get(self, question: str) -> Found | None:
        if self._rest.resting:
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                value: Any = await self._redis.get(place(question))
        except REDIS_AWAY:
            self._rest.failed()
            return None
        if value is None:
            return None
        try:
            found = msgspec.json.decode(value, type=Found)
        except msgspec.DecodeError:
            return None
        return found if found.question == question else None

    async def put(self, found: Found) -> None:
        if self._rest.resting or len(found.data) > BYTES_MAX:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._redis.set(place(found.question), msgspec.json.encode(found), ex=self._kept_s)
        except REDIS_AWAY:
            self._rest.failed()


def place(question: str) -> str:
    """The key in Redis."""
    digest = hashlib.blake2b(question.encode(), digest_size=8).digest()
    return f"gateway:kept:{int.from_bytes(digest, 'big') % PLACES}"
