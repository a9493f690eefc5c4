"""The log away, silent, full: what is acknowledged is stored, what is not is 503, and nothing piles up."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local import health, kafka, loopback, process
from projections.gateway import gather
from projections.gateway.producing import Line
from streams import topics
from streams.settings import Settings
from tests.fixtures.gateway import serving
from tests.gateway.devices import SYNC, Reached, at, breath, count_of, log_of, reached

LIMIT_S = 60.0
"""A bound on hanging, never a performance check."""


class Broker:
    """A Kafka of a test's own, which may be killed, stopped and started again."""

    def __init__(self, home: Path) -> None:
        self.port = loopback.free()
        self._home = home

    def start(self) -> None:
        command = kafka.prepare(kafka.bring(print), process.base(self._home) / "kafka", self.port)
        process.start(self._home, "kafka", command)
        end = time.monotonic() + LIMIT_S
        while not health.kafka("127.0.0.1", self.port).up:
            assert time.monotonic() < end, process.log_end(self._home, "kafka")
            time.sleep(0.1)

    def send(self, sent: signal.Signals) -> None:
        found = process.running(self._home, "kafka")
        assert found is not None
        os.kill(found.pid, sent)
        while sent == signal.SIGKILL and process.alive(found):
            time.sleep(0.01)

    def stop(self) -> None:
        process.stop(self._home, "kafka", signal.SIGKILL)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path / "broker")
    yield found
    found.stop()


@pytest.fixture
def fragile(broker: Broker, make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(
        kafka_brokers=f"127.0.0.1:{broker.port}", gateway_ack_ms=1_500, gateway_waiting_events=50, partitions=2
    )


async def until(it: Reached, status: int) -> httpx.Response:
    """Sends events until one is answered so."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            answer = await it.client.post(SYNC, json=breath())
            if answer.status_code == status:
                return answer
            await asyncio.sleep(0.1)


async def test_kafka_comes_and_goes(broker: Broker, fragile: Settings) -> None:
    acknowledged: list[dict[str, Any]] = []
    async with serving(fragile) as served, httpx.AsyncClient(base_url=served.url, timeout=60) as client:
        it = Reached(served, client, fragile)
        away = await until(it, 503)
        assert (away.json()["code"], away.headers["retry-after"]) == ("log_away", "5")
        await asyncio.to_thread(broker.start)
        await topics.create(fragile, (fragile.events_topic,))
        acknowledged += (await until(it, 200)).json()["events"]
        sending = asyncio.create_task(_send(it, acknowledged))
        async with asyncio.timeout(LIMIT_S):
            while len(acknowledged) < 50:  # noqa: ASYNC110 (a list that the other task fills)
                await asyncio.sleep(0)
        broker.send(signal.SIGKILL)
        lost = await until(it, 503)
        assert lost.json()["code"] in ("not_acknowledged", "log_away")
        assert "retry-after" in lost.headers
        await asyncio.to_thread(broker.start)
        acknowledged += (await until(it, 200)).json()["events"]
        sending.cancel()
        assert served.gateway.intake.gather.room.events <= 50
        log = await log_of(fragile)
    assert len(acknowledged) > 50
    for one in acknowledged:
        assert at(log, one["position"]).id == one["id"]


async def _send(it: Reached, acknowledged: list[dict[str, Any]]) -> None:
    while True:
        answer = await it.client.post(SYNC, json=[breath(f"device-{n}") for n in range(5)])
        if answer.status_code == 200:
            acknowledged += answer.json()["events"]


async def test_a_silent_broker_fills_nothing(broker: Broker, fragile: Settings) -> None:
    await asyncio.to_thread(broker.start)
    async with reached(fragile) as it:
        await until(it, 200)
        stored = count_of(await log_of(fragile))
        broker.send(signal.SIGSTOP)
        batch = [breath() for _ in range(20)]
        answers = await asyncio.gather(*(it.client.post(SYNC, json=batch) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {503}
        codes = [answer.json()["code"] for answer in answers]
        assert codes.count("busy") == 3, "there was room for 50 events"
        assert codes.count("not_acknowledged") + codes.count("log_away") == 2, "one is sent, the other waits behind it"
        slow = next(answer.json() for answer in answers if answer.json()["code"] == "not_acknowledged")
        assert {one["reason"] for one in slow["events"]} == {"not_stored"}
        assert (slow["accepted"], slow["positions"]) == (0, {})
        broker.send(signal.SIGCONT)
        last = await until(it, 200)
        async with asyncio.timeout(LIMIT_S):
            while it.served.gateway.intake.gather.room.events:  # noqa: ASYNC110 (a count of the gateway's own)
                await asyncio.sleep(0.05)
        log = await log_of(fragile)
    assert at(log, last.json()["events"][0]["position"]).id == last.json()["events"][0]["id"]
    assert stored < count_of(log) <= stored + 1 + 40 + 20, "what was refused may be there; busy ones never"


async def test_a_topic_that_is_not_there_is_waited_for(settings: Settings) -> None:
    async with reached(settings, topic=False) as it:
        assert (await until(it, 503)).json()["code"] in ("log_away", "not_acknowledged")
        await topics.create(settings, (settings.events_topic,))
        assert (await until(it, 200)).json()["accepted"] == 1


async def test_one_partition_refused_is_no_acknowledgement(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that has no room or too few replicas; the other partition's events are stored, and told."""
    send, refused = Line.send, []

    async def sometimes(self: Line, partition: int, records: Any) -> int:
        if partition == 1 and len(refused) < 1:
            refused.append(partition)
            raise gather.KafkaError("[Error 56] KafkaStorageError")
        return await send(self, partition, records)

    monkeypatch.setattr(Line, "send", sometimes)
    events = [breath(f"device-{n}") for n in range(40)]
    async with reached(settings) as it:
        answer = await it.client.post(SYNC, json=events)
        told = answer.json()
        assert (answer.status_code, told["code"], answer.headers["retry-after"]) == (503, "not_acknowledged", "1")
        log = await log_of(settings)
        ids = {event.id for entries in log.values() for entry in entries for event in entry.events}
        stored = {one["id"] for one in told["events"] if one["verdict"] == "accepted"}
        assert stored == ids
        assert 0 < len(stored) == told["accepted"] < 40
        again = await until(it, 200)
        assert again.json()["accepted"] == 1
        rest = await it.client.post(SYNC, json=events)
        assert rest.json()["accepted"] == 40
    assert refused == [1]
