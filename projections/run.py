"""The two processes of this package: the projector (raw, state, states) and the publisher (hot)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from projections import hot, raw, samples, state
from projections.backoff import Backoff
from projections.ends import Ends
from projections.follow import UNAVAILABLE, Follower
from projections.migrate import migrate
from projections.pool import make_pool
from projections.samples import Sampler
from projections.views import Views
from streams import metrics
from streams.errors import FieldError
from streams.settings import Settings

log = logging.getLogger(__name__)


def run_projector(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; the exit code (0, or that of a FieldError)."""
    return _run("projector", settings, project)


def run_publisher(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; the exit code (0, or that of a FieldError)."""
    return _run("publisher", settings, publish)


async def project(settings: Settings, stop: asyncio.Event) -> None:
    """Migrate, then project until ``stop`` is set. Raises FieldError."""
    await _migrate(settings, stop)
    if stop.is_set():
        return
    pool = make_pool(settings.database_url, raw.configure, settings.transaction_s)
    await pool.open(wait=False)
    try:
        views, ends = Views(settings), Ends(settings, stop)
        followers = [Follower(kind, settings, pool, stop) for kind in (raw.Raw(settings), state.State(settings))]
        sampler = Sampler(settings, views, pool)
        ends.watch(raw.NAME, followers[0].reflects)
        ends.watch(state.NAME, followers[1].reflects)
        ends.watch(samples.NAME, sampler.reflects)
        await _together(
            stop, ends.run(), *(follower.run() for follower in followers), views.keep(stop), sampler.run(stop)
        )
    finally:
        await pool.close(timeout=1.0)


async def publish(settings: Settings, stop: asyncio.Event) -> None:
    """Publish until ``stop`` is set. Raises FieldError."""
    redis = hot.connect(settings)
    try:
        views, ends = Views(settings), Ends(settings, stop)
        publisher = hot.Publisher(settings, views, redis)
        ends.watch(hot.NAME, publisher.reflects)
        await _together(stop, ends.run(), views.keep(stop), publisher.run(stop))
    finally:
        await redis.aclose()


async def _migrate(settings: Settings, stop: asyncio.Event) -> None:
    """Bring the schema up to date; PostgreSQL may still be starting."""
    backoff = Backoff("postgres", stop)
    while not stop.is_set():
        try:
            await asyncio.to_thread(migrate, settings.database_url, retention_days=settings.retention_days)
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


def _run(role: str, settings: Settings, main: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> int:
    logging.basicConfig(
        level=settings.log_level, format=f"%(asctime)s {role} %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("aiokafka").setLevel("ERROR")  # its warnings repeat while the broker is away; Backoff logs once
    logging.getLogger("psycopg.pool").setLevel("ERROR")

    async def supervised() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, stop.set)
        await main(settings, stop)

    try:
        metrics.serve(role, settings)
        uvloop.run(supervised())
    except FieldError as error:
        print(f"{role}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    log.info("stopped")
    return 0
