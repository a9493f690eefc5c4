"""The guards of the agent: batches, changelog keys and assignments of before a rebalance change nothing after it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams import agents, assignment
from streams.agents import Folding
from streams.assignment import Assignment
from streams.settings import Settings
from streams.transport import Batch
from tests.worlds import say

SETTINGS = Settings(partitions=2, shards=2)
TOPIC = SETTINGS.events_topic


class Intake:
    """Takes whole batches, or says that the partitions went away meanwhile."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.events = 0
        self.records = 0
        self.loses = False
        self.within: Any = lambda: None

    async def fold(self, batch: Batch, part: Any, _assignment: Any) -> bool:
        self.within()
        self.taken.append(batch.first)
        self.events += 1
        return not self.loses


class Bare(Folding):
    """The worker's work with nothing of Faust's behind it."""

    def __init__(self, generation: int = 1) -> None:
        self.sought: list[tuple[TP, int]] = []
        self.generation = generation
        self.ends: dict[TP, int] = {TP(TOPIC, 0): 10, TP(TOPIC, 1): 20, TP("changelog", 0): 30}
        self.while_asking: Any = lambda: None
        self.read: dict[TP, int | None] = {TP("changelog", 0): 30, TP("changelog", 1): None}
        tables = SimpleNamespace(recovery=SimpleNamespace(active_offsets=self.read))
        self._app = SimpleNamespace(consumer=self, consumer_generation_id=generation, tables=tables)
        self._settings = SETTINGS
        self._intake: Any = Intake()
        self._table = SimpleNamespace(data=SimpleNamespace(data={}))
        self._delivery: Any = SimpleNamespace(take=lambda: self.sought.append((TP("taken", 0), 0)))
        self._incarnation = "aaaa"
        self._assigned_at = 0.0
        self._assignment: Assignment | None = assignment.load([], {0: (0, 0)}, generation, "aaaa", SETTINGS)
        self._assigned_at = 0.0
        self._due = asyncio.Event()
        self._begun = asyncio.Event()
        self._closing = False
        self._checkpointer: Any = self
        self.checkpoints: list[Assignment] = []
        self.written = asyncio.Event()

    async def run(self, of: Assignment) -> bool:
        """Writes a checkpoint for as long as the test wants."""
        self.checkpoints.append(of)
        await self.written.wait()
        return True

    async def commit(self) -> None:
        """Faust's consumer."""

    # Faust's consumer
    async def seek(self, tp: TP, offset: int) -> None:
        self.sought.append((tp, offset))

    def assignment(self) -> set[TP]:
        return set(self.ends)

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        self.while_asking()
        return {tp: self.ends[tp] for tp in tps}

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    def begin_at(self, offsets: dict[TP, int]) -> None:
        self.begun = offsets

    @property
    def part(self) -> Any:
        assert self._assignment is not None
        return self._assignment.partitions[0]


def event(first: int, last: int | None = None, *, partition: int = 0, generation: int = 1) -> Any:
    records = [SimpleNamespace(offset=offset) for offset in (first, first if last is None else last)]
    tp = TP(TOPIC, partition)
    message = SimpleNamespace(tp=tp, partition=partition, generation_id=generation)
    return SimpleNamespace(value=Batch(records), message=message)


async def test_a_batch_is_folded_and_waits_for_its_checkpoint() -> None:
    here, batch = Bare(), event(0, 9)
    await here._take(batch)
    assert here._intake.taken == [0]
    assert (here.part.folded, here.part.next_offset) == ([batch], 10)
    assert batch.value.records == ()


@pytest.mark.parametrize("why", ["no assignment", "closing", "an earlier generation", "another partition"])
async def test_a_batch_that_is_not_ours_is_neither_folded_nor_kept(why: str) -> None:
    here = Bare(generation=2)
    batch = event(
        0, 9, generation=1 if why == "an earlier generation" else 2, partition=int(why == "another partition")
    )
    part = here.part
    if why == "no assignment":
        here._assignment = None
    here._closing = why == "closing"
    await here._take(batch)
    assert (here._intake.taken, part.folded, part.next_offset) == ([], [], 0)
    assert len(batch.value.records) == 2


async def test_a_batch_whose_partition_went_away_while_it_was_folded_is_not_acknowledged() -> None:
    here, batch = Bare(), event(0, 9)
    here._intake.loses = True
    await here._take(batch)
    assert (here.part.folded, here.part.next_offset) == ([], 0)


async def test_a_batch_after_a_gap_waits_for_what_is_between() -> None:
    here = Bare()
    await here._take(event(0, 9))
    await here._take(event(20, 29))
    await here._take(event(30, 39))  # was on its way already
    assert here.sought == [(TP(TOPIC, 0), 10)]
    assert here._intake.taken == [0]
    await here._take(event(10, 29))
    assert here._intake.taken == [0, 10]
    assert here.part.next_offset == 30


