"""News of the field, rooms and entanglements: from Redis, and from Kafka while Redis has none.

The publisher sends them over the channels of the current generation (schema/redis.md). When Redis does not answer, or
nobody has published for ``FIELD_HOT_S``, the same messages are made here from the changelog, as long as anybody wants
them; they end when Redis speaks again. What came and went in between, while that was found out, is told by nobody:
listeners who show rooms read them anew when they see the tier change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from projections.backoff import Backoff
from projections.gateway.filters import Filters
from projections.gateway.groups import Groups
from projections.gateway.listener import Listener
from projections.gateway.positions import never_behind
from projections.gateway.pushed import message
from projections.gateway.stores import Aim
from projections.hot import CURRENT_KEY, Names, brief, news, pairs_of, rooms_of
from projections.views import Views, now_ms
from streams import metrics
from streams.errors import FoldVersionError
from streams.settings import Settings

log = logging.getLogger(__name__)

KINDS: Final = ("field", "rooms", "entanglements")
LOOK_S: Final = 1.0
"""How often the name of the current generation is read, and Redis shown to be there."""
WATCH_S: Final = 0.1

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class States:
    """Hands messages to ``groups``. Without a Redis they are all made here, of ``views``.

    ``behind``: whether the log has had more than positions for so long (ms): while nothing is folded the publisher goes
    on with what there was.
    """

    def __init__(
        self,
        settings: Settings,
        redis: Redis | None,
        groups: Groups,
        target: Aim,
        views: Callable[[Settings], Views] = Views,
        behind: Callable[[dict[int, int], int], bool] = never_behind,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self.groups = groups
        self._target = target
        self._views = views
        self._behind = behind
        self._generation = settings.generation
        self._heard_s = -1e9
        self._at = -1
        self._last: dict[str, Any] | None = None
        self.tier = "memory" if redis is None else "redis"
        """Where the messages come from now: redis, or memory (made here)."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        async with asyncio.TaskGroup() as tasks:
            if self._redis is not None:
                tasks.create_task(self._listen(self._redis, stop))
            tasks.create_task(self._stand_in(stop))

    def greet(self, listener: Listener, filters: Filters) -> None:
        """The newest message of the field, for one who has just come."""
        if self._last is not None and "field" in filters.kinds:
            listener.hear(message("field", self._reflecting(self._last), self.groups.id))

    async def _listen(self, redis: Redis, stop: asyncio.Event) -> None:
        backoff = Backoff("redis", stop)
        while not stop.is_set():
            try:
                self._generation = await self._current(redis)
                names = Names.of(self._generation)
                channels = names.channel_field, names.channel_rooms, names.channel_entanglements
                async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(*channels)
                    backoff.answered()
                    await self._hear(redis, pubsub, dict(zip(channels, KINDS, strict=True)), stop)
            except (RedisError, OSError, TimeoutError) as error:
                self._heard_s = -1e9
                await backoff.failed(error)

    async def _hear(self, redis: Redis, pubsub: Any, kinds: Mapping[str, str], stop: asyncio.Event) -> None:
        """What is published, until another generation is the current one."""
        looked_s = time.monotonic()
        while not stop.is_set():
            found = await pubsub.get_message(timeout=LOOK_S)
            if found is not None:
                kind = kinds.get(found["channel"].decode())
                if kind is not None:
                    self._take(kind, found["data"])
            if time.monotonic() - looked_s >= LOOK_S:
                looked_s = time.monotonic()
                if await self._current(redis) != self._generation:
                    self._at = -1
                    return

    async def _current(self, redis: Redis) -> str:
        """The generation that readers should look at; ours where Redis names none."""
        name: Any = await redis.get(CURRENT_KEY)
        return str(name, "utf-8") if name else self._settings.generation

    def _take(self, kind: str, data: bytes) -> None:
        try:
            content = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("no message of ours on a channel of the field: %r", error)
            return
        if kind == "field":
            self._heard_s = time.monotonic()
            self._tier("redis")
        self._say(kind, content)

    def _tier(self, tier: str) -> None:
        if tier != self.tier:
            log.warning("the field's messages come from %s", "Redis again" if tier == "redis" else "Kafka")
            metrics.PUSH_FALLBACK.set(tier != "redis")
        self.tier = tier

    def _say(self, kind: str, content: dict[str, Any]) -> None:
        """A field that is older than the one before is not shown: the two sources may overlap."""
        if kind == "field":
            if content["at"] < self._at:
                return
            self._at, self._last = content["at"], content
            content = self._reflecting(content)
        self.groups.state(kind, content)

    def _reflecting(self, content: dict[str, Any]) -> dict[str, Any]:
        age_ms = max(0, now_ms() - content["at"])
        positions = {int(number): at for number, at in content["positions"].items()}
        stale = age_ms > 1000 * self._settings.hot_s or self._behind(positions, self._settings.gateway_stale_ms)
        reflects = {
            "tier": self.tier, "positions": content["positions"], "at": content["at"], "age_ms": age_ms,
            "generation": self._generation, "stale": stale,
        }  # fmt: skip
        return {**content, "reflects": reflects}

    @property
    def silent(self) -> bool:
        """Whether nobody publishes to Redis."""
        return time.monotonic() - self._heard_s > self._settings.hot_s

    async def _stand_in(self, stop: asyncio.Event) -> None:
        """While Redis is silent and somebody listens, read the field from the changelog."""
        while not stop.is_set():
            if self.silent and self.groups.wanted(*KINDS):
                over = asyncio.Event()
                views = self._views(self._settings_of(self._generation))
                reading = asyncio.create_task(views.keep(over))
                try:
                    await self._publish(views, stop)
                finally:
                    over.set()
                    await asyncio.gather(reading, return_exceptions=True)
            await _rest(stop, WATCH_S)

    def _settings_of(self, generation: str) -> Settings:
        """A generation may have rules and partitions of its own."""
        seen = self._target.settings
        return seen if seen.generation == generation else replace(self._settings, generation=generation)

    async def _publish(self, views: Views, stop: asyncio.Event) -> None:
        """As the publisher does, from our own views."""
        rooms: set[Any] | None = None
        pairs: set[Any] | None = None
        generation, most = self._generation, self._settings.hot_rows
        while not stop.is_set() and self.silent and generation == self._generation and self.groups.wanted(*KINDS):
            began = time.monotonic()
            if views.ready:
                try:
                    views.refresh()
                except FoldVersionError as error:
                    log.error("the field cannot be read from Kafka: %s", error)
                    await _rest(stop, self._settings.push_stale_s)
                    return
                reading = views.read(now_ms())
                self._tier("memory")
                self._say(
                    "field", brief(reading, {number: views.positions[number] for number in sorted(views.positions)})
                )
                if rooms is not None and (some := news(rooms, rooms_of(reading), most)):
                    self._say("rooms", {"at": reading.at} | some)
                if pairs is not None and (some := news(pairs, pairs_of(reading), most)):
                    self._say("entanglements", {"at": reading.at} | some)
                rooms, pairs = rooms_of(reading), pairs_of(reading)
            await _rest(stop, max(WATCH_S, began + self._settings.publish_ms / 1000 - time.monotonic()))


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
