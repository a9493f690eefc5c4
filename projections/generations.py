"""Which generation readers see: one row in PostgreSQL, followed by whoever acts on it.

The raw rows that all generations share are written by the current one's projector, and Redis says by a key whose
snapshot is the current one; both learn of a switch within EVERY_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from projections.queries import query
from streams import metrics
from streams.settings import Settings, identity

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
ANSWER_S: Final = 3


def enter(settings: Settings) -> None:
    """Make this generation known; the first one of a database becomes the current one. Raises psycopg.Error."""
    parameters = {
        "generation": settings.generation,
        "fold_version": settings.rules.version,
        "settings": msgspec.json.encode(identity(settings)).decode(),
    }
    with psycopg.connect(settings.database_url, connect_timeout=ANSWER_S) as connection:
        connection.execute(query("generation_enter"), parameters)
        connection.execute(query("generation_claim"), parameters)


class Current:
    """Follows the row. ``name`` is what it said last; None before the first answer. PostgreSQL may come and go."""

    def __init__(self, settings: Settings) -> None:
        self.name: str | None = None
        self._url = settings.database_url
        self._generation = settings.generation

    @property
    def ours(self) -> bool:
        """Whether readers see the generation of this process."""
        return self.name == self._generation

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        while not stop.is_set():
            with contextlib.suppress(psycopg.Error, OSError, TimeoutError):  # the last answer holds
                async with asyncio.timeout(ANSWER_S):
                    connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
                try:
                    await self._follow(connection, stop)
                finally:
                    await connection.close()
            await _rest(stop)

    async def only_ours(self, stop: asyncio.Event, work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        """Do ``work``, which ends soon after its own event is set, while the generation is ours; until stopped."""
        while not stop.is_set():
            if not self.ours:
                await _rest(stop)
                continue
            over = asyncio.Event()
            watching = asyncio.create_task(self._until_others(stop, over))
            try:
                await work(over)
            finally:
                watching.cancel()

    async def _until_others(self, stop: asyncio.Event, over: asyncio.Event) -> None:
        while self.ours and not stop.is_set():
            await _rest(stop)
        over.set()

    async def _follow(self, connection: psycopg.AsyncConnection[tuple[Any, ...]], stop: asyncio.Event) -> None:
        while not stop.is_set():
            async with asyncio.timeout(ANSWER_S):
                row = await (await connection.execute(query("generation_current"))).fetchone()
                measured = await (await connection.execute(query("generations_measured"))).fetchall()
            if row is not None and row[0] != self.name:
                log.info("readers see generation %s, this is %s", row[0], self._generation)
                self.name = row[0]
            _measure(measured)
            await _rest(stop)


def _measure(rows: Sequence[tuple[Any, ...]]) -> None:
    """Rows of ``generations_measured`` as metrics; what readers see was accepted by whoever switched to it."""
    info: dict[tuple[str, ...], int] = {(name, stage, str(seen).lower()): 1 for name, stage, seen, _ in rows}
    differ: dict[tuple[str, ...], int] = {(name,): int(differs and not seen) for name, _, seen, differs in rows}
    for metric, found in ((metrics.GENERATION_INFO, info), (metrics.GENERATION_DIFFERS, differ)):
        for labels, value in found.items():
            metric.labels(*labels).set(value)
        gone = {tuple(sample.labels.values()) for one in metric.collect() for sample in one.samples} - found.keys()
        for labels in gone:
            metric.remove(*labels)


async def _rest(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), EVERY_S)
