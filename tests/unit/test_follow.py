"""A projection claims to be fresh only of partitions that it knows to be its own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from projections.follow import FEW_RECORDS, Follower
from projections.raw import Raw
from streams.chunks import Chunk
from streams.settings import Settings


async def test_not_before_the_group_has_said_which_and_not_while_it_shares_them_out_again() -> None:
    settings, nobody = Settings(), SimpleNamespace()
    pool: Any = nobody
    follower = Follower(Raw(settings), settings, pool, asyncio.Event())
    ends, place = {0: 1}, TopicPartition(settings.events_topic, 0)
    assert not follower.reflects(ends, 0.0)
    follower._consumer = SimpleNamespace(assignment=set)
    assert not follower.reflects(ends, 0.0), "it has just begun to join"
    await follower.on_partitions_assigned([])
    assert follower.reflects(ends, 0.0), "none is ours: others have them"
    await follower.on_partitions_revoked([])
    assert not follower.reflects(ends, 0.0)
    follower._consumer = SimpleNamespace(assignment=lambda: {place})
    await follower.on_partitions_assigned([place])
    assert not follower.reflects(ends, 0.0), "nothing of it is in the rows"


class Written:
    """A projection and its pool: batches written, and when."""

    name, topic, scope, remedy, chunks = "n", "t", "s", "", False

    def prepare(self, partition: int, records: Any) -> Any:
        return iter(())


async def test_a_partition_with_little_to_write_rests_and_others_and_one_that_catches_up_do_not() -> None:
    settings: Any = Settings(project_ms=600_000)
    follower = Follower(Written(), settings, SimpleNamespace(), asyncio.Event())  # type: ignore[arg-type]  # no I/O
    place = TopicPartition("t", 0)
    for count, rests in ((FEW_RECORDS, False), (FEW_RECORDS - 1, True)):
        chunk = Chunk("t", 0, 1, 1, count, 0, 0, count, b"")
        for found in ([SimpleNamespace(offset=1)] * count, [chunk]):
            follower._loaded[place] = 0
            task = asyncio.create_task(follower._project(place, found))
            done, _ = await asyncio.wait([task], timeout=0.3)
            assert (not done) is rests
            task.cancel()


async def test_what_is_in_the_rows_already_is_read_again_from_the_stored_position() -> None:
    settings: Any = Settings()
    follower = Follower(Written(), settings, SimpleNamespace(), asyncio.Event())  # type: ignore[arg-type]  # no I/O
    place = TopicPartition("t", 0)
    for found in ([SimpleNamespace(offset=5)], [Chunk("t", 0, 5, 0, 9, 0, 0, 10, b"")]):
        follower._loaded[place] = 5
        await follower._project(place, found)
        assert place not in follower._loaded
