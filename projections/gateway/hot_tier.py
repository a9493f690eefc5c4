"""The field in Redis: what the publisher writes, and the gateways' own copy for when it does not.

The copy, ``field:kept``, lives for minutes; which of it and the database is newer is for the reader to say.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from projections.gateway.answers import Snapshot, TierName
from projections.gateway.flight import Rest
from projections.gateway.stores import Look
from projections.hot import CURRENT_KEY, LIVE, Names
from streams.settings import Settings

ANSWER_S: Final = 2.0
REDIS_AWAY: Final = (RedisError, OSError, TimeoutError)

_decoder = msgspec.json.Decoder(Snapshot)
_encode = msgspec.json.Encoder().encode


class HotTier:
    """``stores.Hot``. Looks only where Redis has not just failed."""

    tier: TierName = "redis"

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._kept_s = settings.gateway_kept_s
        self._redis = redis
        self._copied: tuple[str, int] | None = None
        self.rest = Rest()

    async def look(self, known: str) -> Look | None:
        """None: it does not answer. ``known`` is the generation that Redis named before, most likely."""
        if self.rest.resting:
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await self._look(known)
        except REDIS_AWAY:
            self.rest.failed()
            return None
        self.rest.answered()
        return found

    async def keep(self, field: Snapshot) -> None:
        """Write through what came from the database; Redis may be away."""
        if self.rest.resting:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._redis.set(kept_key(field.generation), _encode(field), ex=self._kept_s)
        except REDIS_AWAY:
            self.rest.failed()

    async def _look(self, known: str) -> Look:
        generation, current = await self._redis.mget(CURRENT_KEY, Names.of(known).current)
        name = _text(generation) or known
        if name != known:
            current = await self._redis.get(Names.of(name).current)
        field = decode(current)
        if field is not None:
            await self._copy(name, field)
            return Look(_text(generation), field, None)
        return Look(_text(generation), None, decode(await self._redis.get(kept_key(name))))

    async def _copy(self, name: str, field: Snapshot) -> None:
        """Every snapshot that was read, once: who has gone from it must not stay in the copy. It is made in Redis
        itself, so that it does not travel a second time."""
        if self._copied == (name, field.computed_at):
            return
        pipe = self._redis.pipeline(transaction=True)
        pipe.copy(Names.of(name).current, kept_key(name), replace=True)
        pipe.expire(kept_key(name), self._kept_s)
        await pipe.execute()
        self._copied = name, field.computed_at


def kept_key(generation: str) -> str:
    """The gateways' copy of a generation's field."""
    return "field:kept" if generation == LIVE else f"{generation}:field:kept"


def decode(value: Any) -> Snapshot | None:
    """None too for what is not ours: another version may have written it."""
    if value is None:
        return None
    try:
        return _decoder.decode(value)
    except msgspec.DecodeError:
        return None


def _text(value: Any) -> str | None:
    return None if value is None else value.decode()
