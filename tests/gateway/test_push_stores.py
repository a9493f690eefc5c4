"""The push while a store is away: what can go on does, and all comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx
import psycopg
import pytest
from redis.asyncio import Redis

from deploy.local import loopback
from projections import hot
from projections.gateway.optouts import OptOuts
from projections.views import Views
from streams.settings import Settings
from streams.wire import to_plain
from tests.fixtures.gateway import Serving, serving
from tests.gateway.pushing import logged, publish, publisher, sse, ws
from tests.integration.projecting import Door, database, until
from tests.workers import WorkerProcess
from tests.worlds import START_S, say


def now() -> float:
    """For ``say``: rooms that are open now have events of now."""
    return time.time() - START_S


@contextlib.asynccontextmanager
async def published(settings: Settings) -> AsyncIterator[None]:
    """The field goes to Redis as long as the block lasts."""
    stop = asyncio.Event()
    views, redis = Views(settings), Redis(port=settings.redis_port)
    parts = [
        asyncio.create_task(views.keep(stop)),
        asyncio.create_task(hot.Publisher(settings, views, redis).run(stop)),
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*parts)
        await redis.aclose()


async def test_the_field_goes_on_from_kafka_while_redis_is_away(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=2, shards=4, checkpoint_ms=100, session_timeout_s=6, publish_ms=100)
    async with publisher(settings) as log, Door(settings.redis_port) as door:
        await door.open()
        with WorkerProcess(settings):
            async with (
                published(settings),
                serving(replace(settings, redis_port=door.port)) as served,
                sse(served, include="events,field,rooms") as ear,
            ):

                def tier() -> str:
                    return ear.of("field")[-1]["reflects"]["tier"] if ear.of("field") else ""

                await publish(log, [say("ana", "BLOOM", now(), room="hall"), say("bea", "BLOOM", now(), room="hall")])
                await ear.until(lambda: tier() == "redis" and ear.of("field")[-1]["watermark"] > 0, "from Redis")
                await door.shut()
                await ear.until(lambda: tier() == "memory", "the field from Kafka")
                await publish(log, [say("ana", "BLOOM", now(), room="attic")])
                await ear.hears(3)
                await ear.until(lambda: any("attic" in str(one) for one in ear.of("rooms")), "rooms from Kafka")
                await door.open()
                await ear.until(lambda: tier() == "redis", "the field from Redis again")
                times = [one["at"] for one in ear.of("field")]
                assert times == sorted(times)
                assert sorted(ear.heard) == await logged(settings)


async def test_a_field_that_nobody_folds_any_more_is_told_as_stale(make_settings: Callable[..., Settings]) -> None:
    """Though the publisher goes on with what there was."""
    settings = make_settings(partitions=2, shards=4, checkpoint_ms=100, session_timeout_s=6, gateway_stale_ms=1_000)
    async with publisher(settings) as log, serving(settings) as served, sse(served, include="field") as ear:

        def stale() -> bool | None:
            return ear.of("field")[-1]["reflects"]["stale"] if ear.of("field") else None

        async with published(settings):
            with WorkerProcess(settings):
                await publish(log, [say("ana", "BLOOM", now(), room="hall")])
                await ear.until(lambda: stale() is False and ear.of("field")[-1]["watermark"] > 0, "the field")
            await publish(log, [say("ana", "BLOOM", now(), room="attic")])
            await ear.until(stale, "that nobody has folded it")
            assert ear.of("field")[-1]["reflects"]["tier"] == "redis"
            with WorkerProcess(settings):
                await ear.until(lambda: stale() is False, "that somebody has")


async def test_who_is_out_is_not_pushed(settings: Settings) -> None:
    """Seen in the stream, and of those who went before this gateway began, from PostgreSQL."""
    async with database(settings), publisher(settings) as log:
        with psycopg.connect(settings.database_url) as connection:
            connection.execute(
                "INSERT INTO opt_toggles (device_id, timestamp, id, out) VALUES ('ana', now(), gen_random_uuid(), true)"
            )
        async with serving(settings) as served, sse(served, include="events") as ear:
            await until(lambda: len(served.gateway.hub.opt_outs) == 1, "what PostgreSQL knows")
            await publish(log, [say("ana", "BLOOM", 1), say("bea", "BLOOM", 1), say("cyd", "TOUCH", 1, to="ana")])
            await ear.hears(1)
            await publish(log, [say("bea", "OPT_OUT", 2)])
            await ear.hears(2)
            await publish(log, [say("bea", "BLOOM", 3), say("cyd", "BLOOM", 3)])
            await ear.hears(3)
            events = [event for message in ear.of("events") for event in message["events"]]
            assert [(one["device_id"], one["type"]) for one in events] == [
                ("bea", "BLOOM"), ("bea", "OPT_OUT"), ("cyd", "BLOOM"),
            ]  # fmt: skip


async def test_nobody_hears_the_past_before_it_is_known_who_is_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a gateway has been started anew, and its listeners come back at once."""
    load, known = OptOuts.load, asyncio.Event()

    async def slow(found: OptOuts) -> None:
        await known.wait()
        await load(found)

    monkeypatch.setattr(OptOuts, "load", slow)
    async with database(settings), publisher(settings) as log:
        with psycopg.connect(settings.database_url) as connection:
            connection.execute(
                "INSERT INTO opt_toggles (device_id, timestamp, id, out) VALUES ('ana', now(), gen_random_uuid(), true)"
            )
        await publish(log, [say("ana", "BLOOM", 1), say("bea", "BLOOM", 1)])
        async with serving(settings) as served:
            await served.gateway.hub.reached({}, 60)
            listening = asyncio.create_task(past_of(served))
            early, _ = await asyncio.wait({listening}, timeout=1)  # there is time enough for all of it
            known.set()
            assert await listening == ["bea"]
            assert not early


