"""A line to the broker: one idempotent producer for one topic, from its connection to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from streams.packing import Record
from streams.settings import Settings

BATCH_BYTES: Final = 1_000_000
"""More than a set is estimated to have, and what brokers take at most by default."""
CONNECT_S: Final = 10.0
END_S: Final = 2.0


class Line:
    """``topic`` with its ``partitions``; made by ``connect``."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int) -> None:
        self.topic = topic
        self.partitions = partitions
        self._producer = producer

    async def send(self, partition: int, records: Sequence[Record]) -> int:
        """Records in one batch; returns the first one's offset when all replicas have them. Raises KafkaError."""
        batch = self._producer.create_batch()
        for record in records:
            done = batch.append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers))
            if done is None:
                raise KafkaError(f"{len(records)} records are more than a batch takes")
        batch.close()
        future = await self._producer.send_batch(batch, self.topic, partition=partition)
        offset = int((await future).offset)
        if offset < 0:  # stored before, and so long ago that the broker does not know where
            raise KafkaError("the broker does not say where it is")
        return offset

    async def end(self) -> None:
        """Whatever is under way fails, then the connections are closed."""
        await _end(self._producer)


async def connect(settings: Settings, topic: str) -> Line:
    """A line to the brokers of the settings; raises KafkaError, OSError or TimeoutError."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_brokers,
        client_id="field-gateway",
        acks="all",
        enable_idempotence=True,
        linger_ms=0,  # sets are gathered here, by partition
        max_batch_size=BATCH_BYTES,
        request_timeout_ms=settings.gateway_ack_ms,
        retry_backoff_ms=50,
    )
    try:
        async with asyncio.timeout(CONNECT_S):
            await producer.start()
            found = await producer.partitions_for(topic)
        if not found:
            raise UnknownTopicOrPartitionError(f"topic {topic} is not there")
    except BaseException:
        await _end(producer)
        raise
    return Line(producer, topic, len(found))


async def _end(producer: AIOKafkaProducer) -> None:
    """aiokafka's own stop waits for what is under way, for ever when the brokers are gone: all of it fails first."""
    producer._message_accumulator.fail_all(KafkaConnectionError("the line was given up"))
    sender = producer._sender.sender_task
    if sender is not None and not sender.done():
        sender.cancel()
    with contextlib.suppress(Exception):  # its own requests may be in any state
        async with asyncio.timeout(END_S):
            await producer.client.close()
            if sender is not None:
                await asyncio.wait([sender])
    with contextlib.suppress(Exception):
        async with asyncio.timeout(END_S):
            await producer.stop()
