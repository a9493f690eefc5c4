"""Each tier answers when those above it are away; what it says of itself is right; nobody sees a 5xx meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from projections.gateway.hot_tier import decode, kept_key
from projections.hot import Names
from projections.views import now_ms
from streams.settings import Settings
from tests.gateway.filling import gathering, lately, listening, world
from tests.gateway.reading import answered, eventually, gateway, no_database, nowhere, vector

READS = ("state", "snapshot", "rooms", "entanglements", "particles", "metrics", "rooms/hall")


@pytest.fixture
def chosen(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(partitions=2, shards=4, hot_s=60, gateway_wait_ms=1_500)


@pytest.fixture
async def redis(redis_port: int) -> AsyncIterator[Redis]:
    async with Redis(port=redis_port) as client:
        yield client


async def test_redis_then_memory(chosen: Settings) -> None:
    async with world(chosen) as told:
        told.say(*gathering())
        before = now_ms()
        reading = await told.publish()
        async with gateway(chosen, **no_database()) as (served, client):
            first = await answered(client, "/state")
            assert first["reflects"]["tier"] == "redis"
            second, reads = await answered(client, "/state"), 2
            if second["reflects"]["tier"] == "redis":  # it began to listen only now: what came before it has not heard
                second, reads = await answered(client, "/state"), 3
            loads = served.gateway.reader.loads
            assert second["reflects"]["tier"] == "memory"
            assert first["data"] == second["data"]
            assert second["performance"]["cacheHitRate"] == round(1 - loads / reads, 4)
            for found in (first, second):
                reflects = found["reflects"]
                assert reflects["positions"] == found["data"]["positions"] == vector(told.positions)
                assert reflects["generation"] == found["data"]["generation"] == chosen.generation
                assert reflects["at"] == found["data"]["at"] >= before
                assert 0 <= reflects["age_ms"] <= now_ms() - before
                assert reflects["stale"] is False
            assert first["data"]["global_resonance"] == pytest.approx(reading.global_resonance, abs=1e-3)
            assert first["data"]["particles"] == len(reading.particles) == 7
            whole = (await answered(client, "/snapshot"))["data"]
            assert {room["room_id"] for room in whole["rooms"]} == {room.room_id for room in reading.rooms}
            assert [one["id"] for one in whole["particles"]] == [one.id for one in reading.particles]
            assert served.gateway.reader.loads == loads == reads - 1


async def test_the_database_answers_as_redis_would(chosen: Settings) -> None:
    async with world(chosen) as told:
        told.say(*gathering())
        await told.publish()
        await told.project()
        async with gateway(chosen) as (_, above), gateway(chosen, **nowhere()) as (_, below):
            for path in READS:
                upper, lower = await answered(above, f"/{path}"), await answered(below, f"/{path}")
                assert upper["reflects"]["tier"] in ("redis", "memory")
                assert lower["reflects"]["tier"] in ("database", "memory")
                assert lower["reflects"]["positions"] == upper["reflects"]["positions"] == vector(told.positions)
                assert not lower["reflects"]["stale"]
                if path in ("state", "entanglements", "particles"):
                    assert same(lower["data"], upper["data"]), path
            mine, theirs = [(await answered(one, "/rooms"))["data"]["rooms"] for one in (below, above)]
            names = ("room_id", "opened", "last", "present", "seated", "participants", "blooms")
            assert [{n: room[n] for n in names} for room in mine] == [{n: room[n] for n in names} for room in theirs]
            assert len(mine) == 8


def same(one: Any, other: Any) -> bool:
    """Equal, but for what the time of a reading changes a little."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one if key != "at")
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == pytest.approx(other, abs=0.05) if isinstance(one, float) else bool(one == other)


