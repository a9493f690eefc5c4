"""Several gateways that spend one bucket: how much they let pass together, with a Redis that is made up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from projections.gateway import limits
from projections.gateway.buckets import Ask, Buckets
from projections.gateway.limits import Limiter
from projections.gateway.problems import Problem
from projections.gateway.tab import allowance
from streams.settings import Settings

CAPACITY = 1_000
ADDRESS = "10.0.0.1"
KEY = "gateway:limit:address:10.0.0.1"
SLOW = Settings(gateway_device_rate=0.0, gateway_address_rate=1e-3, gateway_burst_s=1_000_000)
"""Nothing flows in while a test runs."""


class Store:
    """``limits.lua`` over buckets in memory; ``wait`` before each question is heard and after it."""

    def __init__(self, wait: Callable[[], Awaitable[object]]) -> None:
        self.buckets = Buckets()
        self.wait = wait
        self.questions = 0

    def register_script(self, text: str) -> Callable[..., Awaitable[list[int]]]:
        return self._hear

    def left(self) -> float:
        return self.buckets._levels.get(KEY, (CAPACITY, 0))[0]

    async def _hear(self, keys: Sequence[str], args: Sequence[float]) -> list[int]:
        self.questions += 1
        await self.wait()
        groups: dict[int, list[Ask]] = {}
        for at, key in enumerate(keys):
            rate, capacity, cost, number = args[4 * at : 4 * at + 4]
            groups.setdefault(int(number), []).append(Ask(key, rate, capacity, int(cost)))
        answer = []
        for number in sorted(groups):
            if number:
                charged, told = self.buckets.charge(groups[number], 0)
                answer += [one for left, wait_ms in told for one in (int(charged), left, wait_ms)]
            else:
                for ask in groups[number]:
                    level = self.buckets._level(ask, 0) - ask.cost
                    self.buckets._levels[ask.key] = (level, 0)
                    answer += [1, int(level), 0]
        await self.wait()
        return answer


def limiter(store: Any, settings: Settings = SLOW) -> Limiter:
    return Limiter(settings, store)


async def passes(one: Limiter, events: int) -> int:
    """``events`` when they are let pass."""
    try:
        await one.charge(ADDRESS, {}, events)
    except Problem:
        return 0
    return events


async def played(gateways: int, seed: int) -> int:
    """Devices that send this and that to any gateway, over a slow way to Redis; events that were let pass."""
    chance, passed = random.Random(seed), 0

    async def wait() -> None:
        for _ in range(chance.choice((0, 1, 2, 5, 20))):
            await asyncio.sleep(0)

    async def device() -> None:
        nonlocal passed
        largest = chance.choice((5, 50, 600))
        for _ in range(60):
            said = await passes(chance.choice(all_of_them), chance.randint(1, largest))
            passed += said
            assert passed <= CAPACITY + (gateways - 1) * allowance(CAPACITY), seed
            if chance.random() < 0.3:
                await asyncio.sleep(0)

    store, stop = Store(wait), asyncio.Event()
    all_of_them = [limiter(store) for _ in range(gateways)]
    running = [asyncio.create_task(one.run(stop)) for one in all_of_them]
    await asyncio.gather(*(device() for _ in range(chance.randint(1, 12))))
    stop.set()
    await asyncio.gather(*running)
    assert store.left() == CAPACITY - passed, "Redis has been told of all"
    assert not any(one.tab._owed or one.tab._away for one in all_of_them)
    return passed


@pytest.mark.parametrize("gateways", [1, 2, 3])
async def test_so_much_more_than_a_bucket_holds_may_pass(gateways: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes in which order: never more than the bucket and an allowance of each further gateway."""
    monkeypatch.setattr(limits, "SETTLE_S", 0.001)
    most = max([await played(gateways, seed) for seed in range(60)])
    assert most <= CAPACITY if gateways == 1 else most > CAPACITY, "else nothing was tried"


async def test_the_bound_is_reached_and_nothing_passes_until_the_debt_is_paid() -> None:
    store, stop = Store(lambda: asyncio.sleep(0)), asyncio.Event()
    one, other = limiter(store), limiter(store)
    passed = await passes(one, 1) + await passes(other, 1)
    while said := await passes(one, 2) + await passes(one, 600):
        passed += said
    while said := await passes(other, 2):
        passed += said
    assert CAPACITY + allowance(CAPACITY) - 10 < passed <= CAPACITY + allowance(CAPACITY)
    running = [asyncio.create_task(each.run(stop)) for each in (one, other)]
    stop.set()
    await asyncio.gather(*running)
    assert store.left() == CAPACITY - passed < 0
    assert await passes(one, 1) + await passes(other, 1) == 0
    with pytest.raises(Problem) as refused:
        await other.charge(ADDRESS, {}, 1)
    assert int(refused.value.headers["Retry-After"]) >= (passed - CAPACITY + 1) / SLOW.gateway_address_rate


class Hanging(Store):
    """Hears nothing."""

    def __init__(self) -> None:
        super().__init__(asyncio.Event().wait)


async def test_all_who_wait_give_up_when_the_first_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are, and whenever they came: while Redis hangs nobody waits longer than one answer may take."""
    monkeypatch.setattr(limits, "ANSWER_S", 0.3)
    monkeypatch.setattr(limits, "SAID_AT_ONCE", 10)
    store = Hanging()
    one = limiter(store)
    began = time.monotonic()
    first = [asyncio.create_task(passes(one, 1)) for _ in range(100)]
    await asyncio.sleep(0.1)
    later = [asyncio.create_task(passes(one, 1)) for _ in range(100)]
    assert await asyncio.gather(*first, *later) == [1] * 200
    assert time.monotonic() - began < 2 * limits.ANSWER_S, "not one after the other"
    assert store.questions == 1
    assert len(one.memory) == 1
    assert await passes(one, CAPACITY - 200) == CAPACITY - 200
    assert await passes(one, 1) == 0, "this gateway counts alone"
    assert not one.tab._away


async def test_what_redis_did_not_hear_is_told_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_S", 0.01)
    monkeypatch.setattr(limits, "AGAIN_S", 0.01)
    store = Store(lambda: asyncio.sleep(0))
    one = limiter(store)
    assert await passes(one, 1) + await passes(one, 99) == 100
    assert store.left() == CAPACITY - 1
    store.wait = asyncio.Event().wait
    await one._talk()
    store.wait = lambda: asyncio.sleep(0)
    await asyncio.sleep(0.02)
    await one._talk()
    assert store.left() == CAPACITY - 100


async def test_who_goes_away_while_waiting_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    store = Store(gate.wait)
    one = limiter(store)
    gone, stays = (asyncio.create_task(passes(one, 1)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await stays == 1
    assert not one.tab._away
    await asyncio.gather(gone, return_exceptions=True)


async def test_so_many_wait_at_most_and_memory_counts_those_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAITING_MAX", 3)
    gate = asyncio.Event()
    one = limiter(Store(gate.wait))
    waiting = [asyncio.create_task(passes(one, 1)) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(one._waiting) == 3
    assert await passes(one, CAPACITY) == CAPACITY, "answered while Redis is silent"
    assert await passes(one, 1) == 0, "and counted"
    assert len(one._waiting) == 3
    gate.set()
    assert await asyncio.gather(*waiting) == [1] * 3
    assert await passes(one, 1) == 1, "there is room again: Redis is asked"
