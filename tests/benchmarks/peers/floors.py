"""How fast one process reads the topic and does nothing with it: aiokafka or librdkafka (first argument)."""

from __future__ import annotations

import asyncio
import sys

from reporting import BROKER, EVENTS, RUN_ID, TOPIC, Watch

watch = Watch()


async def aiokafka() -> None:
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=BROKER,
        group_id=RUN_ID,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    while watch.seen < EVENTS:
        found = await consumer.getmany(timeout_ms=1_000, max_records=10_000)
        if found and not watch.begun:
            watch.begin()
        watch.seen += sum(map(len, found.values()))
    watch.end()
    await consumer.stop()


def librdkafka() -> None:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": BROKER,
            "group.id": RUN_ID,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "max.partition.fetch.bytes": 4 << 20,
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 1 << 20,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([TOPIC])
    while watch.seen < EVENTS:
        found = consumer.consume(num_messages=10_000, timeout=0.05 if watch.begun else 1.0)
        if found and not watch.begun:
            watch.begin()
        watch.seen += len(found)
    watch.end()
    consumer.close()


if __name__ == "__main__":
    asyncio.run(aiokafka()) if sys.argv[1] == "aiokafka" else librdkafka()
    watch.report()
