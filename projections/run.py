"""The two processes of this package: the projector (raw, state, states) and the publisher (hot)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import uvloop

from projections import hot, raw, samples, state
from projections.backoff import Backoff
from projections.ends import Ends
from projections.follow import UNAVAILABLE, Follower, Pool
from projections.generations import Current, enter
from projections.migrate import migrate
from projections.pool import make_pool
from projections.samples import Sampler
from projections.views import Views
from streams import health, logs, metrics, traces
from streams.errors import FieldError
from streams.health import Health
from streams.settings import Settings

log = logging.getLogger(__name__)


def run_projector(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; the exit code (0, or that of a FieldError)."""
    return _run("projector", settings, project)


def run_publisher(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; the exit code (0, or that of a FieldError)."""
    return _run("publisher", settings, publish)


async def project(settings: Settings, stop: asyncio.Event, here: Health | None = None) -> None:
    """Migrate, then project until ``stop`` is set. Raises FieldError."""
    here = here or health.of("projector", settings)
    here.watch(asyncio.get_running_loop(), lambda: "PostgreSQL has this version's schema")
    await _migrate(settings, stop)
    if stop.is_set():
        return
    current = Current(settings)
    pool = make_pool(settings.database_url, raw.configure, settings.transaction_s)
    await pool.open(wait=False)
    try:
        views, ends = Views(settings), Ends(settings, stop)
        rows = Follower(state.State(settings), settings, pool, stop)
        here.watch(asyncio.get_running_loop(), lambda: rows.waits_for() or views.waits_for())
        sampler = Sampler(settings, views, pool)
        events = _Raw(settings, pool, current)
        ends.watch(raw.NAME, events.reflects)
        ends.watch(state.NAME, rows.reflects)
        ends.watch(samples.NAME, sampler.reflects)
        await _together(
            stop, ends.run(), current.run(stop), events.run(stop), rows.run(), views.keep(stop), sampler.run(stop)
        )
    finally:
        await pool.close(timeout=1.0)


class _Raw:
    """The raw projection, while the generation is the one that readers see: all generations share its rows."""

    def __init__(self, settings: Settings, pool: Pool, current: Current) -> None:
        self._settings = settings
        self._pool = pool
        self._current = current
        self._follower: Follower | None = None

    def reflects(self, ends: Mapping[int, int], asked_s: float) -> bool:
        """``ends.Reflects``; what another generation writes is not ours to be behind with."""
        if not self._current.ours:
            return self._current.name is not None
        return self._follower is not None and self._follower.reflects(ends, asked_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        await self._current.only_ours(stop, self._follow)

    async def _follow(self, over: asyncio.Event) -> None:
        self._follower = Follower(raw.Raw(self._settings), self._settings, self._pool, over)
        await self._follower.run()


async def publish(settings: Settings, stop: asyncio.Event, here: Health | None = None) -> None:
    """Publish until ``stop`` is set. Raises FieldError."""
    redis = hot.connect(settings)
    try:
        views, ends, current = Views(settings), Ends(settings, stop), Current(settings)
        publisher = hot.Publisher(settings, views, redis, current)
        ends.watch(hot.NAME, publisher.reflects)
        here = here or health.of("publisher", settings)
        here.watch(asyncio.get_running_loop(), lambda: views.waits_for() or publisher.waits_for())
        await _together(stop, ends.run(), current.run(stop), views.keep(stop), publisher.run(stop))
    finally:
        await redis.aclose()


async def _migrate(settings: Settings, stop: asyncio.Event) -> None:
    """Bring the schema up to date and enter the generation; PostgreSQL may still be starting."""
    backoff = Backoff("postgres", stop)
    while not stop.is_set():
        try:
            await asyncio.to_thread(migrate, settings.database_url, retention_days=settings.retention_days)
            await asyncio.to_thread(enter, settings)
            backoff.answered()
            return
        except UNAVAILABLE as error:
            await backoff.failed(error)


async def _together(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run all parts; when one ends, by a fault or because of ``stop``, the others stop too. Raises the first fault."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _run(role: str, settings: Settings, main: Callable[[Settings, asyncio.Event, Health], Awaitable[None]]) -> int:
    logs.start(role, settings, waits=True)

    here = health.of(role, settings)

    async def supervised() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, stop.set)
        await main(settings, stop, here)

    try:
        metrics.serve(role, settings, here)
        traces.start(role, settings)
        uvloop.run(supervised())
    except FieldError as error:
        logs.ends(log, error, error.exit_code)
        return error.exit_code
    finally:
        traces.stop()
    log.info("stopped")
    return 0
