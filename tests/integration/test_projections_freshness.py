"""What is said about health: freshness of projections and parts, while the worker or Kafka is away."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import observe
from deploy.local import loopback, parts
from projections import backoff, ends
from projections.migrate import migrate
from projections.run import project, publish
from streams import metrics
from streams.settings import Settings
from tests.integration.folded import lively
from tests.integration.projecting import until
from tests.integration.test_projections_run import log_of, reflected, running

FOLLOW_THE_WORKER = ("state", "states", "redis")


@pytest.fixture
def small(make_settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(ends, "EVERY_S", 0.1)
    monkeypatch.setattr(ends, "ANSWER_S", 1.0)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.5)
    return make_settings(partitions=2, publish_ms=50, sample_ms=100)


@pytest.fixture
def own_kafka(small: Settings, tmp_path: Path) -> Iterator[Settings]:
    settings = replace(small, kafka_brokers=f"127.0.0.1:{loopback.free()}", home=str(tmp_path / "home"), parts="local")
    parts.start_part(settings, "kafka", durable=False, echo=lambda line: None)
    yield settings
    parts.stop(settings)


def gauge(name: str, **labels: str) -> float:
    found = metrics.REGISTRY.get_sample_value(name, labels)
    assert found is not None, f"{name} {labels} is not shown"
    return found


def fresh_s(projection: str) -> float:
    return gauge("field_projection_freshness_seconds", projection=projection)


def shown(projection: str) -> bool:
    """Whether it has said how old it is: not before its group knows its partitions."""
    return (
        metrics.REGISTRY.get_sample_value("field_projection_freshness_seconds", {"projection": projection}) is not None
    )


async def until_fresh(since_s: float, *names: str) -> None:
    """Until each is known to reflect an end of the log that was asked for after that moment (epoch seconds)."""
    for name in names:
        await until(lambda name=name: shown(name) and time.time() - fresh_s(name) > since_s, f"{name} is fresh")


async def test_without_a_worker_nothing_behind_it_claims_to_be_fresh(small: Settings) -> None:
    stop = asyncio.Event()
    await asyncio.to_thread(migrate, small.database_url)
    async with log_of(small) as log, running(stop, project(small, stop), publish(small, stop)):
        await log.say(lively(1, 60))
        await log.checkpoint()
        await until_fresh(time.time(), "raw", *FOLLOW_THE_WORKER)
        whole = {item.projection: item for item in (await observe.look(small)).projections}
        assert {name: item.freshness_s for name, item in whole.items()} == dict.fromkeys(
            ("worker", "raw", *FOLLOW_THE_WORKER), 0.0
        )
        await log.say(lively(2, 60))  # and no checkpoint
        said = time.time()
        await until_fresh(said, "raw")
        await asyncio.sleep(1.0)
        elapsed = time.time() - said
        assert min(fresh_s(name) for name in FOLLOW_THE_WORKER) >= elapsed
        torn = {item.projection: item for item in (await observe.look(small)).projections}
        for name in ("worker", *FOLLOW_THE_WORKER):
            assert sum((torn[name].lag or {}).values()) == 60
            assert (torn[name].freshness_s or 0.0) >= elapsed, name
        assert (sum((torn["raw"].lag or {}).values()), torn["raw"].freshness_s) == (0, 0.0)
        await log.checkpoint()
        await until_fresh(said, *FOLLOW_THE_WORKER)


async def test_while_kafka_is_away_nothing_claims_to_be_fresh(own_kafka: Settings) -> None:
    stop, names = asyncio.Event(), ("raw", *FOLLOW_THE_WORKER)
    await asyncio.to_thread(migrate, own_kafka.database_url)
    async with running(stop, project(own_kafka, stop), publish(own_kafka, stop)):
        async with log_of(own_kafka) as log:
            await log.say(lively(1, 20))
            await log.checkpoint()
            await until(lambda: reflected(own_kafka, "state") == log.ends, "state")
            await until_fresh(time.time(), *names)
        assert gauge("field_part_up", part="kafka") == 1
        killed = time.time()
        assert parts.stop_part(own_kafka, "kafka", signal.SIGKILL)
        await until(lambda: gauge("field_part_up", part="kafka") == 0, "the metrics say that Kafka is away")
        await asyncio.sleep(1.0)
        elapsed = time.time() - killed
        assert min(map(fresh_s, names)) >= elapsed
        for item in (await observe.look(own_kafka)).projections:
            assert item.lag is None
            assert item.freshness_s is None or item.freshness_s >= elapsed
        await asyncio.to_thread(parts.start_part, own_kafka, "kafka", durable=False, echo=lambda line: None)
        await until_fresh(killed + elapsed, *names)
        await until(lambda: gauge("field_part_up", part="kafka") == 1, "the metrics say that Kafka is back")
