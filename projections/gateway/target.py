"""Which topic devices' events go to: the one of the generation that readers see, as trusted publishers have it.

A topic's number of partitions is for life, so a field grows by a new topic, a replay into it and a switch. The gateway
asks PostgreSQL again and again, and goes over within EVERY_S of a switch. While PostgreSQL does not answer, the last
answer holds; before the first one the settings do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

import psycopg

from projections.follow import Pool
from projections.queries import query
from streams.settings import Settings

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
FIRST_S: Final = 3.0
"""PostgreSQL gets this long to say what is current."""


class Target:
    """``topic`` is where to publish now; ``moved`` is set when that is no longer what it was."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.topic = settings.events_topic
        self.moved = asyncio.Event()
        self._ours = settings.events_topic
        self._pool = pool
        self._asked = asyncio.Event()

    async def first(self) -> None:
        """Wait until PostgreSQL was asked once, whether it has answered or not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._asked.wait()

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        while not stop.is_set():
            with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
                await self._ask()
            self._asked.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)

    async def _ask(self) -> None:
        async with asyncio.timeout(FIRST_S), self._pool.connection() as connection:
            row = await (await connection.execute(query("generation_topic"))).fetchone()
        topic = self._ours if row is None or row[0] is None else str(row[0])
        if topic != self.topic:
            log.info("the current generation's events are in topic %s", topic)
            self.topic = topic
            self.moved.set()
