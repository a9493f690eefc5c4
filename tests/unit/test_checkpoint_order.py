"""The order of a checkpoint: nothing is sent, and nothing acknowledged, before what it stands on is acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams import assignment, checkpoint
from streams.assignment import Assignment
from streams.changes import Changes, decode
from streams.checkpoint import Checkpointer
from streams.errors import DeliveryError
from streams.settings import Settings
from streams.table import parse_key
from tests.worlds import say

SETTINGS = Settings(partitions=1, shards=2)


class Broker:
    """Takes sends as Faust's topics, table and deliveries do, and acknowledges when it is told to."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[asyncio.Future[None]]] = {}
        self.acked = False

    def send(self, kind: str) -> asyncio.Future[None]:
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(kind, []).append(sent)
        return sent

    async def sees(self, *kinds: str) -> None:
        """Exactly these kinds of sends wait for their acknowledgement, and no event has been acknowledged."""
        for _ in range(20):
            await asyncio.sleep(0)
        assert set(self.waiting) == set(kinds)

    def acknowledge(self, kind: str) -> None:
        for sent in self.waiting.pop(kind):
            sent.set_result(None)

    # a Faust topic
    def send_soon(self, *, key: bytes, value: bytes, partition: int) -> asyncio.Future[None]:
        return self.send("changes" if isinstance(decode(value), Changes) else "marker")

    # a Faust table
    def send_changelog(self, partition: int, key: bytes, value: bytes | None, **_: Any) -> asyncio.Future[None]:
        if value is None:
            return self.send("tombstones")
        return self.send("shards" if parse_key(key)[1] is not None else "position")

    # what the worker delivers besides
    def take(self) -> list[asyncio.Future[None]]:
        return [self.send("letters")]

    # a Faust event
    def ack(self) -> None:
        self.acked = True


def taken_over() -> Assignment:
    """A partition with the records of an earlier writer, and an event folded since."""
    first = assignment.load([], {0: (0, 1)}, 1, "aaaa", SETTINGS).partitions[0]
    first.fold.fold(0, [say("ana", "BLOOM", 0, room="hall", seq=0)])
    records = first.plan("1-aaaa")[0].records
    second = assignment.load(records, {0: (0, 1)}, 2, "bbbb", SETTINGS)
    second.partitions[0].begin(1)
    second.partitions[0].fold.fold(1, [say("ana", "BLOOM", 1, room="hall", seq=1)])
    return second


async def test_every_step_waits_for_the_one_before() -> None:
    broker, here = Broker(), taken_over()
    here.partitions[0].folded.append(broker)
    writer = Checkpointer(broker, broker, broker, SETTINGS)
    running = asyncio.create_task(writer.run(here))
    for kinds in (("changes", "letters"), ("marker",), ("shards",), ("position",)):
        await broker.sees(*kinds)
        for kind in kinds:
            assert not broker.acked
            assert writer.writing, "what it covers waits for its commit"
            broker.acknowledge(kind)
    await broker.sees("tombstones")
    assert broker.acked
    broker.acknowledge("tombstones")
    assert await running
    assert not writer.writing


@pytest.mark.parametrize("failing", ["changes", "letters", "marker", "shards", "position"])
async def test_a_send_that_fails_acknowledges_nothing(failing: str) -> None:
    broker, here = Broker(), taken_over()
    here.partitions[0].folded.append(broker)
    running = asyncio.create_task(Checkpointer(broker, broker, broker, SETTINGS).run(here))
    for kinds in (("changes", "letters"), ("marker",), ("shards",), ("position",)):
        await broker.sees(*kinds)
        if failing in kinds:
            for sent in broker.waiting[failing]:
                sent.set_exception(OSError("gone"))
            break
        for kind in kinds:
            broker.acknowledge(kind)
    with pytest.raises(DeliveryError):
        await running
    assert not broker.acked


async def test_partitions_that_went_away_are_neither_written_nor_acknowledged() -> None:
    broker, here = Broker(), taken_over()
    here.partitions[0].folded.append(broker)
    running = asyncio.create_task(Checkpointer(broker, broker, broker, SETTINGS).run(here))
    await broker.sees("changes", "letters")
    here.revoke()
    broker.acknowledge("changes")
    broker.acknowledge("letters")
    await broker.sees("marker")
    broker.acknowledge("marker")
    await running
    await broker.sees()
    assert not broker.acked


async def test_what_would_be_too_much_at_once_is_written_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "TOGETHER_BYTES", 1)
    broker, settings = Broker(), Settings(partitions=2, shards=2)
    here = assignment.load([], {0: (0, 1), 1: (0, 1)}, 1, "aaaa", settings)
    for number, part in here.partitions.items():
        part.fold.fold(0, [say("ana", "BLOOM", 0, room="hall", seq=number)])
    running = asyncio.create_task(Checkpointer(broker, broker, broker, settings).run(here))
    for left in (1, 0):
        for kinds in (("changes", "letters"), ("marker",), ("shards",), ("position",)):
            await broker.sees(*kinds)
            for kind in kinds:
                broker.acknowledge(kind)
        assert sum(part.waiting for part in here.partitions.values()) == left
    assert await running
