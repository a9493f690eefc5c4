"""How fast one worker folds all tables, beside the floor of reading the same records and doing nothing.

    .venv/bin/python -m tests.benchmarks.worker --events 1000000 --runs 3

Needs a broker (``make up``, or KAFKA_BROKERS). Events a second from the first to the last one folded, as the
worker's own counter says, read every 100 ms; then until the last checkpoint is committed. The process is whole:
Faust, validation, fold, changelog, changes. CPU seconds are those of the worker's process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.context import load
from streams import topics
from streams.events import Event
from streams.settings import Settings, exports
from streams.table import partition_of
from streams.wire import encode_batch, encode_event, encode_frame
from tests.benchmarks.events import events

SAMPLE_S = 0.1
RECORD_EVENTS = {"json": 1, "batch": 100, "frame": 1_000}


async def fill(settings: Settings, wanted: Iterator[Event], wire: str) -> int:
    """Publish the events without headers, as any Kafka client would; bytes sent."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers, linger_ms=20, max_batch_size=1 << 19, acks=1)
    await producer.start()
    sent = 0
    waiting: dict[int, list[Event]] = {}

    async def send(partition: int, group: list[Event]) -> None:
        nonlocal sent
        value = {"json": lambda: encode_event(group[0]), "batch": lambda: encode_batch(group)}.get(
            wire, lambda: encode_frame(group)
        )()
        sent += len(value)
        await producer.send(settings.events_topic, value, key=group[0].key.encode(), partition=partition)

    try:
        for event in wanted:
            partition = partition_of(event.key, settings.partitions)
            group = waiting.setdefault(partition, [])
            group.append(event)
            if len(group) == RECORD_EVENTS[wire]:
                await send(partition, waiting.pop(partition))
        for partition, group in waiting.items():
            await send(partition, group)
    finally:
        await producer.stop()
    return sent


async def floor(settings: Settings) -> float:
    """Records a second that aiokafka reads from the same topic when nothing is done with them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, max_partition_fetch_bytes=4 << 20)
    await consumer.start()
    try:
        parts = [TopicPartition(settings.events_topic, p) for p in range(settings.partitions)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        ends = sum((await consumer.end_offsets(parts)).values())
        read, started = 0, 0.0
        while read < ends:
            got = await consumer.getmany(timeout_ms=1_000, max_records=5_000)
            started = started or time.perf_counter()
            read += sum(len(records) for records in got.values())
        return read / (time.perf_counter() - started)
    finally:
        await consumer.stop()


def run(settings: Settings, count: int, log: Path) -> dict[str, float]:
    """A worker with a generation of its own."""
    settings = replace(settings, generation=f"{settings.generation}-{time.time_ns() % 10**9}", worker_metrics_port=0)
    asyncio.run(topics.create(settings))
    return fold(settings, count, log)


def fold(settings: Settings, count: int, log: Path) -> dict[str, float]:
    """Start a worker and watch its counters until all ``count`` events are folded and committed, then end it."""
    environ = {**os.environ, **exports(settings, secrets=True)}
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "worker"], env=environ, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        return _watch(process, count, log)
    finally:
        process.terminate()
        process.wait(30)


def _watch(process: subprocess.Popen[bytes], count: int, log: Path) -> dict[str, float]:
    url = _endpoint(process, log)
    first_at, first, folded_at, cpu_first = time.perf_counter(), 0.0, 0.0, _cpu_s(process.pid)
    while True:
        now, seen = time.perf_counter(), _metrics(url)
        folded = seen.get("field_events_folded_total", 0.0)
        if not folded or (not first and folded < count):  # all of a small run may be folded between two looks
            first_at, first, cpu_first = now, folded, _cpu_s(process.pid)
        if folded >= count and not folded_at:
            folded_at = now
            cpu_s = _cpu_s(process.pid) - cpu_first
        if folded_at and not seen.get("field_commit_age_seconds", 1.0) and not seen.get("field_lag_records", 1.0):
            break
        if process.poll() is not None:
            raise SystemExit(f"the worker ended:\n{log.read_text()[-2000:]}")
        time.sleep(SAMPLE_S)
    return {
        "events_per_s": (count - first) / (folded_at - first_at),
        "events_per_s_committed": (count - first) / (time.perf_counter() - first_at),
        "cpu_s_per_million": cpu_s / (count - first) * 1e6,
        "changelog_bytes_per_event": seen.get("field_changelog_bytes_total", 0.0) / count,
        "rss_mb": _rss_mb(process.pid),
    }


def _endpoint(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        found = re.search(r"metrics on (http://[^\s\"]+)", log.read_text())
        if found:
            return found[1]
        time.sleep(SAMPLE_S)
    raise SystemExit(f"the worker did not start:\n{log.read_text()[-2000:]}")


def _metrics(url: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    with urllib.request.urlopen(url) as answer:
        for line in answer.read().decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                totals[name] = totals.get(name, 0.0) + float(value)
    return totals


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rooms", type=int, default=128)
    parser.add_argument("--rate", type=int, default=1_000, help="events a second of event time")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--wire", choices=sorted(RECORD_EVENTS), default="json")
    given = parser.parse_args()
    base = load()
    name = f"bench-{time.time_ns() % 10**9}"
    settings = replace(
        base, generation=name, events_topic=f"{name}.events", changes_topic=f"{name}.changes",
        rejected_topic=f"{name}.rejected",
    )  # fmt: skip
    asyncio.run(topics.create(settings))
    stream = events(given.events, devices=given.devices, rooms=given.rooms, rate=given.rate, seed=7)
    sent = asyncio.run(fill(settings, islice(stream, given.events), given.wire))
    results: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        **vars(given), "bytes_per_event": sent / given.events,
        "floor_records_per_s": [round(asyncio.run(floor(settings))) for _ in range(given.runs)],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(settings, given.events, Path(folder) / f"worker-{n}.log") for n in range(given.runs)]
    for figure in runs[0]:
        values = sorted(one[figure] for one in runs)
        results[figure] = {"median": statistics.median(values), "min": values[0], "max": values[-1]}
    print(json.dumps(results, indent=2, default=str))


if __name__ == "__main__":
    main()
