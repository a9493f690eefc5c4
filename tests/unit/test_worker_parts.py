"""The worker's own small machines, without Kafka: flood, watchdog, gaps, full checkpoints, tombstones."""

from __future__ import annotations

import asyncio

import pytest

from streams import assignment
from streams.delivery import Place, acknowledged
from streams.errors import DeliveryError, StalledError
from streams.fold.partition import PartitionFold
from streams.intake import Flood
from streams.settings import Settings
from streams.transport import Batch
from streams.watchdog import Watchdog
from tests.worlds import say

SETTINGS = Settings(partitions=2, shards=2, flood_window=10, stall_s=30)


def test_a_flood_is_half_of_a_full_window() -> None:
    flood = Flood(SETTINGS)
    assert not any(flood.add(True) for _ in range(9))
    assert flood.add(True)
    assert not any(flood.add(False) for _ in range(6))  # only a bad record can be one too many
    assert flood.bad == 4
    assert not flood.add(True)
    for _ in range(9):
        flood.add(False)
    assert flood.bad == 1


def test_above_one_the_share_never_stops_anything() -> None:
    flood = Flood(Settings(flood_window=3, flood_share=1.5))
    assert not any(flood.add(True) for _ in range(20))


def test_the_watchdog_leaves_when_work_waits_and_nothing_happens() -> None:
    now = 0.0
    dog = Watchdog(SETTINGS, clock=lambda: now)
    dog.look("start", {0: 5, 1: 7})
    now = 29
    dog.look("start", {0: 5, 1: 7})
    now = 31
    with pytest.raises(StalledError, match="12 records wait") as caught:
        dog.look("start", {0: 5, 1: 7})
    assert (caught.value.partition, caught.value.exit_code) == (1, 6)


@pytest.mark.parametrize(("progress", "lag"), [("more", 9), ("start", 0), ("start", 3)])
def test_the_watchdog_is_content_with_progress_or_nothing_to_do(progress: str, lag: int) -> None:
    now = 0.0
    dog = Watchdog(SETTINGS, clock=lambda: now)
    dog.look("start", {0: 5})
    now = 31
    dog.look(progress, {0: lag})


class Record:
    def __init__(self, offset: int) -> None:
        self.offset = offset


def test_a_batch_keeps_its_offsets_when_the_records_go() -> None:
    batch = Batch([Record(3), Record(4), Record(9)])
    batch.release()
    assert (batch.first, batch.last, len(batch.records)) == (3, 9, 0)


def part(highwater: int = 0) -> assignment.Partition:
    return assignment.load([], {0: highwater}, 1, "aaaa", SETTINGS).partitions[0]


def test_a_gap_is_asked_for_once_and_then_believed() -> None:
    here = part()
    assert here.starts_after_gap(0) is None
    here.next_offset = 10
    assert here.starts_after_gap(10) is None
    assert here.starts_after_gap(4) is None
    assert here.starts_after_gap(20) is True
    assert here.starts_after_gap(30) is False  # was on its way already
    assert here.starts_after_gap(20) is None  # read again: there is nothing between
    assert here.starts_after_gap(25) is True


def test_checkpoints_are_full_until_the_end_of_the_log_as_it_was() -> None:
    here = part(highwater=3)
    fulls = []
    for offset in range(4):
        here.fold.fold(offset, [say("ana", "BLOOM", offset, room="hall", seq=offset)])
        checkpoint, _ = here.plan("1-aaaa")
        fulls.append(b'"full":true' in checkpoint.changes[0][1])
    assert fulls == [True, True, True, False]


def test_keys_of_earlier_writers_are_named_once_their_shard_is_written_again() -> None:
    first = part()
    first.fold.fold(0, [say("ana", "BLOOM", 0, room="hall", seq=0)])
    records = first.plan("1-aaaa")[0].records
    second = assignment.load(records, {0: 1}, 2, "bbbb", SETTINGS).partitions[0]
    second.begin(1)
    second.fold.fold(1, [])
    checkpoint, _ = second.plan("2-bbbb")
    assert second.superseded(checkpoint) == [b"0/position/1-aaaa"]
    second.fold.fold(2, [say("ana", "BLOOM", 1, room="hall", seq=1)])
    checkpoint, _ = second.plan("2-bbbb")
    assert second.superseded(checkpoint) == [records[0][0]]
    assert second.superseded(checkpoint) == []


def test_an_assignment_says_how_far_it_has_folded_not_how_far_somebody_else_had() -> None:
    """A position record of a zombie may be ahead of the shards that are left of its checkpoint."""
    zombie = PartitionFold(0, SETTINGS.shards, SETTINGS.rules)
    zombie.fold(100, [])
    position = zombie.checkpoint("1-aaaa").records[-1:]
    here = assignment.load(position, {0: 101}, 2, "bbbb", SETTINGS).partitions[0]
    here.begin(50)
    here.fold.fold(50, [say("ana", "BLOOM", 0, room="hall", seq=0)])
    checkpoint, _ = here.plan("2-bbbb")
    assert checkpoint.position == 50


def test_the_place_of_a_copy_is_that_of_its_original() -> None:
    assert Place("field.events", 1, 42, 0).position(3) == "field.events/1/42/3"
    assert Place("field.events", 1, 42, 0, "field.events/0/7/0").position(3) == "field.events/0/7/0"


async def test_a_send_that_fails_is_an_error_with_a_name() -> None:
    good: asyncio.Future[None] = asyncio.Future()
    bad: asyncio.Future[None] = asyncio.Future()
    good.set_result(None)
    bad.set_exception(OSError("gone"))
    with pytest.raises(DeliveryError, match=r"shards not acknowledged.*gone"):
        await acknowledged([good, bad], "changelog", "shards")
