"""One worker and so many devices: how fast, how much it writes and holds, and how soon a crash is over.

A topic of frames has one event of each device first, then events of devices at random; a worker folds it as fast as it
can until all is committed. It is killed (-9) and started again: *recovery* is from the start of the process until its
log says which partitions it folds, with their state loaded. Then devices at random send single JSON events at an even
rate: what a checkpoint writes for each of those is *live*; *times what changed* compares that with the bytes that the
state has for a device. The digest is that of the state at the end, after the crash.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaProducer

from streams import topics
from streams.changelog import ChangelogFollower, kept_records
from streams.fold.digest import digest
from streams.settings import Settings
from streams.table import partition_of
from tests.benchmarks.bench import broker, load, ours, peers
from tests.benchmarks.bench.processes import POLL_S, Daemons, Failed
from tests.benchmarks.bench.stage import Stage, own

READY = re.compile(r"generation \S+: partitions \[\d")
"""What the worker's log says when it has its state."""
TICK_S = 0.01
LOOK_S_MAX = 120.0
"""For a reader to have taken all of the changelog."""
SHARD_DEVICES = 16
"""A shard's record is written whole when one of them has changed; the fewer, the more records there are to write."""
SHARDS_MAX = 65_536
"""In all; more take long to recover and to write."""


@dataclass(frozen=True)
class Size:
    """``shards`` a partition; half of the devices are in ``rooms``, where there are any."""

    devices: int
    shards: int
    events: int
    rooms: int = 0


def advised_shards(devices: int, partitions: int) -> int:
    """Shards a partition for so many devices, of which few speak between two checkpoints: SHARD_DEVICES in each."""
    shards = Settings().shards
    while shards * partitions < min(devices / SHARD_DEVICES, SHARDS_MAX):
        shards *= 2
    return shards


def measure(stage: Stage, size: Size, rate: int, seconds: int, limit_s: float) -> dict[str, Any]:
    """Figures of one size; live events come at ``rate`` for so many ``seconds``. Raises Failed."""
    run_id = stage.run_id(f"devices-{size.devices}-{size.shards}")
    topic, live = f"{run_id}-events", rate * seconds
    sent = load.events(size.events + live, devices=size.devices, rooms=2 * size.rooms, each=True)  # odd ones have rooms
    settings = replace(own(stage.settings, run_id, topic), shards=size.shards, instance="scaling")
    asyncio.run(topics.create(settings))
    filled = asyncio.run(stage.packed(topic, "frame", islice(sent, size.events)))
    found: dict[str, Any] = {
        "devices": size.devices, "rooms": size.rooms, "shards": size.shards, "events": size.events,
        "bytes_per_event": filled / size.events, "load_average": os.getloadavg()[0], "live_rate": rate,
    }  # fmt: skip
    children = []
    try:
        daemons = ours.start(stage, settings, "worker", 1, limit_s)
        children += daemons.children
        found |= _fold(stage, settings, daemons, size.events)
        daemons.children[0].kill()
        found |= asyncio.run(_state(stage, settings))
        begun = time.perf_counter()
        daemons = ours.start(stage, settings, "worker", 1, limit_s)
        children += daemons.children
        found |= _recover(daemons, begun)
        found |= _live(stage, settings, daemons, sent, rate)
        found["live_times_changed"] = found["live_changelog_bytes_per_event"] / (found["state_mb"] * 1e6 / size.devices)
        found["digest"] = asyncio.run(_digest(settings))
    finally:
        ours.end([child for child in children if child.process.poll() is None])
        asyncio.run(peers.clear(stage.broker, run_id))
    return found


def _fold(stage: Stage, settings: Settings, daemons: Daemons, events: int) -> dict[str, Any]:
    """All of the topic, as fast as it goes."""
    looks = ours.folding(daemons, events)
    committed = asyncio.run(ours.durable(stage, settings))
    first, last = looks[0], looks[-1]
    if last.folded != events:
        raise Failed(f"it folded {last.folded:,} of {events:,} events")
    return {
        "events_per_s": (events - first.folded) / (last.at - first.at),
        "committed_per_s": (events - first.folded) / (committed - first.at),
        "changelog_bytes_per_event": daemons.each("field_changelog_bytes_total")[0] / events,
        "rss_mb": daemons.rss_mb(),
    }


async def _state(stage: Stage, settings: Settings) -> dict[str, Any]:
    """What the changelog holds: to be read by a recovery, and the newest record of each shard alone."""
    rows, size = await broker.payload(stage.broker, topics.changelog_topic(settings))
    kept = [len(value) for number in range(settings.partitions) for _, value in await kept_records(settings, number)]
    return {
        "changelog_rows": rows, "changelog_mb": size / 1e6, "state_mb": sum(kept) / 1e6,
        "largest_record_kb": max(kept) / 1e3,
    }  # fmt: skip


async def _digest(settings: Settings) -> str:
    """Of all tables; the same for the same events, however many shards there are and whoever was killed."""
    async with ChangelogFollower(settings) as follower:
        await follower.catch_up(LOOK_S_MAX)
        picture = await follower.consistent()
    found = digest(picture.values.values(), settings.rules)
    return hashlib.sha256("".join(found[name] for name in sorted(found)).encode()).hexdigest()[:12]


def _recover(daemons: Daemons, begun: float) -> dict[str, Any]:
    """Until it has its state."""
    (child,) = daemons.children
    started = time.perf_counter()
    while not READY.search(child.log.read_text(errors="replace")):
        daemons.check(child)
        time.sleep(POLL_S)
    ready = time.perf_counter()
    child.sample()
    return {
        "recovery_s": ready - begun, "recovery_start_s": started - begun, "recovery_cpu_s": child.cpu_s(),
        "recovery_rss_mb": child.rss_mb,
    }  # fmt: skip


def _live(stage: Stage, settings: Settings, daemons: Daemons, sent: Iterator[load.Sent], rate: int) -> dict[str, Any]:
    """Single events at an even rate, until they are folded and committed."""
    before = daemons.each("field_changelog_bytes_total")[0]
    count = asyncio.run(_send(stage.broker, settings, list(sent), rate))
    looks = ours.folding(daemons, count)
    asyncio.run(ours.durable(stage, settings))
    if looks[-1].folded != count:
        raise Failed(f"after its recovery it folded {looks[-1].folded:,} of {count:,} events")
    written = daemons.each("field_changelog_bytes_total")[0] - before
    return {
        "live_changelog_bytes_per_event": written / count, "live_rss_mb": daemons.rss_mb(),
        "live_checkpoints": daemons.each("field_checkpoint_seconds_count")[0],
    }  # fmt: skip


async def _send(address: str, settings: Settings, sent: Sequence[load.Sent], rate: int) -> int:
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=5, enable_idempotence=True)
    async with producer:
        begun, at = time.perf_counter(), 0
        while at < len(sent):
            due = min(len(sent), int((time.perf_counter() - begun) * rate))
            for event in sent[at:due]:
                partition = partition_of(event.key, settings.partitions)
                await producer.send(settings.events_topic, load.encode(event), event.key.encode(), partition)
            at = due
            await asyncio.sleep(TICK_S)
    return len(sent)