async def far_ahead() -> tuple[Bare, asyncio.Task[None]]:
    """One that has folded as much as it may, and waits."""
    here = Bare()
    here._intake.events = agents.AHEAD * SETTINGS.checkpoint_events - 1
    waiting = asyncio.create_task(here._take(event(0)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    return here, waiting


async def test_enough_events_are_a_checkpoint() -> None:
    here = Bare()
    here._intake.events = SETTINGS.checkpoint_events - 2
    await here._take(event(0))
    assert not here._due.is_set()
    await here._take(event(1))
    assert here._due.is_set()


async def test_folding_does_not_run_far_ahead_of_its_checkpoint() -> None:
    """The state that is not stored yet, and the batches that wait, have a bound. It goes on while one is written."""
    here, waiting = await far_ahead()
    assert here._due.is_set()
    of = here._assignment
    assert of is not None
    writing = asyncio.create_task(here._checkpoint(of))
    await asyncio.wait_for(waiting, 30)
    assert here.checkpoints == [of]
    assert not writing.done()
    assert here._intake.events == 0
    await asyncio.wait_for(here._take(event(1)), 30)
    here.written.set()
    await writing


@pytest.mark.parametrize("why", ["revoked", "told to stop"])
async def test_who_is_far_ahead_waits_for_no_checkpoint_that_nobody_will_make(why: str) -> None:
    here, waiting = await far_ahead()
    here.written.set()
    await (here._revoked(None, set()) if why == "revoked" else here.finish())
    await asyncio.wait_for(waiting, 30)


async def test_told_to_stop_within_a_batch_it_waits_for_no_checkpoint_either() -> None:
    here = Bare()
    here._intake.events = agents.AHEAD * SETTINGS.checkpoint_events
    here._intake.within = lambda: setattr(here, "_closing", True)
    await asyncio.wait_for(here._take(event(0)), 30)


async def test_told_to_stop_only_the_last_checkpoint_is_made() -> None:
    """The rest of Faust ends meanwhile: what is sent after it is acknowledged by nobody."""
    here = Bare()
    here._closing = True
    here._due.set()
    loop = asyncio.create_task(here._checkpoints())
    for _ in range(20):
        await asyncio.sleep(0)
    loop.cancel()
    assert not here._due.is_set(), "it has come by"
    assert not here.checkpoints


async def test_revoked_is_forgotten_whole() -> None:
    here = Bare()
    before = here._assignment
    assert before is not None
    await here._revoked(None, set())
    assert here._assignment is None
    assert (before.current, before.partitions) == (False, {})
    assert here.sought == [(TP("taken", 0), 0)]  # sends of a revoked partition are nobody's checkpoint any more
    await here._revoked(None, set())


async def test_a_probe_hears_what_folding_waits_for() -> None:
    bare = Bare()
    assert bare.waits_for() == ""
    await bare._revoked(None, {TP(TOPIC, 0)})
    assert "which partitions" in bare.waits_for()
    await bare._assigned(None, {TP(TOPIC, 0)})
    assert "recovered" in bare.waits_for()
    await bare._recovered()
    assert bare.waits_for() == ""
    bare._closing = True
    assert bare.waits_for() == "ends"


async def test_a_recovery_reads_the_changelog_from_its_beginning() -> None:
    here = Bare()
    here._table.data.data |= {b"0/1/1-a": b"x", b"1/1/1-a": b"y", b"1/position/1-a": b"z"}
    await here._assigned(None, {TP(TOPIC, 0), TP("changelog", 0)})
    assert here._table.data.data == {}
    assert set(here.read.values()) == {-1}


def stored() -> dict[bytes, bytes]:
    """Changelog records of partition 0, folded up to offset 4."""
    part = assignment.load([], {0: (0, 5)}, 1, "zzzz", SETTINGS).partitions[0]
    part.fold.fold(4, [say("ana", "BLOOM", 0, room="hall", seq=0)])
    return dict(part.plan("1-zzzz")[0].records)


async def test_recovered_state_is_loaded_for_the_partitions_that_are_ours() -> None:
    here = Bare(generation=3)
    here._assignment = None
    here._table.data.data |= {**stored(), b"0/0/1-b": b""}  # a tombstone
    here._intake.events = 77
    await here._recovered()
    found = here._assignment
    assert found is not None
    assert (found.generation, found.writer, sorted(found.partitions)) == (3, "3-aaaa", [0, 1])
    assert here._table.data.data == {}  # the folds have it
    assert [part.full_until for _, part in sorted(found.partitions.items())] == [9, 19]
    assert (found.partitions[0].next_offset, found.partitions[1].next_offset) == (5, 0)
    assert here._intake.events == 0


async def test_a_recovery_that_another_rebalance_overtook_builds_nothing() -> None:
    here = Bare(generation=3)
    here._assignment = None
    here.while_asking = lambda: setattr(here._app, "consumer_generation_id", 4)
    await here._recovered()
    assert here._assignment is None


async def test_without_partitions_of_the_input_nothing_is_asked() -> None:
    here = Bare()
    here.ends = {TP("changelog", 0): 30}
    here.while_asking = lambda: pytest.fail("to aiokafka, no partitions means all")
    await here._recovered()
    assert here._assignment is not None
    assert here._assignment.partitions == {}
