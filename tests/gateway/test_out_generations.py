"""Readers follow a switch of the generation, by Redis and by PostgreSQL, and never see two mixed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import psycopg
from redis.asyncio import Redis

from projections.generations import enter
from projections.hot import CURRENT_KEY
from projections.queries import query
from streams.settings import Settings
from tests.gateway.filling import gathering, lately, listening, world
from tests.gateway.reading import answered, eventually, gateway, nowhere, vector


def switch(settings: Settings, to: str) -> None:
    with psycopg.connect(settings.database_url) as connection:
        moved = connection.execute(query("generation_switch"), {"from": settings.generation, "to": to})
        assert moved.rowcount == 1


async def test_by_the_key_in_redis(make_settings: Callable[..., Settings]) -> None:
    first = make_settings(partitions=2, shards=2, hot_s=60)
    second = replace(first, generation=f"{first.generation}-next")
    async with world(first) as old, world(second) as new:
        old.say(*gathering())
        new.say(lately("zoe", "BLOOM", room="roof"))
        await old.publish()
        async with gateway(first, gateway_memory_ms=600_000) as (served, client), Redis(port=first.redis_port) as redis:
            await listening(served, old)
            assert (await answered(client, "/state"))["reflects"]["generation"] == first.generation
            old.current.name = new.current.name = second.generation  # as both publishers learn of a switch
            await new.publish()
            assert (await redis.get(CURRENT_KEY)).decode() == second.generation

            async def followed() -> bool:
                await old.publish()  # it runs on, until it is dropped
                found = await answered(client, "/snapshot")
                whole = found["data"]
                assert found["reflects"]["generation"] == whole["generation"]
                here = {one["device_id"] for one in whole["particles"]}
                assert here == ({"zoe"} if whole["generation"] == second.generation else {"ana"})
                return bool(whole["generation"] == second.generation)

            await eventually(followed, "the other generation")
            new.say(lately("yan", "BLOOM", room="roof"))
            await new.publish()

            async def shown() -> bool:
                return bool((await answered(client, "/state"))["reflects"]["positions"] == vector(new.positions))

            await eventually(shown, "news of the other generation")


async def test_by_the_row_in_postgres(make_settings: Callable[..., Settings]) -> None:
    first = make_settings(partitions=2, shards=2)
    second = replace(first, generation=f"{first.generation}-next")
    async with world(first) as old, world(second) as new:
        await asyncio.to_thread(enter, second)
        old.say(*gathering())
        new.say(lately("zoe", "BLOOM", room="roof"))
        await old.project()
        await new.project()
        async with gateway(first, gateway_memory_ms=0, **nowhere()) as (_, client):
            before = await answered(client, "/snapshot")
            assert before["reflects"]["generation"] == first.generation
            assert len(before["data"]["rooms"]) == 8
            await asyncio.to_thread(switch, first, second.generation)
            after = await answered(client, "/snapshot")
            assert after["reflects"]["generation"] == after["data"]["generation"] == second.generation
            assert [room["room_id"] for room in after["data"]["rooms"]] == ["roof"]
            assert (await client.get("/rooms/room1")).status_code == 404
