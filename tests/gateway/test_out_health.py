"""Health says what stores know of every part, and null where they do not; the log's end makes an answer stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from projections.gateway.positions import lowest, parse, reached, told
from projections.gateway.watch import Progress
from streams import topics
from streams.settings import Settings
from tests.fixtures.gateway import Serving
from tests.gateway.filling import World, gathering, world
from tests.gateway.reading import SCHEMA, alone, answered, eventually, gateway, nowhere


@pytest.fixture
def chosen(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(partitions=2, shards=2, hot_s=60)


async def health(served: Serving) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=30) as client:
        response = await client.get(f"{served.url}/api/health")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    found: dict[str, Any] = response.json()
    SCHEMA.validate({"/api/health": found})
    assert set(found["parts"]) == {"kafka", "postgres", "redis", "worker", "projector", "publisher"}
    assert all(set(part) == {"up", "lag", "freshness_s", "problem"} for part in found["parts"].values())
    return found


async def log(settings: Settings, told: World) -> None:
    """The records of this world, on the real log."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers)
    await producer.start()
    try:
        for number, records in enumerate(told._raw):
            for record in records:
                await producer.send_and_wait(settings.events_topic, record.value, partition=number)
    finally:
        await producer.stop()


async def test_lag_freshness_and_who_is_there(chosen: Settings) -> None:
    await topics.create(chosen)
    async with world(chosen) as told_all:
        told_all.say(*gathering())
        await told_all.publish()
        await told_all.project()
        await log(chosen, told_all)
        group = AIOKafkaConsumer(
            chosen.events_topic,
            bootstrap_servers=chosen.kafka_brokers,
            group_id=topics.app_id(chosen),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        async with gateway(chosen, gateway_stale_ms=100) as (served, client):
            ends = {str(number): at for number, at in told_all.positions.items()}

            async def known() -> bool:
                found = await health(served)
                return bool(found["end"] == ends and found["parts"]["publisher"]["freshness_s"] is not None)

            await eventually(known, "the log's end")
            found = await health(served)
            assert (found["alive"], found["ready"], found["generation"]) == (True, True, chosen.generation)
            parts = found["parts"]
            assert [parts[name]["up"] for name in ("kafka", "postgres", "redis", "publisher")] == [True] * 4
            assert parts["publisher"]["lag"] == parts["projector"]["lag"] == {"0": 0, "1": 0}
            assert parts["worker"]["up"] is False
            assert "group" in parts["worker"]["problem"]
            assert sum(parts["worker"]["lag"].values()) == len(told_all.events)

            await group.start()
            try:
                while sum([await group.position(place) for place in group.assignment()]) < len(told_all.events):
                    await group.getmany(timeout_ms=100)
                await group.commit()

                async def kept() -> bool:
                    worker = (await health(served))["parts"]["worker"]
                    return bool(worker["up"] and worker["lag"] == {"0": 0, "1": 0} and worker["problem"] is None)

                await eventually(kept, "the worker's commit")
            finally:
                await group.stop()

            assert (await answered(client, "/metrics"))["data"]["lag"] == {"0": 0, "1": 0}
            await log(chosen, told_all)  # more has come, and nobody folds it

            async def stale() -> bool:
                await told_all.publish()  # computed just now, and still not what the log has
                found = await answered(client, "/state")
                return bool(found["reflects"]["stale"] and found["reflects"]["age_ms"] < 100)

            await eventually(stale, "an answer that is behind the log")
            assert (await answered(client, "/history"))["reflects"]["stale"] is True, "the database is behind, too"
            assert sum((await answered(client, "/metrics"))["data"]["lag"].values()) == len(told_all.events)


async def test_what_is_away_is_unknown_and_the_rest_is_ready(chosen: Settings) -> None:
    async with world(chosen) as told_all:
        told_all.say(*gathering())
        await told_all.project()
        away = {"kafka_brokers": alone().kafka_brokers} | nowhere()
        async with gateway(chosen, **away) as (served, _):

            async def looked() -> bool:
                parts = (await health(served))["parts"]
                return all(parts[name]["up"] is not None for name in ("kafka", "postgres", "redis"))

            await eventually(looked, "a look at all stores")
            found = await health(served)
            parts = found["parts"]
            assert (parts["kafka"]["up"], parts["postgres"]["up"], parts["redis"]["up"]) == (False, True, False)
            assert parts["kafka"]["problem"]
            assert parts["redis"]["problem"]
            assert found["end"] is None
            for name in ("worker", "projector", "publisher"):
                assert parts[name] == {"up": None, "lag": None, "freshness_s": None, "problem": None}
            assert (found["alive"], found["ready"]) == (True, True)


async def test_a_log_without_its_topic_is_said(chosen: Settings) -> None:
    async with gateway(chosen) as (served, _):

        async def said() -> bool:
            kafka = (await health(served))["parts"]["kafka"]
            return bool(kafka["up"] and "no topic" in (kafka["problem"] or ""))

        await eventually(said, "the topic that is missing")


async def test_no_address_in_what_anybody_may_read() -> None:
    settings = replace(alone(), database_url="postgresql://field:secret-word@127.0.0.1:1/field")
    async with gateway(settings) as (served, _):

        async def looked() -> bool:
            return (await health(served))["parts"]["postgres"]["up"] is False

        await eventually(looked, "a database that is away")
        text = str(await health(served))
        assert "secret-word" not in text
        assert "127.0.0.1" not in text


def test_progress_is_since_the_end_was_reached() -> None:
    one = Progress()
    one.look(10.0, {0: 4})
    assert (one.since_s, one.lag({0: 4})) == (0.0, None)
    one.positions = {0: 3}
    one.look(11.0, {0: 4})
    assert (one.since_s, one.lag({0: 4, 1: 0})) == (0.0, {0: 1, 1: 1})
    one.positions = {0: 4, 1: 7}
    one.look(12.0, {0: 4})
    one.look(13.0, {0: 5})
    assert (one.since_s, one.lag({0: 5})) == (12.0, {0: 1})
    assert one.lag(None) is None


def test_vectors() -> None:
    assert parse("1:17,0:5", 2) == {0: 5, 1: 17}
    assert told({1: 17, 0: 5}) == "0:5,1:17"
    assert reached({0: 5, 1: 17}, {1: 17})
    assert not reached({0: 5}, {1: 0})
    assert lowest([{0: 5, 1: 2}, {0: 3, 1: 9, 2: 1}]) == {0: 3, 1: 2}
    assert lowest([]) == {}
