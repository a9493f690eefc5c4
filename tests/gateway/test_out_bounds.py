"""What a gateway keeps for readers has bounds; stores that come and go cost no reader a 5xx; who opts out is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from projections.gateway import reader as reading
from projections.gateway.flight import Flight, Rest
from projections.gateway.performance import WINDOW, Performance
from streams.settings import Settings
from tests.gateway.filling import gathering, lately, listening, world
from tests.gateway.reading import alone, answered, eventually, gateway, nowhere, vector
from tests.integration.projecting import Door


@pytest.fixture
def chosen(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(partitions=2, shards=4, hot_s=60)


async def test_so_many_wait_and_no_more(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WAITERS_MAX", 3)
    async with world(chosen) as told:
        told.say(*gathering())
        await told.publish()
        async with gateway(replace(chosen, gateway_wait_ms=30_000)) as (served, client):
            await listening(served, told)
            places = told.positions
            waiting = [asyncio.create_task(client.get(f"/state?at_least=0:{places[0] + 1}")) for _ in range(3)]

            async def full() -> bool:
                return served.gateway.reader._waiting == 3

            await eventually(full, "readers that wait")
            more = await client.get(f"/state?at_least=0:{places[0] + 1}")
            assert (more.status_code, more.json()["code"]) == (503, "busy")
            assert more.headers["retry-after"]
            while told.positions[0] == places[0]:
                told.say(lately(f"one{len(told.events)}", "BREATH"))
            await told.publish()
            assert [response.status_code for response in await asyncio.gather(*waiting)] == [200] * 3


async def test_a_slow_database_keeps_nobody_who_has_an_older_answer(chosen: Settings) -> None:
    """A lock on the table: the load hangs, memory answers meanwhile."""
    async with world(chosen) as told:
        told.say(*gathering())
        await told.project()
        async with gateway(chosen, gateway_memory_ms=0, **nowhere()) as (served, client):
            first = await answered(client, "/state")
            async with await psycopg.AsyncConnection.connect(chosen.database_url) as other:
                await other.execute("LOCK TABLE consciousness_states_all IN ACCESS EXCLUSIVE MODE")
                found = await answered(client, "/state")
                assert found["reflects"]["tier"] == "memory"
                assert found["data"] == first["data"]
                load = served.gateway.reader._flight._task
                assert load is not None
                assert not load.done()
                await other.rollback()


async def test_no_reader_sees_that_stores_come_and_go(chosen: Settings) -> None:
    """Redis is shut, then PostgreSQL too, then both come back; four readers ask without a pause."""
    async with world(chosen) as told, Door(chosen.redis_port) as redis, Door(port_of(chosen)) as postgres:
        await redis.open()
        await postgres.open()
        told.say(*gathering())
        await told.publish()
        await told.project()
        url = chosen.database_url.replace(f":{port_of(chosen)}/", f":{postgres.port}/")
        behind = replace(chosen, gateway_memory_ms=50, redis_port=redis.port, database_url=url)
        async with gateway(behind) as (served, client):
            await listening(served, told)
            seen: Counter[tuple[int, str]] = Counter()
            over = asyncio.Event()
            readers = [
                asyncio.create_task(read_on(client, path, seen, over)) for path in ("state", "snapshot", "rooms")
            ]
            try:
                await until(seen, "redis")
                await redis.shut()
                await until(seen, "database")
                await postgres.shut()
                await eventually_stale(client)
                await postgres.open()
                await until(seen, "database", more=True)
                await redis.open()
                told.say(lately("zoe", "BLOOM", room="hall"))
                await told.publish()
                await told.project()
                await until(seen, "redis", more=True)

                async def newest() -> bool:
                    found = await answered(client, "/state")
                    return bool(found["reflects"]["positions"] == vector(told.positions))

                await eventually(newest, "what has come since")
            finally:
                over.set()
                await asyncio.gather(*readers)
            assert {status for status, _ in seen} == {200}


def port_of(settings: Settings) -> int:
    return int(settings.database_url.rpartition(":")[2].partition("/")[0])


async def read_on(client: httpx.AsyncClient, path: str, seen: Counter[tuple[int, str]], over: asyncio.Event) -> None:
    while not over.is_set():
        response = await client.get(f"/{path}")
        tier = response.json()["reflects"]["tier"] if response.status_code == 200 else ""
        seen[response.status_code, tier] += 1
        await asyncio.sleep(0.01)


async def until(seen: Counter[tuple[int, str]], tier: str, *, more: bool = False) -> None:
    before = seen[200, tier] if more else 0

    async def told() -> bool:
        return seen[200, tier] > before

    await eventually(told, f"an answer of {tier}")


async def eventually_stale(client: httpx.AsyncClient) -> None:
    """Nothing below answers: memory does, ever older."""

    async def told() -> bool:
        found = await answered(client, "/state")
        return bool(found["reflects"]["tier"] == "memory" and found["reflects"]["age_ms"] > 1_000)

    await eventually(told, "an older answer")


async def test_who_opts_out_is_in_no_tier(chosen: Settings) -> None:
    async with world(chosen) as told:
        told.say(*gathering())
        await told.publish()
        await told.project()
        async with gateway(chosen) as (served, above), gateway(chosen, **nowhere()) as (_, below):
            await listening(served, told)
            for client in (above, below):
                assert await has(client, "ana")
            wanted = told.say(lately("ana", "OPT_OUT"))
            await told.publish()
            await told.project()
            asked = ",".join(f"{number}:{offset}" for number, offset in wanted.items())
            for client in (above, below):
                assert not await has(client, "ana", at_least=asked)
                assert await has(client, "cyd", at_least=asked)


async def has(client: httpx.AsyncClient, device: str, **parameters: Any) -> bool:
    return f'"{device}"' in (await client.get("/snapshot", params=parameters or None)).text


async def test_what_is_measured_is_of_late() -> None:
    performance = Performance(cached=True)
    for _ in range(WINDOW):
        performance.read(False)
        performance.answered(1.0)
    for _ in range(WINDOW // 2):
        performance.read(True)
        performance.answered(0.0)
    block = performance.block()
    assert (block.cache_hit_rate, block.average_response_time) == (0.5, 500.0)
    assert len(performance._hits) == len(performance._answers_s) == WINDOW


async def test_a_flight_is_one_and_a_new_one_after_it() -> None:
    started: list[asyncio.Event] = []

    async def load() -> int:
        started.append(asyncio.Event())
        await started[-1].wait()
        return len(started)

    flight = Flight(load)
    one, other = flight.join(), flight.join()
    assert one is other
    await asyncio.sleep(0)
    started[0].set()
    assert await one == 1
    later = flight.join()
    await asyncio.sleep(0)
    flight.stop()
    with pytest.raises(asyncio.CancelledError):
        await later
    rest = Rest()
    assert not rest.resting
    rest.failed()
    assert rest.resting
    rest.answered()
    assert not rest.resting


async def test_readers_without_any_store_do_not_wait_long_each() -> None:
    """A store that has just failed is not asked again by every reader."""
    async with gateway(alone()) as (served, client):
        found = await asyncio.gather(*(client.get("/state") for _ in range(20)))
        assert {response.status_code for response in found} == {503}
        assert served.gateway.reader.loads <= 20
        assert served.gateway.reader.hot.rest.resting or served.gateway.reader.cold.rest.resting