async def past_of(served: Serving) -> list[str]:
    """Whose events are played from the beginning to the present."""
    async with sse(served, include="events", **{"from": 0, "speed": "max"}) as ear:
        await ear.until(lambda: ear.of("live"), "the present")
    return [event["device_id"] for message in ear.of("events") for event in message["events"]]


async def test_without_any_store_a_listener_waits(settings: Settings) -> None:
    gone = loopback.free()
    url = f"postgresql://field:field@127.0.0.1:{gone}/field"
    alone = replace(
        settings, kafka_brokers=f"127.0.0.1:{gone}", database_url=url, redis_port=gone, push_heartbeat_s=0.2
    )
    async with serving(alone) as served, httpx.AsyncClient(base_url=served.url, timeout=30) as client:
        async with client.stream("GET", "/api/consciousness/stream") as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                if line == ": heartbeat":
                    break
        again = await client.get("/api/consciousness/stream", headers={"Last-Event-ID": "0:1"})
        assert (again.status_code, again.json()["code"]) == (503, "kafka_away")
        assert int(again.headers["retry-after"]) > 0


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
async def test_a_device_speaks_and_hears_over_one_socket(settings: Settings, bad: bool) -> None:
    event = to_plain(say("ana", "BLOOM", 1))
    async with publisher(settings), serving(settings) as served, ws(served) as (ear, connection):
        events = [event, {"type": "SNEEZE"}] if bad else [event]
        await connection.send(json.dumps({"type": "publish", "request": 7, "events": events}))
        await ear.until(lambda: ear.of("published") or ear.of("problem"), "an answer")
        assert not ear.of("problem")
        (answer,) = ear.of("published")
        assert (answer["request"], answer["accepted"], answer["rejected"]) == (7, 1, int(bad)), str(answer["events"])
        await ear.hears(1)
        assert ear.heard == await logged(settings)
        place = answer["events"][0]["position"]
        assert ear.heard[0][:3] == (place["partition"], place["offset"], place["index"])