async def test_the_copy_is_of_every_snapshot_that_was_read(chosen: Settings, redis: Redis) -> None:
    """However soon one follows another: whoever has gone from the field must not stay in its copy."""
    async with world(chosen) as told, gateway(replace(chosen, gateway_memory_ms=0), **no_database()) as (_, client):
        for number in range(3):
            told.say(*gathering()[: number + 1])
            await told.publish()
            found = await answered(client, "/state")
            copy = decode(await redis.get(kept_key(chosen.generation)))
            assert copy is not None
            assert copy.positions == told.positions
            assert found["reflects"]["positions"] == vector(told.positions)


async def test_the_copy_answers_when_publisher_and_database_are_away(chosen: Settings, redis: Redis) -> None:
    names = Names.of(chosen.generation)
    async with world(chosen) as told:
        told.say(*gathering())
        await told.publish()
        async with gateway(chosen, **no_database()) as (_, client):
            first = await answered(client, "/state")
        assert 0 < await redis.ttl(kept_key(chosen.generation)) <= chosen.gateway_kept_s
        await redis.delete(names.current)
        async with gateway(chosen, **no_database()) as (_, client):
            found = await answered(client, "/state")
            assert found["reflects"]["tier"] == "redis"
            assert found["data"] == first["data"]
        late = replace(chosen, gateway_memory_ms=0, gateway_stale_ms=0)
        async with gateway(late, **no_database()) as (_, client):
            found = await answered(client, "/state")
            assert (found["reflects"]["tier"], found["reflects"]["stale"]) == ("redis", True)


async def test_of_copy_and_database_the_newer_one_answers(chosen: Settings, redis: Redis) -> None:
    eager = replace(chosen, gateway_memory_ms=0)
    async with world(chosen) as told:
        told.say(*gathering())
        await told.publish()
        async with gateway(eager) as (_, client):
            await answered(client, "/state")
        await redis.delete(Names.of(chosen.generation).current)
        told.say(lately("zoe", "BLOOM", room="hall"))
        await told.project()
        async with gateway(eager) as (_, client):
            found = await answered(client, "/state")
            assert found["reflects"]["tier"] == "database"
            assert found["reflects"]["positions"] == vector(told.positions)
            kept = msgspec.json.decode(await redis.get(kept_key(chosen.generation)))
            assert kept["positions"] == vector(told.positions)


async def test_readers_never_go_back_to_what_is_older(chosen: Settings, redis: Redis) -> None:
    """The database is behind what memory has from Redis: it answers another gateway, and not this one's readers."""
    async with world(chosen) as told:
        told.say(*gathering())
        await told.project()
        before = told.positions
        told.say(lately("zoe", "BLOOM", room="hall"))
        await told.publish()
        async with gateway(chosen, gateway_memory_ms=0) as (_, client):
            first = await answered(client, "/state")
            assert first["reflects"]["positions"] == vector(told.positions) != vector(before)
            await redis.flushdb()
            found = await answered(client, "/state")
            assert (found["reflects"]["tier"], found["data"]) == ("memory", first["data"])
            async with gateway(chosen, **nowhere()) as (_, other):
                assert (await answered(other, "/state"))["reflects"]["positions"] == vector(before)
            await told.project()
            assert (await answered(client, "/state"))["reflects"]["tier"] == "database"


async def test_written_through_for_the_next_gateway(chosen: Settings) -> None:
    async with world(chosen) as told:
        told.say(*gathering())
        await told.project()
        async with gateway(chosen) as (_, client):
            first = await answered(client, "/snapshot")
            assert first["reflects"]["tier"] == "database"
        async with gateway(chosen, **no_database()) as (_, client):
            second = await answered(client, "/snapshot")
            assert second["reflects"]["tier"] == "redis"
            assert second["data"] == first["data"]


