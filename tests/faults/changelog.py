"""The changelog is compacted, emptied, half lost, or of another log: the worker recovers, or says what to do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy import supervisor
from streams import topics, wire
from streams.errors import FieldError, HistoryError, OtherLogError
from streams.settings import Settings
from streams.table import parse_key, partition_of
from tests.faults import measures
from tests.workers import Sent, WorkerProcess, expected, folded, found, publish, read_topic
from tests.worlds import say

KINDS = ("BREATH", "SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE")


MEMBER: Final = {"partitions": 2, "shards": 4, "checkpoint_ms": 50, "instance": "only", "session_timeout_s": 6}
"""A static member: the next one takes its place at once, without waiting for the session to time out."""


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
        await worker.says(": partitions [")
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
        for _ in range(300):
            if topic not in await admin.list_topics():
                return
            await asyncio.sleep(0.1)
    raise AssertionError(f"Kafka keeps {topic}")


async def lose(settings: Settings, before: dict[int, int]) -> None:
    """Delete the changelog's records before these offsets."""
    topic = topics.changelog_topic(settings)
    await configure(settings, topic, cleanup_policy="compact,delete")  # Kafka refuses it on a compacted topic
    async with admin_of(settings) as admin:
        await admin.delete_records(
            {TopicPartition(topic, number): RecordsToDelete(before_offset=offset) for number, offset in before.items()}
        )


async def compacted_then_another_log(settings: Settings) -> None:
    """Compacted it recovers; ahead of the log it refuses."""
    await fold_all(settings, crowd(1_200))
    changelog = topics.changelog_topic(settings)
    await configure(
        settings, changelog, cleanup_policy="compact", min_cleanable_dirty_ratio="0.001", segment_ms="100",
        max_compaction_lag_ms="100", delete_retention_ms="0",
    )  # fmt: skip
    before = len(await read_topic(settings, changelog))
    with WorkerProcess(settings) as worker:
        await worker.says(": partitions [")
        end = asyncio.get_running_loop().time() + 90
        number = 1_200
        while (now := len(await read_topic(settings, changelog))) >= before:  # new records close the old segments
            assert asyncio.get_running_loop().time() < end, f"Kafka has not compacted the changelog: {before}, {now}"
            await publish(settings, crowd(20, number))
            number += 20
            await asyncio.sleep(0.5)
        await folded(settings)
        worker.kill()
    measures.note("changelog compacted", records=before, kept=now)
    with WorkerProcess(settings) as worker:
        await worker.says(": partitions [")
        await publish(settings, crowd(50, number))
        await is_right(settings)
        assert worker.stop() == 0

    await drop(settings, settings.events_topic)
    await topics.create(settings)
    await publish(settings, crowd(40))
    assert "FIELD_GENERATION" in await refusal(settings, OtherLogError)


async def half_lost_then_emptied_then_gone(settings: Settings) -> None:
    """Also when nothing new comes: the group had committed all of the log."""
    changelog = topics.changelog_topic(settings)
    await fold_all(settings, crowd(600))
    before = await ends(settings, changelog)
    event = say("late", "BLOOM", 60, room="room-0")
    await fold_all(settings, [Sent(wire.encode_event(event), partition_of("room-0", settings.partitions))])

    await lose(settings, before)  # old records, as by a wrong retention: the newest position is there
    kept = {parse_key(record.key)[:2] for record in await read_topic(settings, changelog)}
    assert 0 < len(kept) < settings.partitions * settings.shards, kept
    await recovers(settings, "the changelog has lost the records of")
    with WorkerProcess(settings) as worker:  # and that is that
        await worker.says(": partitions [")
        await is_right(settings)
        assert worker.stop() == 0
        assert "folding again" not in worker.log.read_text()

    await lose(settings, await ends(settings, changelog))
    await recovers(settings, "folding again from there")

    await drop(settings, changelog)
    await recovers(settings, "folding again from there")

    await drop(settings, changelog)
    async with admin_of(settings) as admin:  # and now the log itself has lost its beginning
        place: Any = TopicPartition(settings.events_topic, 1)
        await admin.delete_records({place: RecordsToDelete(before_offset=10)})
    assert "the log begins at 10" in await refusal(settings, HistoryError)


async def deleted_while_the_worker_runs(settings: Settings) -> None:
    """The worker leaves when its writes are refused; who starts it again finds an empty changelog."""
    await fold_all(settings, crowd(400))
    with WorkerProcess(settings) as worker:
        await worker.says(": partitions [")
        await drop(settings, topics.changelog_topic(settings))
        await publish(settings, crowd(50, 400))
        assert await worker.ended() != 0
    await recovers(settings, "folding again from there")


async def recovers(settings: Settings, saying: str) -> None:
    """A worker folds all of it again, and says so."""
    with WorkerProcess(settings) as worker:
        await worker.says(saying)
        await is_right(settings)
        assert worker.stop() == 0


async def refusal(settings: Settings, error: type[FieldError]) -> str:
    """The last line of a worker that refuses, and stays down."""
    with WorkerProcess(settings) as worker:
        code = await worker.ended()
    last = worker.log.read_text().strip().splitlines()[-1]
    assert code == error.exit_code, last
    assert code in supervisor.ADVICE, "the supervisor would start it again and again"
    assert error.__name__ in last
    return last
