"""Two gateways and one Redis: how much more than a bucket holds they let pass, and that it is paid back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from projections.gateway.limits import Limiter
from projections.gateway.problems import Problem
from projections.gateway.tab import allowance
from streams.settings import Settings

LIMIT_S = 60.0
"""A bound on hanging, never a performance check."""
CAPACITY = 1_000
KEY = "gateway:limit:device:ana"


@asynccontextmanager
async def two(redis_port: int, rate: float) -> AsyncIterator[tuple[Limiter, Limiter]]:
    """Gateways' limiters, each with a client of its own, running."""
    burst_s = round(CAPACITY / rate)
    settings = Settings(gateway_device_rate=rate, gateway_address_rate=0.0, gateway_burst_s=burst_s)
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        one, other = [Limiter(settings, await stack.enter_async_context(Redis(port=redis_port))) for _ in range(2)]
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            for each in (one, other):
                tasks.create_task(each.run(stop))
            yield one, other
            stop.set()


async def passes(one: Limiter, events: int) -> int:
    """``events`` when they are let pass."""
    try:
        await one.charge("here", {"ana": events}, events)
    except Problem:
        return 0
    return events


async def level(redis_port: int) -> float:
    async with Redis(port=redis_port) as redis:
        return float(await redis.hget(KEY, "level") or 0)


async def overspent(one: Limiter, other: Limiter) -> int:
    """Both know a full bucket; one empties it through Redis, then the other spends what it knows of."""
    passed = await passes(one, 1) + await passes(other, 1) + await passes(one, 600)
    for each in (one, other):
        while said := await passes(each, 2):
            passed += said
    return passed


async def test_whatever_is_sent_never_more_than_an_allowance_beyond_the_bucket(redis_port: int) -> None:
    """And afterwards Redis knows all that has passed."""
    passed, most = 0, CAPACITY + allowance(CAPACITY)
    async with two(redis_port, 1e-3) as both:

        async def device(number: int) -> None:
            nonlocal passed
            for at in range(100):
                said = await passes(both[(number + at // 20) % 2], 1 + (number * 7 + at * 3) % 9)
                passed += said
                assert passed <= most

        await asyncio.gather(*(device(number) for number in range(8)))
    assert passed >= CAPACITY - 9
    assert await level(redis_port) == pytest.approx(CAPACITY - passed, abs=1)


async def test_what_is_beyond_the_bucket_is_paid_back(redis_port: int) -> None:
    """Nobody is let pass before so much has flowed in."""
    rate = 200.0
    began = time.monotonic()
    async with two(redis_port, rate) as (one, other):
        passed = await overspent(one, other)
        flowed = rate * (time.monotonic() - began)
        assert CAPACITY + 0.9 * allowance(CAPACITY) < passed <= CAPACITY + allowance(CAPACITY) + flowed
        assert await level(redis_port) < -0.8 * allowance(CAPACITY), "all of it is debt"
        while not (said := await passes(one, 1) + await passes(other, 1)):  # noqa: ASYNC110 (time has to pass)
            await asyncio.sleep(0.02)
        assert passed + said <= CAPACITY + rate * (time.monotonic() - began) + 1
