"""How fast the log is archived, read back, and published again, and how small it gets.

    .venv/bin/python -m tests.benchmarks.archive --events 300000

Needs a broker (``make up``, or KAFKA_BROKERS). Single JSON records in a topic of four partitions, which is deleted
afterwards; everything runs in one process, so its events/s are also those of one core beside the broker.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from deploy.context import load
from streams import topics
from streams.archive.history import ArchiveHistory
from streams.archive.publish import publish, published
from streams.archive.store import Store
from streams.archive.write import archive
from streams.history import History, KafkaHistory
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.validate import LIMITS
from tests.benchmarks.events import events
from tests.benchmarks.worker import fill


async def timed(what: str, count: int, work: Awaitable[Any]) -> Any:
    begun, cpu = time.perf_counter(), time.process_time()
    found = await work
    seconds = time.perf_counter() - begun
    each = (time.process_time() - cpu) / count * 1e6
    print(f"{what:<28} {count / seconds:>10,.0f} events/s  {each:>6.1f} CPU s a million")
    return found


async def read(history: History) -> int:
    found = 0
    for number, (start, end) in (await history.bounds()).items():
        async for entries in history.entries(number, start, end):
            found += sum(len(entry.events) for entry in entries)
    return found


async def again(source: ArchiveHistory, target: Settings) -> int:
    await topics.create(target, only=(target.events_topic,))
    async with LogPublisher(target, "frame") as publisher:
        return await publish(source, publisher, await published(target, source.store.topic), LIMITS)


async def measure(settings: Settings, target: Settings, count: int) -> None:
    await topics.create(settings, only=(settings.events_topic,))
    size = await fill(settings, events(count, devices=10_000, rooms=128, rate=1_000, seed=1), "json")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, settings.events_topic)
        async with KafkaHistory(settings) as log:
            written = await timed("archive", count, archive(log, store, settings.partitions, rest=True))
            await timed("read from Kafka (JSON)", count, read(log))
        await timed("read from the archive", count, read(ArchiveHistory(store)))
        await timed("publish again (frames)", count, again(ArchiveHistory(store), target))
        async with KafkaHistory(target) as log:
            await timed("read from Kafka (frames)", count, read(log))
    stored = sum(file.bytes for _, file in written)
    print(
        f"{size / count:.1f} bytes of JSON an event, {stored / count:.1f} archived: {size / stored:.1f} times smaller"
    )


async def main(count: int) -> None:
    name = f"bench-archive-{os.getpid()}"
    settings = replace(load(), events_topic=f"{name}.events", partitions=4, archive="")
    target = replace(settings, events_topic=f"{name}.again")
    try:
        await measure(settings, target, count)
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
        await admin.start()
        await admin.delete_topics([settings.events_topic, target.events_topic])
        await admin.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=300_000)
    asyncio.run(main(parser.parse_args().events))
