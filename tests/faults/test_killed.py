"""Workers, projectors and publishers are killed in the middle of their work: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streams import topics
from streams.settings import Settings
from tests.faults.compare import compare
from tests.faults.figures import note
from tests.faults.kills import kill_others, kill_workers
from tests.faults.points import WORKER
from tests.faults.processes import Proc
from tests.faults.stream import Recipe, make
from tests.faults.watch import Watch

KILLS = 20


@pytest.mark.timeout(300)
async def test_killed_at_any_moment_nothing_is_lost(make_settings: Callable[..., Settings], seed: int) -> None:
    # a static member: the next one takes its place without waiting for the session to time out
    settings = make_settings(
        checkpoint_ms=100, poll_records=50, session_timeout_s=6, instance="only", sample_ms=200, publish_ms=100
    )
    await topics.create(settings)
    stream = make(Recipe(seed, 12_000), settings.partitions)
    over = asyncio.Event()
    async with Watch(settings) as watch:
        others = [asyncio.create_task(kill_others(settings, role, seed, over)) for role in ("projector", "publisher")]
        done = await kill_workers(settings, stream, watch, seed, KILLS, len(WORKER))
        over.set()
        projectors, publishers = await asyncio.gather(*others)
        with Proc(settings, "worker"), Proc(settings, "projector"), Proc(settings, "publisher"):
            report = await compare(settings)
    note("worker killed", **done.figures(), projectors=projectors, publishers=publishers, difference=report.difference)
    assert report.difference == 0, str(report)
    assert not watch.back
    assert set(done.at_points) == set(WORKER)
    assert min(projectors, publishers) >= 3
