"""The changelog is compacted, emptied, half lost, or of another log: the worker recovers, or says what to do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy import supervisor
from streams import topics, wire
from streams.settings import Settings
from streams.table import parse_key, partition_of
from tests.faults.figures import told
from tests.workers import Sent, WorkerProcess, expected, folded, found, instance, publish, read_topic, until
from tests.worlds import say

KINDS = ("BREATH", "SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE")


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    # a static member: the next one takes its place at once, without waiting for the session to time out
    return instance(kafka, tmp_path, partitions=2, shards=4, checkpoint_ms=50, instance="only")


def crowd(count: int, start: int = 0, seed: int = 3) -> list[Sent]:
    """Twenty people in six rooms, one event in 50 ms."""
    chance = random.Random(seed + start)
    events = [
        say(f"device-{chance.randrange(20)}", chance.choice(KINDS), n * 0.05, room=f"room-{chance.randrange(6)}")
        for n in range(start, start + count)
    ]
    return [Sent(wire.encode_event(event), partition_of(event.key, 2)) for event in events]


async def fold_all(settings: Settings, sent: Sequence[Sent]) -> None:
    """Publish, fold in a few checkpoints, and stop in good order: all of it is committed."""
    await topics.create(settings)
    with WorkerProcess(settings) as worker:
        await worker.says("generation")
        for start in range(0, len(sent), 200):
            await publish(settings, sent[start : start + 200])
            await asyncio.sleep(0.15)
        await folded(settings)
        assert await asyncio.to_thread(worker.stop) == 0


async def is_right(settings: Settings) -> None:
    """What a reader finds that begins now is the fold of the whole log."""
    assert found(await folded(settings), settings) == await expected(settings)


@asynccontextmanager
async def admin_of(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def configure(settings: Settings, topic: str, **config: str) -> None:
    plain = {name.replace("_", "."): value for name, value in config.items()}
    async with admin_of(settings) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=plain)])


async def ends(settings: Settings, topic: str) -> dict[int, int]:
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers) as consumer:
        places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}


async def drop(settings: Settings, topic: str) -> None:
    async with admin_of(settings) as admin:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():
            await asyncio.sleep(0.1)


async def lose(settings: Settings, before: dict[int, int]) -> None:
    """Delete the changelog's records before these offsets."""
    topic = topics.changelog_topic(settings)
    await configure(settings, topic, cleanup_policy="compact,delete")  # Kafka refuses it on a compacted topic
    async with admin_of(settings) as admin:
        await admin.delete_records(
            {TopicPartition(topic, number): RecordsToDelete(before_offset=offset) for number, offset in before.items()}
        )


async def test_compacted_it_recovers(settings: Settings) -> None:
    await fold_all(settings, crowd(1_200))
    changelog = topics.changelog_topic(settings)
    await configure(
        settings, changelog, cleanup_policy="compact", min_cleanable_dirty_ratio="0.001", segment_ms="100",
        max_compaction_lag_ms="100", delete_retention_ms="0",
    )  # fmt: skip
    before = len(await read_topic(settings, changelog))
    with WorkerProcess(settings) as worker:
        await worker.says("generation")
        end = asyncio.get_running_loop().time() + 60
        number = 1_200
        while (now := len(await read_topic(settings, changelog))) >= before:  # new records close the old segments
            assert asyncio.get_running_loop().time() < end, f"Kafka has not compacted the changelog: {before}, {now}"
            await publish(settings, crowd(20, number))
            number += 20
            await asyncio.sleep(0.5)
        await folded(settings)
        worker.kill()
    told(f"changelog compacted from {before} records to {now}: recovered")
    with WorkerProcess(settings) as worker:
        await worker.says("generation")
        await publish(settings, crowd(50, number))
        await is_right(settings)


@pytest.mark.parametrize("way", ["records deleted", "topic deleted"])
async def test_emptied_it_folds_again_from_the_beginning_of_the_log(settings: Settings, way: str) -> None:
    """Also when nothing new comes: the group had committed all of the log."""
    await fold_all(settings, crowd(600))
    changelog = topics.changelog_topic(settings)
    if way == "topic deleted":
        await drop(settings, changelog)
    else:
        await lose(settings, await ends(settings, changelog))
    with WorkerProcess(settings) as worker:
        await worker.says("folding again from there")
        await is_right(settings)
        assert worker.running


async def test_half_lost_it_folds_again_from_the_beginning_of_the_log(settings: Settings) -> None:
    """Old records deleted, as a wrong retention does: shards that were not written since are gone, and do not show."""
    await fold_all(settings, crowd(600))
    changelog = topics.changelog_topic(settings)
    before = await ends(settings, changelog)
    only = [Sent(wire.encode_event(say("late", "BLOOM", 60, room="room-0")), partition_of("room-0", 2))]
    await fold_all(settings, only)
    await lose(settings, before)
    kept = {parse_key(record.key)[:2] for record in await read_topic(settings, changelog)}
    assert len(kept) < 2 * settings.shards, "all shards were written again, nothing is lost"
    with WorkerProcess(settings) as worker:
        await worker.says("folding again")
        await is_right(settings)
        worker.kill()
    with WorkerProcess(settings) as worker:
        await worker.says("generation")
        await publish(settings, crowd(50, 2_000))
        await is_right(settings)


async def test_ahead_of_the_log_it_refuses_and_says_what_to_do(settings: Settings) -> None:
    await fold_all(settings, crowd(600))
    await drop(settings, settings.events_topic)
    await topics.create(settings)
    await publish(settings, crowd(40))
    with WorkerProcess(settings) as worker:
        code = await worker.ended()
    last = worker.log.read_text().strip().splitlines()[-1]
    assert code == 12
    assert code in supervisor.ADVICE, "the supervisor would start it again and again"
    assert "OtherLogError" in last
    assert "FIELD_GENERATION" in last


async def test_records_that_nobody_has_folded_are_gone_and_it_says_so(settings: Settings) -> None:
    """The changelog is empty, and so is the beginning of the log: no state of this log can be made any more."""
    await fold_all(settings, crowd(600))
    await drop(settings, topics.changelog_topic(settings))
    async with admin_of(settings) as admin:
        place: Any = TopicPartition(settings.events_topic, 1)
        await admin.delete_records({place: RecordsToDelete(before_offset=10)})
    with WorkerProcess(settings) as worker:
        code = await worker.ended()
    last = worker.log.read_text().strip().splitlines()[-1]
    assert code == 11
    assert code in supervisor.ADVICE
    assert "the log begins at 10" in last


async def test_deleted_while_the_worker_runs_it_comes_back(settings: Settings) -> None:
    """The worker leaves when its writes are refused; who starts it again finds an empty changelog."""
    await fold_all(settings, crowd(400))
    with WorkerProcess(settings) as worker:
        await worker.says("generation")
        await drop(settings, topics.changelog_topic(settings))
        await publish(settings, crowd(50, 400))
        assert await worker.ended() != 0
    with WorkerProcess(settings) as worker:
        await worker.says("folding again from there")
        await is_right(settings)
    await until(lambda: not worker.running, "the worker is gone")
