"""Sets of records over a line that refuses some: what an event is told is true, and the order of a key holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from projections.gateway import gather as gathering
from projections.gateway.gather import Gather, Submission
from streams.events import OPT_OUT, Event
from streams.packing import Record
from streams.settings import Settings
from streams.table import partition_of
from tests.worlds import say

PARTITIONS = 3


@dataclass
class Line:
    """A line that stores what ``refuses`` does not say; each answer takes a turn of the loop."""

    refuses: Callable[[int, Sequence[Record]], bool]
    topic: str = "events"
    partitions: int = PARTITIONS
    stored: list[tuple[int, Record]] = field(default_factory=list)
    sets: list[int] = field(default_factory=list)
    asked: int = 0

    async def send(self, partition: int, records: Sequence[Record]) -> int:
        refused = self.refuses(partition, records)
        self.asked += 1
        self.sets.append(sum(record.events for record in records))
        await asyncio.sleep(0.01 * (1 + partition))
        if refused:
            raise KafkaError("no")
        first = sum(number == partition for number, _ in self.stored)
        self.stored += [(partition, record) for record in records]
        return first

    async def end(self) -> None:
        pass


@asynccontextmanager
async def over(line: Line) -> AsyncIterator[Gather]:
    """A gather whose next lines store everything, but not to ``line.stored``."""
    lines = iter([line])
    stop = asyncio.Event()

    async def connect(settings: Settings, topic: str) -> Any:
        return next(lines, None) or Line(lambda *_: False)

    async def first() -> None:
        pass

    aim: Any = SimpleNamespace(topic="events", moved=asyncio.Event(), first=first)
    it = Gather(Settings(gateway_gather_ms=1), aim, connect)
    running = asyncio.create_task(it.run(stop))
    try:
        yield it
    finally:
        stop.set()
        await running


async def submit(it: Gather, events: Sequence[Event], size: int = 200) -> Submission:
    return await it.submit(events, [size] * len(events))


async def test_what_waits_behind_a_set_that_was_refused_is_not_stored_without_it() -> None:
    """Sent again, what was refused would be older than what was stored, and count for nothing."""
    events = [say("ana", "TOUCH", number, seq=number) for number in range(6)]
    line = Line(lambda partition, records: not line.asked)
    async with over(line) as it:
        first = asyncio.create_task(submit(it, events[:3]))
        await asyncio.sleep(0.005)  # under way
        second = asyncio.create_task(submit(it, events[3:]))
        found = await asyncio.gather(first, second)
        assert [one.error is not None for one in found] == [True, True]
        assert [one.places for one in found] == [[None] * 3, [None] * 3]
        assert line.stored == []
        assert (await submit(it, events)).error is None, "over the next line"


@pytest.mark.parametrize("bad", [None, *range(PARTITIONS)])
async def test_who_opts_out_is_out_when_all_partitions_know(bad: int | None) -> None:
    event = say("ana", OPT_OUT, 1)
    line = Line(lambda partition, records: partition == bad)
    async with over(line) as it:
        found = await submit(it, [event])
        await asyncio.sleep(0.1)
    if bad is None:
        assert found.error is None
        assert found.places[0] is not None
        assert found.places[0].partition == partition_of("ana", PARTITIONS)
        assert set(found.offsets) == set(range(PARTITIONS))
    else:
        assert found.error is not None
        assert found.places == [None]


async def test_a_set_is_so_large_and_the_rest_is_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what events came as; one that is larger alone goes alone."""
    monkeypatch.setattr(gathering, "SET_BYTES", 1_000)
    events = [say("ana", "TOUCH", number, seq=number) for number in range(7)]
    line = Line(lambda *_: False)
    async with over(line) as it:
        found = await it.submit(events, [200, 200, 2_000, 200, 200, 200, 2_000])  # twice these and 100 each
    assert line.sets == [2, 1, 2, 1, 1]
    assert [place is not None for place in found.places] == [True] * 7
