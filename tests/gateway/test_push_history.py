"""History to live: the past at a pace, joined to the present while events keep coming, without a gap or a repeat."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from deploy.backend import Publisher
from streams.settings import Settings
from tests.fixtures.gateway import serving
from tests.gateway.pushing import in_order, logged, publish, publisher, sse, ws
from tests.gateway.reading import eventually
from tests.gateway.test_push_events import some
from tests.worlds import say


@asynccontextmanager
async def publishing(log: Publisher, start: int) -> AsyncIterator[asyncio.Event]:
    """Events keep being published while the block lasts, a few every 10 ms."""
    over, number = asyncio.Event(), start

    async def go_on() -> None:
        nonlocal number
        while not over.is_set():
            await publish(log, some(7, number))
            number += 7
            await asyncio.sleep(0.01)

    task = asyncio.create_task(go_on())
    try:
        yield over
    finally:
        over.set()
        await task


@pytest.mark.parametrize("tail", [20_000, 100], ids=["wide tail", "narrow tail"])
@pytest.mark.parametrize("over", ["sse", "ws"])
async def test_history_joins_the_present(settings: Settings, over: str, tail: int) -> None:
    """Everything from the start of the log on, exactly once, in order by partition."""
    settings = replace(settings, push_tail_events=tail, push_gather_ms=2)
    async with publisher(settings) as log:
        await publish(log, some(3_000))
        async with serving(settings) as served, publishing(log, 3_000) as enough:
            listening: Any = (
                sse(served, include="events", **{"from": "0", "speed": "max"})
                if over == "sse"
                else ws(served, filters={"include": ["events"]}, **{"from": 0, "speed": "max"})
            )
            async with listening as found:
                ear = found[0] if isinstance(found, tuple) else found
                await ear.until(lambda: ear.of("live"), "that it has joined")
                joined = len(ear.heard)
                await ear.hears(joined + 200)
                enough.set()
                await asyncio.sleep(0)
                await publish(log, [say("zoe", "BLOOM", 1)])
                expected = await logged(settings)
                await ear.hears(len(expected))
                assert sorted(ear.heard) == expected
                assert in_order(ear.heard)
                assert len(ear.of("live")) == 1
                assert joined >= 3_000


async def test_many_join_at_once(settings: Settings) -> None:
    settings = replace(settings, push_tail_events=500, push_histories_max=8)
    async with publisher(settings) as log:
        await publish(log, some(1_000))
        async with serving(settings) as served, publishing(log, 1_000) as enough, AsyncExitStack() as stack:
            asked = {"include": "events", "from": "0", "speed": "max"}
            listening = [stack.enter_async_context(sse(served, **asked)) for _ in range(6)]
            ears = await asyncio.gather(*listening)
            for ear in ears:
                await ear.until(lambda ear=ear: ear.of("live"), "that it has joined")
            enough.set()
            await asyncio.sleep(0)
            await publish(log, [say("zoe", "BLOOM", 1)])
            expected = await logged(settings)
            for ear in ears:
                await ear.hears(len(expected))
                assert sorted(ear.heard) == expected
                assert in_order(ear.heard)


async def test_the_past_is_played_at_its_pace(settings: Settings) -> None:
    """Two handfuls of events, two seconds apart: at 2 times they are a second apart, and the present comes after."""
    async with publisher(settings) as log:
        began_ms = int(time.time() * 1000)
        await publish(log, some(10))
        await asyncio.sleep(2)
        await publish(log, some(10, 10))
        slowly = {"from": str(began_ms), "speed": "2"}
        async with serving(settings) as served, sse(served, include="events", **slowly) as ear:
            await ear.hears(10)
            assert len(ear.heard) == 10
            first = time.monotonic()
            await ear.hears(20)
            assert time.monotonic() - first > 0.7
            assert not ear.of("live")
            await ear.until(lambda: ear.of("live"), "that it has joined")
            await publish(log, some(10, 20))
            await ear.hears(30)
            assert sorted(ear.heard) == await logged(settings)


async def test_a_time_of_the_past_is_where_it_begins(settings: Settings) -> None:
    async with publisher(settings) as log, serving(settings) as served:
        await publish(log, some(50))
        await asyncio.sleep(0.05)
        middle_ms = int(time.time() * 1000)
        await asyncio.sleep(0.05)
        await publish(log, some(50, 50))
        async with sse(served, include="events", **{"from": str(middle_ms)}) as ear:
            await ear.until(lambda: ear.of("live"), "that it has joined")
            await ear.hears(50)  # the hub itself may have them a moment later
            assert len(ear.heard) == 50
            assert set(ear.heard) < set(await logged(settings))
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))
        async with sse(served, include="events", **{"from": later}) as ear:
            await ear.until(lambda: ear.of("live"), "that it has joined")
            assert ear.heard == []


async def test_not_too_many_hear_the_past(settings: Settings) -> None:
    settings = replace(settings, push_histories_max=1)
    async with publisher(settings) as log, serving(settings) as served:
        await publish(log, some(10))
        slowly = {"from": str(int(time.time() * 1000) - 5_000), "speed": "0.5"}
        async with sse(served, include="events", **slowly), httpx.AsyncClient(base_url=served.url) as client:
            full = await client.get("/api/consciousness/stream?from=0")
            assert (full.status_code, full.json()["code"]) == (503, "busy")
            assert int(full.headers["retry-after"]) > 0


async def test_who_has_joined_hears_the_past_no_more(settings: Settings) -> None:
    """And holds no place among those who do, however it listens; nor who is gone before the past has begun."""
    settings = replace(settings, push_histories_max=1)
    async with publisher(settings) as log, serving(settings) as served:
        await publish(log, some(10))

        async def free() -> bool:
            return served.gateway.hub._histories == 0

        async with sse(served, include="events", **{"from": "0"}) as first:
            await first.until(lambda: bool(first.of("live")), "the present")
            await eventually(free, "that its place is free")
            async with ws(served, filters={"include": ["events"]}, **{"from": "0"}) as (second, socket):
                await second.until(lambda: bool(second.of("live")), "the present")
                for _ in range(20):  # each ends what the one before may not even have begun
                    await socket.send(json.dumps({"type": "subscribe", "from": "0"}))
                await second.until(lambda: len(second.of("live")) > 1, "the present again")
                assert second.of("problem") == []
            await eventually(free, "that all places are free")


async def test_subscribing_anew_ends_what_was_before(settings: Settings) -> None:
    async with (
        publisher(settings) as log,
        serving(settings) as served,
        ws(served, filters={"types": ["BLOOM"], "include": ["events"]}) as (ear, socket),
    ):
        await publish(log, [say("ana", "BLOOM", 1), say("ana", "BREATH", 2)])
        await ear.hears(1)
        await socket.send(json.dumps({"type": "subscribe", "filters": {"types": ["BREATH"], "include": ["events"]}}))
        await ear.until(lambda: len(served.gateway.hub.groups) == 1 and ear.beats >= 2, "the other filters")
        await publish(log, [say("ana", "BLOOM", 3), say("ana", "BREATH", 4)])
        await ear.hears(2)
        assert [event["type"] for message in ear.of("events") for event in message["events"]] == ["BLOOM", "BREATH"]
        await socket.send(json.dumps({"type": "subscribe", "filters": {"types": ["SNEEZE"]}, "request": 9}))
        await socket.send("no JSON")
        await socket.send(json.dumps({"type": "dance"}))
        await ear.until(lambda: len(ear.of("problem")) == 3, "problems")
        assert [one["code"] for one in ear.of("problem")] == ["bad_filter", "bad_message", "bad_message"]
        assert ear.of("problem")[0]["request"] == 9
