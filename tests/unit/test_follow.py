"""A projection claims to be fresh only of partitions that it knows to be its own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from projections.follow import Follower
from projections.raw import Raw
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
