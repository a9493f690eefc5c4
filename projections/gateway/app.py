"""The gateway's application: the routes of all areas, and their parts running as long as it lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from projections.follow import Pool
from projections.gateway import described, pages, routes_field, routes_in, routes_out, routes_push, trpc
from projections.gateway.announced import RedisNews
from projections.gateway.archaeology import Archaeology
from projections.gateway.calculator import Calculator
from projections.gateway.cold_rows import ColdRows
from projections.gateway.cold_tier import ColdTier
from projections.gateway.context import Gateway
from projections.gateway.cors import cors
from projections.gateway.gather import Gather
from projections.gateway.groups import Groups
from projections.gateway.history import Past
from projections.gateway.hot_tier import HotTier
from projections.gateway.hub import Hub
from projections.gateway.intake import Intake
from projections.gateway.kafka_log import kafka_log
from projections.gateway.kept import Kept, RedisCopies
from projections.gateway.limits import Limiter
from projections.gateway.optouts import OptOuts, stored_in
from projections.gateway.problems import Problem, on_fault, on_http, on_problem
from projections.gateway.reader import Reader
from projections.gateway.states import States
from projections.gateway.target import Target
from projections.gateway.watch import Watch
from projections.hot import connect
from projections.pool import make_pool
from streams import access, logs, metrics
from streams.settings import Settings

log = logging.getLogger(__name__)

AREAS: Final[Sequence[Callable[[], Sequence[BaseRoute]]]] = (
    routes_in.routes, routes_out.routes, routes_field.routes, routes_push.routes, trpc.routes, described.routes,
    pages.routes,
)  # fmt: skip
"""``routes()`` of each area; the first that matches a path has it."""


def build(settings: Settings) -> Gateway:
    """A gateway whose parts do not run yet."""
    pool, redis = make_pool(settings.database_url), connect(settings)
    listening = access.reading(settings)
    target = Target(listening, pool)
    watch = Watch(listening, pool, redis, lambda: reader.generation, target)
    hot, cold = HotTier(settings, redis), ColdTier(settings, pool)
    reader = Reader(settings, hot, cold, RedisNews(redis, hot.rest), target, watch.behind)
    rows = ColdRows(cold, lambda: reader.generation)
    kept = Kept(settings, RedisCopies(settings, redis, hot.rest), reader.performance, watch.behind)
    states = States(listening, redis, Groups(), target, behind=watch.behind)
    return Gateway(
        settings, reader=reader, watch=watch, target=target, calculator=Calculator(settings),
        intake=Intake(settings, Gather(settings, target), Limiter(settings, redis)),
        past=Past(rows, kept, lambda: reader.generation),
        archaeology=Archaeology(rows, kept, lambda: reader.generation),
        hub=Hub(listening, states, OptOuts(stored_in(pool)), kafka_log(listening), target),
        stores=PoolAndRedis(pool, redis),
    )  # fmt: skip


class PoolAndRedis:
    """``stores.Stores``."""

    def __init__(self, pool: Pool, redis: Redis) -> None:
        self._pool = pool
        self._redis = redis

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=1.0)
        await self._redis.aclose()


def create_app(gateway: Gateway, ended: Callable[[], None] = lambda: None) -> Starlette:
    """The ASGI application; ``ended`` is called when a part of it has ended by itself."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with running(gateway, ended):
            yield

    app = Starlette(
        routes=[route for area in AREAS for route in area()],
        middleware=[Middleware(Measured), *cors(gateway.settings)],
        exception_handlers={Problem: on_problem, HTTPException: on_http, Exception: on_fault},
        lifespan=lifespan,
    )
    app.state.gateway = gateway
    return app


@contextlib.asynccontextmanager
async def running(gateway: Gateway, ended: Callable[[], None]) -> AsyncIterator[None]:
    """The parts run within; a part that fails is told in the log, and ``ended`` is called."""
    stop = asyncio.Event()

    def over(task: asyncio.Task[None]) -> None:
        if not stop.is_set():
            error = None if task.cancelled() else task.exception()
            log.error("%s ended", task.get_name(), exc_info=error)
            ended()

    if gateway.stores is not None:
        await gateway.stores.open()
    tasks = [asyncio.create_task(part.run(stop), name=type(part).__name__) for part in gateway.parts]
    for task in tasks:
        task.add_done_callback(over)
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        if gateway.stores is not None:
            await gateway.stores.close()


class Measured:
    """Counts every request and its time by route (not by path: ids would make a metric each)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _measure(scope, status, started)
            await send(message)

        await self._app(scope, receive, heard)


def _measure(scope: Scope, status: int, started: float) -> None:
    """Up to the first byte of the answer: a stream goes on for hours."""
    route = getattr(scope.get("route"), "path", "none")
    metrics.GATEWAY_REQUESTS.labels(route, str(status)).inc()
    took_s = time.perf_counter() - started
    metrics.GATEWAY_SECONDS.labels(route, metrics.status_class(status)).observe(took_s)
    if log.isEnabledFor(logging.DEBUG):
        log.debug("answered", extra=logs.request(scope["method"], route, status, took_s))
