"""``accept``, which HTTP, WebSocket and tRPC share; the limits' two counters; the topic of the current generation."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import replace
from importlib import resources

import msgspec
import psycopg
import pytest
from redis.asyncio import Redis

from projections.gateway import bodies
from projections.gateway.buckets import Ask, Buckets
from projections.gateway.callers import Caller
from projections.gateway.gather import NotStored
from projections.gateway.intake import accept
from projections.gateway.problems import Problem
from projections.generations import enter
from projections.migrate import migrate
from projections.queries import query
from streams import topics
from streams.settings import Settings
from streams.validate import read_record
from tests.gateway.devices import SYNC, at, breath, count_of, log_of, reached

LIMIT_S = 60.0
"""A bound on hanging, never a performance check."""


async def test_events_may_come_one_by_one(settings: Settings) -> None:
    """As text they keep their faults; plain objects have lost some (which key stood twice?), but not all."""
    text = json.dumps(breath("ana"))
    raw = [
        text.encode(), msgspec.Raw(b" " + text.encode()), breath("bea"), b'{"id": 1, "id": 2}', {"id": float("nan")},
        breath("cyd", extra="\ud800"), breath("dan", extra="\0"), 7, None, [breath("eve")], b"",
    ]  # fmt: skip
    async with reached(settings) as it:
        caller = Caller(None, "192.0.2.1")
        answer = await accept(it.served.gateway, raw, caller)
        log = await log_of(settings)
        with pytest.raises(Problem) as refused:
            await accept(it.served.gateway, [b"{}"] * 10_001, caller)
    assert [one.verdict for one in answer.events] == ["accepted"] * 3 + ["rejected"] * 8
    assert [one.reason for one in answer.events[3:]] == [
        "missing_field", "not_finite", "lone_surrogate", "nul", "not_an_object", "not_an_object", "not_an_object",
        "malformed_json",
    ]  # fmt: skip
    assert [at(log, msgspec.to_builtins(one.position)).device_id for one in answer.events[:3]] == ["ana", "ana", "bea"]
    assert "RateLimit" in caller.headers
    assert refused.value.status == 413


async def test_bytes_that_wait_are_bounded(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(gateway_waiting_bytes=65_536, gateway_gather_ms=1_000)
    event = read_record(json.dumps(breath()).encode(), 1 << 50)
    async with reached(settings) as it:
        gather = it.served.gateway.intake.gather
        first = asyncio.create_task(gather.submit(event, [40_000]))
        await asyncio.sleep(0)
        with pytest.raises(NotStored) as busy:
            await gather.submit(event, [40_000])
        assert busy.value.code == "busy"
        assert (await first).places[0] is not None
        assert (gather.room.events, gather.room.bytes) == (0, 0)
        assert (await gather.submit(event, [40_000])).places[0] is not None


async def test_many_large_events_are_many_records(settings: Settings) -> None:
    """What one record or batch may not hold goes in several, each event where it was said to be."""
    harmonics = [
        {"x": n / 7, "y": 1e9 / 3, "frequency": n / 3, "amplitude": 1e-9 / 7, "phase": n / 9} for n in range(64)
    ]
    large = {"type": "FIELD", "data": {"harmonics": harmonics}}
    events = [breath(f"device-{n}", room_id="hall", **large) for n in range(400)]
    async with reached(settings) as it:
        answer = await it.client.post(SYNC, json=events)
        log = await log_of(settings)
    told = answer.json()
    assert told["accepted"] == 400
    assert [at(log, said["position"]).id for said in told["events"]] == [event["id"] for event in events]
    assert len({one["position"]["offset"] for one in told["events"]}) > 5


async def test_a_body_that_does_not_come_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_S", 0.2)
    async with reached(settings) as it, asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(it.served.url.rpartition(":")[2]))
        head = f"POST {SYNC} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n["
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()
        assert it.served.gateway.intake.reading.bytes == 0


async def test_redis_and_memory_count_alike(redis_port: int) -> None:
    """The same questions at the same times; the script's clock is Redis's own, so rates are slow against it."""
    text = resources.files("projections.gateway").joinpath("limits.lua").read_text(encoding="utf-8")
    chance, buckets = random.Random(7), Buckets()
    async with Redis(port=redis_port) as redis:
        script = redis.register_script(text)
        for _ in range(300):
            names = chance.sample(["a", "b", "c"], chance.randint(1, 3))
            asks = [Ask(f"test:{name}", 1e-6, 40.0, chance.randint(1, 9)) for name in names]
            if chance.random() < 0.05:
                await redis.delete(asks[0].key)
                buckets._levels.pop(asks[0].key, None)
            found = await script(
                keys=[ask.key for ask in asks],
                args=[one for ask in asks for one in (ask.rate, ask.capacity, ask.cost, 1)],
            )
            charged, told = buckets.charge(asks, 0)
            assert found[::3] == [int(charged)] * len(asks)
            assert found[1::3] == [one.left for one in told]


async def test_a_round_is_one_question_after_the_other(redis_port: int) -> None:
    """What is spent is taken out whatever is left; each group of the others is charged all or not."""
    text = resources.files("projections.gateway").joinpath("limits.lua").read_text(encoding="utf-8")
    async with Redis(port=redis_port) as redis:
        script = redis.register_script(text)

        async def said(*asks: tuple[str, int, int]) -> list[int]:
            numbers = [one for _, cost, group in asks for one in (1e-6, 40.0, cost, group)]
            found = await script(keys=[f"test:{name}" for name, _, _ in asks], args=numbers)
            return [one for at in range(0, len(found), 3) for one in found[at : at + 2]]

        assert await said(("a", 30, 0), ("b", 1, 0)) == [1, 10, 1, 39]
        assert await said(("a", 30, 1), ("b", 1, 1), ("b", 1, 2), ("a", 10, 3)) == [0, 10, 0, 39, 1, 38, 1, 0]
        assert await said(("a", 30, 0), ("b", 1, 1), ("a", 1, 2)) == [1, -30, 1, 37, 0, -30]


async def test_events_go_where_the_current_generation_reads(settings: Settings) -> None:
    """After a topic has grown: another topic, with another number of partitions."""
    await asyncio.to_thread(migrate, settings.database_url)
    await asyncio.to_thread(enter, settings)
    grown = replace(settings, generation="grown", events_topic=f"{settings.events_topic}.grown", partitions=7)
    await topics.create(grown, (grown.events_topic,))
    await asyncio.to_thread(enter, grown)
    async with reached(settings) as it:
        assert (await it.client.post(SYNC, json=[breath(f"device-{n}") for n in range(9)])).json()["accepted"] == 9
        assert count_of(await log_of(settings)) == 9
        async with await psycopg.AsyncConnection.connect(settings.database_url, autocommit=True) as database:
            await database.execute("UPDATE generations SET stage = 'following'")
            await database.execute(query("generation_switch"), {"from": settings.generation, "to": grown.generation})
        events = [breath(f"device-{n}") for n in range(60)]
        async with asyncio.timeout(LIMIT_S):
            while it.served.gateway.intake.gather.topic != grown.events_topic:  # noqa: ASYNC110 (another part's turn)
                await asyncio.sleep(0.05)
        told = (await it.client.post(SYNC, json=events)).json()
        log = await log_of(grown)
        assert count_of(await log_of(settings)) == 9
    assert [at(log, one["position"]).id for one in told["events"]] == [one["id"] for one in events]
    assert len(told["positions"]) == 7
