"""What the harness asks of Kafka: topics, how much is in them, what a group has committed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError


@asynccontextmanager
async def admin(broker: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=broker)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def create(broker: str, topic: str, partitions: int) -> None:
    """A topic whose clock is the broker's, as the field wants it."""
    async with admin(broker) as client:
        clock = {"message.timestamp.type": "LogAppendTime"}
        answer = await client.create_topics([NewTopic(topic, partitions, 1, topic_configs=clock)])
        for name, code, message in answer.topic_errors:
            if code:
                raise RuntimeError(f"topic {name} was not created: {message or code}")


async def remove(broker: str, topics: Iterable[str]) -> None:
    if names := list(topics):
        async with admin(broker) as client:
            await client.delete_topics(names)


async def containing(broker: str, text: str) -> list[str]:
    """The topics that have it in their names."""
    async with admin(broker) as client:
        return sorted(name for name in await client.list_topics() if text in name)


async def payload(broker: str, topic: str) -> tuple[int, int]:
    """Records in a topic and the bytes of their keys and values; those of broken transactions too."""
    async with admin(broker) as client:
        (described,) = await client.describe_topics([topic])
    parts = [TopicPartition(topic, one["partition"]) for one in described["partitions"]]
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, max_partition_fetch_bytes=4 << 20)
    await consumer.start()
    try:
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        ends = await consumer.end_offsets(parts)
        rows = size = silent = 0
        # what comes last may be the mark of a transaction, which is not handed out
        while silent < 5 and any([await consumer.position(part) < ends[part] for part in parts]):
            found = await consumer.getmany(timeout_ms=500, max_records=10_000)
            silent = 0 if found else silent + 1
            for records in found.values():
                rows += len(records)
                size += sum(len(record.key or b"") + len(record.value or b"") for record in records)
        return rows, size
    finally:
        await consumer.stop()


async def committed(client: AIOKafkaAdminClient, group: str, topic: str) -> dict[int, int]:
    """Committed offsets of a group by partition; empty while there are none."""
    try:
        found = await client.list_consumer_group_offsets(group)
    except KafkaError:  # its coordinator is not there yet
        return {}
    return {part.partition: meta.offset for part, meta in found.items() if part.topic == topic and meta.offset >= 0}


async def ends(broker: str, topic: str, partitions: int) -> dict[int, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker)
    await consumer.start()
    try:
        found = await consumer.end_offsets([TopicPartition(topic, number) for number in range(partitions)])
        return {part.partition: offset for part, offset in found.items()}
    finally:
        await consumer.stop()