async def test_memory_answers_alone_when_all_else_goes_away(chosen: Settings, redis: Redis) -> None:
    async with world(chosen) as told:
        told.say(*gathering())
        await told.publish()
        quick = replace(chosen, gateway_memory_ms=1, gateway_stale_ms=1)
        async with gateway(quick, **no_database()) as (_, client):
            first = await answered(client, "/state")
            await redis.flushdb()
            for path in READS[:-1]:
                found = await answered(client, f"/{path}")
                assert (found["reflects"]["tier"], found["reflects"]["stale"]) == ("memory", True)
            assert (await answered(client, "/rooms/hall"))["data"]["open"]
            assert (await answered(client, "/state"))["data"] == first["data"]


async def test_with_nothing_anywhere_it_says_when_to_come_again(chosen: Settings) -> None:
    async with gateway(chosen, **nowhere(), **no_database()) as (served, client):
        for path in READS:
            response = await client.get(f"/{path}")
            assert (response.status_code, response.json()["code"]) == (503, "no_field")
            assert response.headers["retry-after"] == "1"
        async with httpx.AsyncClient(base_url=served.url) as root:
            assert (await root.get("/api/health/live")).status_code == 200
            assert (await root.get("/api/health/ready")).status_code == 503
            health = (await root.get("/api/health")).json()
            assert (health["alive"], health["ready"]) == (True, False)


async def test_many_readers_cause_one_load(chosen: Settings) -> None:
    async with world(chosen) as told:
        told.say(*gathering())
        await told.project()
        async with gateway(chosen, **nowhere()) as (served, client):
            found = await asyncio.gather(*(answered(client, "/state") for _ in range(50)))
            assert served.gateway.reader.loads == 1
            assert len({one["data"]["at"] for one in found}) == 1


async def test_news_end_the_life_of_memory(chosen: Settings) -> None:
    async with world(chosen) as told:
        told.say(*gathering())
        await told.publish()
        async with gateway(replace(chosen, gateway_memory_ms=600_000)) as (served, client):
            await listening(served, told)
            await answered(client, "/state")
            told.say(lately("zoe", "BLOOM", room="hall"))
            await told.publish()

            async def shown() -> bool:
                return bool((await answered(client, "/state"))["reflects"]["positions"] == vector(told.positions))

            await eventually(shown, "the newer field")


@pytest.mark.parametrize("heard", [True, False], ids=["announced", "polled"])
async def test_at_least_waits_and_gives_up(chosen: Settings, heard: bool) -> None:
    patient = replace(chosen, gateway_wait_ms=30_000)
    async with world(chosen) as told:
        told.say(*gathering())
        await told.publish()
        await told.project()
        over = {} if heard else nowhere()
        async with gateway(patient, **over) as (served, client):
            if heard:
                await listening(served, told)
            await answered(client, "/state")
            wanted = told.say(lately("zoe", "BLOOM", room="hall"))
            asked = ",".join(f"{number}:{offset}" for number, offset in wanted.items())
            paths = [f"/{path}?at_least={asked}" for path in ("state", "snapshot", "rooms", "particles")]
            waiting = [asyncio.create_task(answered(client, path)) for path in paths]

            async def wait_all() -> bool:
                return served.gateway.reader._waiting == len(paths)

            await eventually(wait_all, "readers that wait")
            assert not any(task.done() for task in waiting)
            await (told.publish() if heard else told.project())
            state, whole, rooms, particles = await asyncio.gather(*waiting)
            for found in (state, whole, rooms, particles):
                assert all(found["reflects"]["positions"][str(number)] >= at for number, at in wanted.items())
            assert "zoe" in {one["device_id"] for room in rooms["data"]["rooms"] for one in room["participants"]}
            assert particles["data"]["particles"][0]["device_id"] == "zoe"
            assert served.gateway.reader._waiting == 0
        async with gateway(replace(chosen, gateway_wait_ms=300), **over) as (served, client):
            late = await client.get(f"/state?at_least={next(iter(wanted))}:999999")
            assert (late.status_code, late.json()["code"]) == (504, "not_yet")
            assert late.json()["positions"] == vector(told.positions)
            assert served.gateway.reader._waiting == 0
