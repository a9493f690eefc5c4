"""A log that is archived: publish one with everything in it, read and fold a history, delete Kafka's segments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streams.entry import Entry
from streams.events import Event
from streams.fold.digest import digest
from streams.fold.partition import PartitionFold
from streams.history import History
from streams.packing import Wire
from streams.publish import LogPublisher
from streams.settings import Settings, exports
from streams.simulate import Fleet, items

START = 1_700_000_000_000
_PRELUDE = """
import asyncio, os, sys
from streams.settings import known, read
settings = read({name: value for name, value in os.environ.items() if name in known()})
"""


async def publish_fleet(settings: Settings, seconds: float, seed: int = 3, rate: float = 200) -> None:
    """Singles, arrays and frames; late, duplicate and malformed events, OPT_*, all of it in event time's order."""
    fleet = Fleet(60, rate, seed, START, 0.03, 0.03, 0.02, 0.01)
    found = [item.event for item in items(fleet, seconds)]
    wires: tuple[Wire, ...] = ("json", "batch", "frame")
    third = len(found) // 3 + 1
    for at, wire in enumerate(wires):
        async with LogPublisher(settings, wire) as publisher:
            for event in found[at * third : (at + 1) * third]:
                await (publisher.publish(event) if isinstance(event, Event) else publisher.publish_line(event))


async def read_all(history: History, number: int | None = None) -> dict[int, list[Entry]]:
    """Every entry of every partition (or of one), from bound to bound."""
    bounds = await history.bounds()
    found: dict[int, list[Entry]] = {}
    for partition, (start, end) in bounds.items():
        if number in (None, partition):
            found[partition] = [one async for some in history.entries(partition, start, end) for one in some]
    return found


def fold(found: Mapping[int, Sequence[Entry]], settings: Settings) -> dict[str, str]:
    """The merged digest."""
    values = []
    for partition, entries in found.items():
        state = PartitionFold(partition, settings.shards, settings.rules)
        for entry in entries:
            state.fold(entry.offset, entry.events)
        values += [value for _, value in state.checkpoint("1-reference").records[:-1]]
    return digest(values, settings.rules)


async def delete_records(settings: Settings, before: Mapping[int, int]) -> None:
    """What lies before these offsets is gone from Kafka."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        places = {TopicPartition(settings.events_topic, number): RecordsToDelete(at) for number, at in before.items()}
        await admin.delete_records(places)
    finally:
        await admin.close()


async def topic_records(settings: Settings) -> list[Any]:
    """Kafka's records of the events topic as they are."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, enable_auto_commit=False)
    await consumer.start()
    try:
        found: list[Any] = []
        for number in range(settings.partitions):
            place = TopicPartition(settings.events_topic, number)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            end = (await consumer.end_offsets([place]))[place]
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(place, timeout_ms=200)).values():
                    found += records
        return found
    finally:
        await consumer.stop()


def run_script(code: str, settings: Settings, *args: str) -> subprocess.Popen[bytes]:
    """A process of its own, to be killed: ``code`` finds ``settings``; its ``main``, where it has one, is run."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("FIELD_")} | exports(settings, secrets=True)
    run = "asyncio.run(main())\n" if "def main" in code else ""
    return subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + code + run, *args], env=environ, stdout=subprocess.DEVNULL
    )
