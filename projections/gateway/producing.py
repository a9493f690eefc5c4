"""A line to the broker: one idempotent producer for one topic, from its connection to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from projections.gateway.unless import whole
from streams import access
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
        self._over = asyncio.get_running_loop().create_future()

    async def send(self, partition: int, records: Sequence[Record]) -> int:
        """Records in one batch; returns the first one's offset when all replicas have them. Raises KafkaError."""
        batch = self._producer.create_batch()
        for record in records:
            done = batch.append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers))
            if done is None:
                raise KafkaError(f"{len(records)} records are more than a batch takes")
        batch.close()
        future = await self._producer.send_batch(batch, self.topic, partition=partition)
        try:
            await asyncio.wait((future, self._over), return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                raise KafkaConnectionError("the line was given up")
            offset = int(future.result().offset)
        finally:
            future.cancel()  # of a shield: the records go on, and what becomes of them is nobody's any more
        if offset < 0:  # stored before, and so long ago that the broker does not know where
            raise KafkaError("the broker does not say where it is")
        return offset

    async def end(self) -> None:
        """Whatever is under way fails, and the connections are closed."""
        self._over.cancel()
        await _end(self._producer)


async def connect(settings: Settings, topic: str) -> Line:
    """A line to the brokers of the settings; raises KafkaError, OSError or TimeoutError."""
    producer = AIOKafkaProducer(
        **access.brokers(settings),
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
            await whole(producer.start())
            found = await producer.partitions_for(topic)
        if not found:
            raise UnknownTopicOrPartitionError(f"topic {topic} is not there")
    except BaseException:
        await _end(producer)
        raise
    return Line(producer, topic, len(found))


async def _end(producer: AIOKafkaProducer) -> None:
    """aiokafka's own stop waits for what is under way, for ever when the brokers are gone. This does not."""
    producer._closed = True
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()  # then it waits for its requests, which end with the connections
    with contextlib.suppress(Exception):  # whatever state they are in
        async with asyncio.timeout(END_S):
            await producer.client.close()
    while sender is not None and not sender.done():
        await asyncio.wait((sender,), timeout=END_S)
        sender.cancel()
