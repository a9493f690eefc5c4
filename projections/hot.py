"""The publisher: the merged field into Redis, a few times a second.

Everything of a snapshot is written by one script (``publish.lua``), which refuses a vector of positions
that is behind the stored one. There is no queue: while Redis does not answer the next try carries the newest field.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from projections.backoff import Backoff
from projections.ends import reached
from projections.generations import Current
from projections.redis_access import redis_at
from projections.samples import summary
from projections.views import Views, now_ms
from streams import metrics
from streams.changes import FieldReading
from streams.settings import Settings

log = logging.getLogger(__name__)

NAME: Final = "redis"
LIVE: Final = "live"
TIMEOUT_S: Final = 2.0
CURRENT_KEY: Final = "field:generation"
"""Names the generation that readers should look at; without a prefix."""

_encode = msgspec.json.Encoder().encode


class Names(NamedTuple):
    """Keys and channels of a generation; those of the live one have no prefix."""

    position: str
    at: str
    current: str
    entanglements: str
    stream: str
    channel_field: str
    channel_rooms: str
    channel_entanglements: str

    @classmethod
    def of(cls, generation: str) -> Names:
        prefix = "" if generation == LIVE else f"{generation}:"
        return cls(
            *(
                prefix + name
                for name in (
                    "field:position", "field:at", "field:current", "entanglements", "consciousness:stream",
                    "consciousness:field", "consciousness:rooms", "consciousness:entanglements",
                )
            )
        )  # fmt: skip


class Publisher:
    """Reads the field from ``views`` and stores it; while ``current`` is ours, Redis names our generation."""

    def __init__(self, settings: Settings, views: Views, redis: Redis, current: Current | None = None) -> None:
        self._settings = settings
        self._views = views
        self._redis = redis
        self._current = current
        self._names = Names.of(settings.generation)
        self._script = redis.register_script(
            resources.files("projections").joinpath("publish.lua").read_text(encoding="utf-8")
        )
        self._written_s = 0.0
        self._behind = False
        self._answered = False
        self._told: dict[int, int] = {}
        self._pairs: set[tuple[str, str]] | None = None
        self._rooms: set[tuple[str, int]] | None = None

    def reflects(self, ends: Mapping[int, int], asked_s: float) -> bool:
        """``ends.Reflects``: a snapshot that has all that, stored since; not while Redis is away."""
        return self._written_s >= asked_s and reached(self._told, ends)

    def waits_for(self) -> str:
        """Redis, while it has not answered to a snapshot; empty when it has, be it that it has a newer one."""
        return "" if self._answered else "Redis takes a snapshot"

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; Redis may come and go."""
        backoff = Backoff("redis", stop)
        while not stop.is_set():
            began = time.monotonic()
            if self._views.ready:
                try:
                    await self.publish(now_ms())
                    backoff.answered()
                    self._answered = True
                except (RedisError, OSError) as error:
                    self._answered = False
                    await backoff.failed(error)
            with contextlib.suppress(TimeoutError):
                wait_s = began + self._settings.publish_ms / 1000 - time.monotonic()
                await asyncio.wait_for(stop.wait(), max(0.0, wait_s))

    async def publish(self, now: int) -> bool:
        """One snapshot at ``now`` (ms); False when Redis has a newer one. Raises RedisError, FoldVersionError."""
        started = time.perf_counter()
        self._views.refresh()
        reading, positions = self._views.read(now), dict(self._views.positions)
        names, shown = self._names, bounded(reading, self._settings.hot_rows)
        arguments: list[bytes | str | int] = [
            _encode(_vector(positions)),
            reading.at,
            _encode(snapshot(reading, shown, positions, now, self._settings)),
            self._settings.hot_s,
            self._settings.stream_length,
            _encode(brief(reading, positions)) if positions != self._told else b"",
            _encode(self._messages(reading, positions)),
        ]
        for pair in shown.pairs:
            arguments += (f"{pair.low}|{pair.high}", _encode(pair))
        written = await self._script(
            keys=[names.position, names.at, names.current, names.entanglements, names.stream], args=arguments
        )
        if not written:
            if not self._behind:
                log.warning("Redis has a newer field than this publisher: %s", _vector(positions))
            self._behind = True
            return False
        if self._current is not None and self._current.ours:
            await self._redis.set(CURRENT_KEY, self._settings.generation)
        self._behind = False
        self._told = positions
        self._written_s = time.time()
        self._pairs = pairs_of(reading)
        self._rooms = rooms_of(reading)
        self._measure(positions, len(shown.pairs), started)
        return True

    def _messages(self, reading: FieldReading, positions: dict[int, int]) -> list[tuple[str, str]]:
        """(channel, message): the field each time, rooms and pairs when some came or went."""
        names, most = self._names, self._settings.hot_rows
        messages = [(names.channel_field, _encode(brief(reading, positions)).decode())]
        if self._rooms is not None and (some := news(self._rooms, rooms_of(reading), most)):
            messages.append((names.channel_rooms, _encode({"at": reading.at} | some).decode()))
        if self._pairs is not None and (some := news(self._pairs, pairs_of(reading), most)):
            messages.append((names.channel_entanglements, _encode({"at": reading.at} | some).decode()))
        return messages

    def _measure(self, positions: dict[int, int], pairs: int, started: float) -> None:
        seconds = time.perf_counter() - started
        metrics.PUBLISH_SECONDS.observe(seconds)
        metrics.PROJECTION_SECONDS.labels(NAME).observe(seconds)
        metrics.PROJECTION_ROWS.labels(NAME).inc(1 + pairs)
        for partition, position in positions.items():
            metrics.PROJECTION_POSITION.labels(NAME, str(partition)).set(position)


