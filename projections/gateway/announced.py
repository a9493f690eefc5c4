"""Snapshots as the publisher announces them: over a channel of Redis, which may come and go."""

from __future__ import annotations

import asyncio
import time

import msgspec
from redis.asyncio import Redis

from projections.backoff import Backoff
from projections.gateway.flight import Rest
from projections.gateway.hot_tier import REDIS_AWAY
from projections.gateway.reader import SILENCE_S
from projections.gateway.stores import Hearer
from projections.hot import Names


class _News(msgspec.Struct):
    positions: dict[int, int]


class RedisNews:
    """``stores.News``; ``rest`` is that of Redis, which is over when it speaks."""

    def __init__(self, redis: Redis, rest: Rest) -> None:
        self._redis = redis
        self._rest = rest

    async def run(self, hearer: Hearer, stop: asyncio.Event) -> None:
        """Until stopped."""
        backoff = Backoff("redis", stop)
        while not stop.is_set():
            try:
                await self._listen(hearer, stop, backoff)
            except REDIS_AWAY as error:
                hearer.hears(False)
                await backoff.failed(error)

    async def _listen(self, hearer: Hearer, stop: asyncio.Event, backoff: Backoff) -> None:
        """To the snapshots of one generation, until another one is read."""
        generation = hearer.generation
        async with self._redis.pubsub() as heard:
            await heard.subscribe(Names.of(generation).channel_field)
            last_s = time.monotonic()
            while not stop.is_set() and generation == hearer.generation:
                message = await heard.get_message(timeout=0.5)
                if message is not None and message["type"] == "subscribe":
                    hearer.missed()  # what came before was not heard
                elif message is not None:
                    last_s = time.monotonic()
                    hearer.hears(True)
                    self._rest.answered()
                    backoff.answered()
                    _ring(hearer, message["data"])
                elif time.monotonic() - last_s > SILENCE_S:  # nobody publishes, or a connection that is none any more
                    hearer.hears(False)
                    await self._redis.ping()
                    backoff.answered()
                    last_s = time.monotonic()
        hearer.hears(False)


def _ring(hearer: Hearer, message: bytes) -> None:
    try:
        positions = msgspec.json.decode(message, type=_News).positions
    except msgspec.DecodeError:
        return
    hearer.ring(positions)
