"""Workers that are killed, that come and go, that stand still and go on."""

from __future__ import annotations

import asyncio
from typing import Final

from streams import topics
from tests.faults.compare import compare
from tests.faults.kills import kill_others, kill_workers
from tests.faults.members import come_and_go, zombie
from tests.faults.points import WORKER
from tests.faults.processes import Proc
from tests.faults.scenarios import Figures, Place
from tests.faults.stream import Recipe, make
from tests.faults.watch import Watch

MANY: Final = {"checkpoint_ms": 100, "poll_records": 50, "session_timeout_s": 6, "sample_ms": 200, "publish_ms": 100}
"""Many small batches, checkpoints and snapshots: more seams to fall into."""
KILL_S: Final = 6.0
"""A life and a start, about."""
EVENTS_A_LIFE: Final = 480
EVENTS_A_SECOND: Final = 250


async def killed(place: Place) -> Figures:
    """Workers at random moments and at every named point of one stream; projectors and publishers beside them."""
    # a static member: the next one takes its place without waiting for the session to time out
    settings = place.settings(**MANY, instance="only")
    await topics.create(settings)
    lives = max(2 * len(WORKER), int(place.seconds / KILL_S))
    stream = make(Recipe(place.seed, lives * EVENTS_A_LIFE), settings.partitions)
    over = asyncio.Event()
    async with Watch(settings) as watch:
        others = [
            asyncio.create_task(kill_others(settings, role, place.seed, over)) for role in ("projector", "publisher")
        ]
        try:
            done = await kill_workers(settings, stream, watch, place.seed, lives - len(WORKER), len(WORKER))
        finally:
            over.set()
        projectors, publishers = await asyncio.gather(*others)
        with Proc(settings, "worker"), Proc(settings, "projector"), Proc(settings, "publisher"):
            report = await compare(settings)
    assert report.difference == 0, str(report)
    assert not watch.back, f"went back: {watch.back[:5]}"
    assert set(done.at_points) == set(WORKER), f"points passed: {done.at_points}"
    assert min(projectors, publishers) >= 3, f"killed: {projectors} projectors, {publishers} publishers"
    return done.figures() | {"projectors": projectors, "publishers": publishers, "difference": report.difference}


async def visited(place: Place) -> Figures:
    """1 to 4 workers join and leave under load."""
    settings = place.settings(**MANY)
    await topics.create(settings)
    stream = make(Recipe(place.seed, int(place.seconds * EVENTS_A_SECOND)), settings.partitions)
    pause_s = (1.0, 5.0) if place.seconds < 60 else (1.0, 20.0)
    async with Watch(settings) as watch:
        with Proc(settings, "projector"), Proc(settings, "publisher"):
            visits = await come_and_go(settings, stream, watch, place.seed, place.seconds, pause_s)
            with Proc(settings, "worker"):
                report = await compare(settings)
    assert report.difference == 0, str(report)
    assert not visits.failures, visits.failures
    assert not watch.back, f"went back: {watch.back[:5]}"
    assert visits.most > 1, "they never were two"
    return visits.figures() | {"difference": report.difference}


async def stood_still(place: Place) -> Figures:
    """A zombie between changes and shard records; the one that took its place is killed, too."""
    settings = place.settings(**MANY)
    await topics.create(settings)
    stream = make(Recipe(place.seed, 4_000), settings.partitions)
    async with Watch(settings) as watch:
        with Proc(settings, "projector"), Proc(settings, "publisher"):
            dead = await zombie(settings, stream, watch, place.seed)
            with Proc(settings, "worker"):
                report = await compare(settings)
    assert report.difference == 0, str(report)
    assert not watch.back, f"went back: {watch.back[:5]}"
    assert watch.late.get(dead, 0), "it wrote nothing late: it was no zombie"
    return {"late_records": watch.late[dead], "difference": report.difference}


SCENARIOS = [("worker killed", killed), ("workers come and go", visited), ("zombie", stood_still)]