def bounded(reading: FieldReading, rows_max: int) -> FieldReading:
    """The reading with lists of at most ``rows_max`` rows, in the same order; its numbers count all there are.

    The strongest and then the newest pairs stay, the fullest rooms, and in these the first of those present, so many
    in all rooms together. The fold itself bounds particles and quantum fields.
    """
    pairs, rooms = reading.pairs, reading.rooms
    if len(pairs) > rows_max:
        pairs = heapq.nlargest(rows_max, pairs, key=lambda pair: (pair.strength, pair.last or pair.established))
        pairs.sort(key=lambda pair: (pair.low, pair.high))
    if len(rooms) > rows_max or sum(len(room.participants) for room in rooms) > rows_max:
        rooms, left = [], rows_max
        for room in heapq.nlargest(rows_max, reading.rooms, key=lambda room: room.present):
            rooms.append(msgspec.structs.replace(room, participants=room.participants[:left]))
            left -= len(rooms[-1].participants)
        rooms.sort(key=lambda room: room.room_id)
    return msgspec.structs.replace(reading, pairs=pairs, rooms=rooms)


def snapshot(
    reading: FieldReading, shown: FieldReading, positions: dict[int, int], now: int, settings: Settings
) -> dict[str, Any]:
    """``field:current``: the reading with ``shown``'s lists, where in the log it stands, when it was computed (ms)."""
    return msgspec.structs.asdict(shown) | {
        "rooms_open": len(reading.rooms),
        "positions": _vector(positions),
        "computed_at": now,
        "generation": settings.generation,
        "fold_version": settings.rules.version,
    }


def connect(settings: Settings) -> Redis:
    """A client that fails soon and never retries by itself: ``Backoff`` does."""
    return Redis(
        **redis_at(settings),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def brief(reading: FieldReading, positions: dict[int, int]) -> dict[str, Any]:
    """The message of the field channel: the reading without its lists, and where in the log it stands."""
    return summary(reading) | {"positions": _vector(positions)}


def _vector(positions: dict[int, int]) -> dict[str, int]:
    return {str(partition): positions[partition] for partition in sorted(positions)}


def pairs_of(reading: FieldReading) -> set[tuple[str, str]]:
    """The pairs that ``news`` is about."""
    return {(pair.low, pair.high) for pair in reading.pairs}


def rooms_of(reading: FieldReading) -> set[tuple[str, int]]:
    """The rooms that ``news`` is about, with when they opened."""
    return {(room.room_id, room.opened) for room in reading.rooms}


def news(before: set[Any], after: set[Any], most: int) -> dict[str, list[Any]]:
    """What came and what went, so many of each at most; empty when nothing did."""
    came, went = sorted(after - before)[:most], sorted(before - after)[:most]
    return {"came": came, "went": went} if came or went else {}
