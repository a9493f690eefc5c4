"""Real workers on a real Kafka: publish, run, kill, wait, and what their state should be."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.changelog import ChangelogFollower
from streams.entry import read_entry
from streams.fold.digest import digest
from streams.fold.partition import PartitionFold
from streams.settings import Settings, exports
from streams.topics import app_id

LIMIT_S = 90.0
"""A bound on hanging, never a performance check."""

_numbers = itertools.count()
MAIN = "import os, sys; from streams.app import run_worker; from streams.settings import read, known; "
MAIN += "sys.exit(run_worker(read({k: v for k, v in os.environ.items() if k in known()})))"


class Sent(NamedTuple):
    """A record to publish; ``partition`` None: that of the key of its first event."""

    value: bytes | None
    partition: int
    headers: tuple[tuple[str, bytes], ...] = ()


def instance(kafka: str, home: Path, **over: Any) -> Settings:
    """Settings with topics and a generation of their own."""
    name = f"w{os.getpid()}-{time.time_ns() % 1_000_000}-{next(_numbers)}"
    chosen: dict[str, Any] = {
        "kafka_brokers": kafka,
        "database_url": "postgresql://field:field@127.0.0.1:1/field",  # none: not that of a stack on the usual port
        "generation": name,
        "events_topic": f"{name}.events",
        "changes_topic": f"{name}.changes",
        "rejected_topic": f"{name}.rejected",
        "home": str(home / name),
        "worker_metrics_port": 0,
        "partitions": 2,
        "shards": 4,
        "checkpoint_ms": 100,
        "session_timeout_s": 6,
    }
    return Settings(**(chosen | over))


class WorkerProcess:
    """``field worker`` without the command: its own process, its log in a file."""

    def __init__(self, settings: Settings) -> None:
        Path(settings.home).mkdir(parents=True, exist_ok=True)
        self.log = Path(settings.home) / f"worker-{next(_numbers)}.log"
        self._file = self.log.open("w")
        environ = {k: v for k, v in os.environ.items() if not k.startswith("FIELD_")} | exports(settings, secrets=True)
        self._process = subprocess.Popen(
            [sys.executable, "-c", MAIN], env=environ, stdout=self._file, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self._process.kill()
        self._process.wait()
        self._file.close()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(LIMIT_S)

    async def ended(self) -> int:
        """The exit code of a worker that leaves by itself."""
        return await asyncio.to_thread(self._process.wait, LIMIT_S)

    async def says(self, text: str) -> None:
        """Wait for a line in its log."""
        await until(lambda: text in self.log.read_text(), f"no {text!r} in the worker's log")


async def until(true: Any, otherwise: str) -> None:
    """Wait for a condition; an AssertionError that says ``otherwise`` after LIMIT_S."""
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end, otherwise
        await asyncio.sleep(0.05)


async def publish(settings: Settings, records: Iterable[Sent], codec: str | None = None) -> None:
    """In order, acknowledged, compressed by ``codec``."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers, linger_ms=5, compression_type=codec)
    await producer.start()
    try:
        sends = [
            await producer.send(
                settings.events_topic,
                record.value,
                key=b"any",  # Kafka refuses a record with neither key nor value
                partition=record.partition,
                headers=list(record.headers),
            )
            for record in records
        ]
        await asyncio.gather(*sends)
    finally:
        await producer.stop()


async def read_topic(settings: Settings, topic: str) -> list[Any]:
    """All records of a topic, by partition and offset."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(records)
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


async def committed(settings: Settings) -> dict[int, int]:
    """Committed offset by partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers, group_id=app_id(settings), enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(settings.events_topic, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        return {tp.partition: await consumer.committed(tp) or 0 for tp in partitions}
    finally:
        await consumer.stop()


async def folded(settings: Settings) -> ChangelogFollower:
    """Wait until the changelog holds the whole log, copies that the worker sends included; then what it holds."""
    end = time.monotonic() + LIMIT_S
    async with ChangelogFollower(settings) as follower:
        while True:
            await follower.poll(100)
            log = await read_topic(settings, settings.events_topic)
            last = {record.partition: record.offset for record in log}
            if all(follower.positions.get(partition, -1) >= offset for partition, offset in last.items()):
                return follower
            assert time.monotonic() < end, f"positions {follower.positions}, log ends at {last}"


async def expected(settings: Settings) -> dict[str, str]:
    """The digest of the log as it is: each record once, in order, by the pure fold alone."""
    return digest_of(await read_topic(settings, settings.events_topic), settings)


def digest_of(log: Iterable[Any], settings: Settings) -> dict[str, str]:
    """The digest of these records."""
    folds = {number: PartitionFold(number, settings.shards, settings.rules) for number in range(settings.partitions)}
    for record in log:
        folds[record.partition].fold(record.offset, read_entry(record, record.partition, settings.partitions).events)
    values = [value for fold in folds.values() for value in fold.checkpoint("1-reference").shard_values]
    return digest(values, settings.rules)


def found(follower: ChangelogFollower, settings: Settings) -> dict[str, str]:
    """The digest of what a worker has written."""
    return digest(follower.values.values(), settings.rules)
