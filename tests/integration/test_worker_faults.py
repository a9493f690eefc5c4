"""Killed, joined by another, told to stop: the state is that of the log, read once."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams import topics, wire
from streams.events import Event
from streams.settings import Settings
from streams.table import partition_of
from tests.workers import Sent, WorkerProcess, committed, expected, folded, found, instance, publish, until
from tests.worlds import say


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    # many small batches and checkpoints: more seams to fall into
    return instance(kafka, tmp_path, partitions=4, shards=8, poll_records=200, checkpoint_ms=50)


def crowd(count: int, seed: int = 7) -> list[Event]:
    """Forty people in ten rooms; one in a hundred opts out and in again; some come twice."""
    chance = random.Random(seed)
    events: list[Event] = []
    for n in range(count):
        device = f"device-{chance.randrange(40):02d}"
        kind = chance.choice(("BREATH", "SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE", "FIELD"))
        if chance.random() < 0.002:
            kind = chance.choice(("OPT_OUT", "OPT_IN"))
        events.append(say(device, kind, n * 0.01, room=f"room-{chance.randrange(10)}"))
        if chance.random() < 0.01:
            events.append(chance.choice(events[-50:]))
    return events


def records(events: list[Event], settings: Settings) -> list[Sent]:
    """Singles on their partition; one in fifty on a wrong one; OPT_* alone, for the worker to spread."""
    sent = []
    for n, event in enumerate(events):
        partition = partition_of(event.key, settings.partitions)
        sent.append(Sent(wire.encode_event(event), (partition + (n % 50 == 0)) % settings.partitions))
    return sent


async def test_killed_again_and_again_the_state_is_that_of_the_log(kafka: str, tmp_path: Path) -> None:
    # a static member: the next one takes its place at once, without waiting for the session to time out
    settings = instance(kafka, tmp_path, partitions=4, shards=8, poll_records=200, checkpoint_ms=50, instance="only")
    await topics.create(settings)
    log = records(crowd(24_000), settings)
    chance = random.Random(1)
    for start in range(0, len(log), 6_000):
        await publish(settings, log[start : start + 6_000])
        with WorkerProcess(settings) as worker:
            await worker.says(": partitions [")
            await asyncio.sleep(chance.uniform(0.5, 2.5))  # long enough for commits, too short for all of it
            worker.kill()
    with WorkerProcess(settings) as worker:
        follower = await folded(settings)
        assert found(follower, settings) == await expected(settings)
        await worker.says(": partitions [")  # the one before may have folded all of it
        ends = {partition: position + 1 for partition, position in follower.positions.items()}
        while await committed(settings) != ends:  # asks Kafka each time; pytest's timeout bounds it
            assert worker.running
        assert worker.stop() == 0


@asynccontextmanager
async def two_sharing(settings: Settings, events: list[Sent]) -> AsyncIterator[tuple[WorkerProcess, WorkerProcess]]:
    """A worker, and a second one that has taken half of its partitions; 15,000 events are published on the way."""
    await topics.create(settings)
    with WorkerProcess(settings) as first:
        await first.says("partitions [0, 1, 2, 3]")
        await publish(settings, events[:5_000])
        with WorkerProcess(settings) as second:
            await publish(settings, events[5_000:10_000])
            await until(lambda: shares(first) and shares(second), "the second worker got no partitions")
            await publish(settings, events[10_000:15_000])
            yield first, second


async def test_two_workers_share_and_take_over(settings: Settings) -> None:
    events = records(crowd(20_000), settings)
    async with two_sharing(settings, events) as (first, second):
        first.kill()
        await publish(settings, events[15_000:])
        follower = await folded(settings)
        assert found(follower, settings) == await expected(settings)
        assert second.stop() == 0


async def test_what_one_gives_back_the_other_takes_again(settings: Settings) -> None:
    """The first holds partitions, loses them to the second, and has them again: nothing of before may be left."""
    events = records(crowd(20_000), settings)
    async with two_sharing(settings, events) as (first, second):
        assert await asyncio.to_thread(second.stop) == 0
        await until(lambda: len(assigned(first)[-1]) == 4, "the first worker got no partitions back")
        await publish(settings, events[15_000:])
        follower = await folded(settings)
        assert found(follower, settings) == await expected(settings)
        assert first.stop() == 0
    assert await committed(settings) == {number: position + 1 for number, position in follower.positions.items()}


async def test_who_reads_while_partitions_are_shared_out_anew_goes_on(settings: Settings) -> None:
    """A fetch is under way then; aiokafka lets it wait for the new assignment, which waits for the end of the fetch."""
    events = records(crowd(10_000), settings)
    await topics.create(settings)

    async def trickle() -> None:
        for start in range(0, len(events), 50):
            await publish(settings, events[start : start + 50])

    with WorkerProcess(settings) as first:
        await first.says("partitions [0, 1, 2, 3]")
        trickling = asyncio.create_task(trickle())
        with WorkerProcess(settings) as second:
            await until(lambda: not first.running or (shares(first) and shares(second)), "nobody shared")
            assert await asyncio.to_thread(second.stop) == 0
        await until(lambda: not first.running or len(assigned(first)[-1]) == 4, "it got no partitions back")
        assert first.running, first.log.read_text()
        await trickling
        assert found(await folded(settings), settings) == await expected(settings)
        assert first.stop() == 0


def assigned(worker: WorkerProcess) -> list[list[str]]:
    """The partitions that its log says it has from then on, one list after the other."""
    return [re.findall(r"\d+", found) for found in re.findall(r": partitions \[([\d, ]*)\]", worker.log.read_text())]


def shares(worker: WorkerProcess) -> bool:
    """Whether its last assignment has two of the four partitions."""
    lists = assigned(worker)
    return bool(lists) and len(lists[-1]) == 2


async def test_told_to_stop_it_checkpoints_and_leaves_nothing_to_fold_again(settings: Settings) -> None:
    slow = Settings(**{f: getattr(settings, f) for f in settings.__slots__} | {"checkpoint_ms": 60_000})
    await topics.create(slow)
    sent = [Sent(wire.encode_event(event), partition_of(event.key, 4)) for event in crowd(2_000)]
    sent = [record for record in sent if b"OPT_" not in (record.value or b"")]
    await publish(slow, sent)
    with WorkerProcess(slow) as worker:
        await worker.says(": partitions [")
        await asyncio.sleep(3)
        assert worker.stop() == 0
    assert sum((await committed(slow)).values()) == len(sent)
    assert found(await folded(slow), slow) == await expected(slow)
