"""A worker that is killed between a copy and its checkpoint copies again: state, rows and digests count it once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from projections.raw import Raw
from projections.state import State
from streams import topics, wire
from streams.events import Event
from streams.settings import Settings
from streams.table import partition_of
from tests.integration.projecting import apply, database, rows
from tests.workers import LIMIT_S, Sent, WorkerProcess, digest_of, folded, found, instance, publish, read_topic
from tests.worlds import say

ROWS = (
    "SELECT id, routing_key, device_id, type, collective, timestamp FROM consciousness_events ORDER BY id, routing_key",
    "SELECT routing_key, low, high, established, explicit, kind, last FROM entanglements ORDER BY 1, 2, 3",
    "SELECT room_id, opened, last, present, devices, blooms, participants FROM room64_sessions ORDER BY 1, 2",
)


def astray() -> list[Event]:
    """With numbers and without; of a key that has nothing else; with a partner; of one who leaves and comes back."""
    return [
        say("ana", "BLOOM", 1, room="hall", seq=1),
        say("bea", "BLOOM", 1, room="hall"),
        say("cyd", "BLOOM", 1),
        say("ana", "ENTANGLE", 2, to="bea", room="hall", kind="bond", intensity=0.5),
        say("dan", "BREATH", 1, room="hall", seq=7, epoch=1),
        say("eve", "BLOOM", 1, room="hall"),
        say("eve", "OPT_OUT", 2),
        say("eve", "OPT_IN", 3),
    ]


def later() -> list[Event]:
    """The hall a minute later: the watermark has moved, dan has a new epoch, the two have parted."""
    said = [say(device, "BREATH", second, room="hall") for second in range(4, 64, 2) for device in ("fay", "ana")]
    return [
        *said,
        say("dan", "BREATH", 64, room="hall", epoch=2, seq=0),
        say("ana", "RELEASE", 65, to="bea", room="hall"),
    ]


async def copies(settings: Settings) -> list[str]:
    """Sources of the copies in the log, as often as they stand there."""
    log = await read_topic(settings, settings.events_topic)
    return [dict(record.headers)["source"].decode() for record in log if "source" in dict(record.headers)]


async def copied(settings: Settings, count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while len(await copies(settings)) < count:
            pass  # Kafka is asked each time


def each_source_once(log: Sequence[Any]) -> list[Any]:
    """Records as DESIGN says it: copies deduplicate on their source (and partition), whatever their senders say."""
    kept: dict[Any, Any] = {}
    for record in log:
        kept.setdefault((record.partition, dict(record.headers).get("source", record.offset)), record)
    return list(kept.values())


async def projected(settings: Settings, log: Sequence[Any], changes: Sequence[Any]) -> list[list[tuple[Any, ...]]]:
    """The rows of these records of the log and of ``field.changes``, by the projector's own code."""
    async with database(settings) as pool:
        for number in range(settings.partitions):
            await apply(Raw(settings), settings, pool, number, [r for r in log if r.partition == number])
            await apply(State(settings), settings, pool, number, [r for r in changes if r.partition == number])
    return [rows(settings.database_url, sql) for sql in ROWS]


async def test_a_copy_written_twice_counts_once(kafka: str, tmp_path: Path, make_settings) -> None:
    settings = instance(kafka, tmp_path, checkpoint_ms=60_000, instance="only")  # killed before any checkpoint
    await topics.create(settings)
    wrong = [Sent(wire.encode_event(event), 1 - partition_of(event.key, 2)) for event in astray()]
    await publish(settings, wrong)
    with WorkerProcess(settings) as worker:
        await copied(settings, len(wrong))
        worker.kill()
    await publish(settings, [Sent(wire.encode_event(event), partition_of(event.key, 2)) for event in later()])
    with WorkerProcess(replace(settings, checkpoint_ms=100)) as worker:
        await copied(settings, 2 * len(wrong))
        follower = await folded(settings)
        assert worker.stop() == 0
    sources = await copies(settings)
    assert {sources.count(source) for source in sources} == {2}
    log = await read_topic(settings, settings.events_topic)
    once = each_source_once(log)
    assert len(once) == len(log) - len(wrong)
    assert found(follower, settings) == digest_of(once, settings)
    changes = await read_topic(settings, settings.changes_topic)
    got = await projected(make_settings(partitions=2), log, changes)
    assert got == await projected(make_settings(partitions=2), once, changes)
    assert [len(table) > 0 for table in got] == [True, False, True]
    assert len(got[0]) == len(astray()) + len(later())
