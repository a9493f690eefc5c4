"""The log of the generation that readers see: where devices' events go, and what is pushed.

A topic's number of partitions is for life, so a field grows by a new topic, a replay into it and a switch. The gateway
asks PostgreSQL again and again, and goes over within EVERY_S of a switch. While PostgreSQL does not answer, the last
answer holds; before the first one the settings do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

import psycopg

from projections.follow import Pool
from projections.gateway.unless import unless
from projections.gateway.vectors import Log
from projections.queries import query
from streams.errors import SettingError
from streams.settings import Settings, overlaid

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
FIRST_S: Final = 3.0
"""PostgreSQL gets this long to say what is current."""


class Target:
    """A part of the gateway. ``settings`` are those of the processes of what readers see."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings = settings
        self.generation: str | None = None
        """What readers see; None before PostgreSQL has said so."""
        self.since_ms = 0
        """When it was switched to."""
        self.moved = asyncio.Event()
        """Set when ``log`` is no longer what it was; there is another one then."""
        self._ours = settings
        self._known: dict[str, str] | None = None
        self._pool = pool
        self._asked = asyncio.Event()

    @property
    def log(self) -> Log:
        return Log(self.settings.events_topic, self.settings.partitions)

    @property
    def topic(self) -> str:
        return self.settings.events_topic

    async def first(self) -> None:
        """Wait until PostgreSQL was asked once, whether it has answered or not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._asked.wait()

    async def has(self, id: str) -> bool:
        """Whether the log is the one of this ``Log.id``; another gateway may have heard of a switch before."""
        if id != self.log.id:
            await self._try()
        return id == self.log.id

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        while not stop.is_set():
            await unless(stop, self._try())
            self._asked.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)

    async def _try(self) -> None:
        with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
            async with asyncio.timeout(FIRST_S), self._pool.connection() as connection:
                row = await (await connection.execute(query("generation_seen"))).fetchone()
            self._take(None if row is None else row[0], {} if row is None else row[1], 0 if row is None else row[2])

    def _take(self, generation: str | None, over: dict[str, Any], since_ms: int) -> None:
        known = over if generation is None else {**over, "FIELD_GENERATION": generation}
        self.generation, self.since_ms = generation, since_ms
        if known == self._known:
            return
        try:
            settings = overlaid(self._ours, known)
        except SettingError as error:
            log.error("the settings of generation %s are none of ours: %s", generation, error)
            return
        before, self._known, self.settings = self.log, known, settings
        if self.log != before:
            log.info("the events of generation %s are in topic %s, %s partitions", generation, *self.log)
            moved, self.moved = self.moved, asyncio.Event()
            moved.set()
