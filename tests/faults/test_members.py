"""Workers come and go, and stand still and go on: what they write late never wins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams import topics
from streams.settings import Settings
from tests.faults.compare import compare
from tests.faults.figures import note
from tests.faults.members import come_and_go, zombie
from tests.faults.processes import Proc
from tests.faults.stream import Recipe, make
from tests.faults.watch import Watch

SECONDS = 30


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(checkpoint_ms=100, poll_records=50, session_timeout_s=6, sample_ms=200, publish_ms=100)


async def test_workers_come_and_go(settings: Settings, seed: int) -> None:
    await topics.create(settings)
    stream = make(Recipe(seed, 9_000), settings.partitions)
    async with Watch(settings) as watch:
        with Proc(settings, "projector"), Proc(settings, "publisher"):
            visits = await come_and_go(settings, stream, watch, seed, SECONDS, (1, 5))
            with Proc(settings, "worker"):
                report = await compare(settings)
    note("workers come and go", **visits.figures(), difference=report.difference)
    assert report.difference == 0, str(report)
    assert not visits.failures
    assert not watch.back
    assert visits.most > 1


async def test_a_zombie_changes_nothing(settings: Settings, seed: int) -> None:
    await topics.create(settings)
    stream = make(Recipe(seed, 4_000), settings.partitions)
    async with Watch(settings) as watch:
        with Proc(settings, "projector"), Proc(settings, "publisher"):
            dead = await zombie(settings, stream, watch, seed)
            with Proc(settings, "worker"):
                report = await compare(settings)
    note("zombie", late_records=watch.late.get(dead, 0), went_back=len(watch.back), difference=report.difference)
    assert report.difference == 0, str(report)
    assert not watch.back
    assert watch.late.get(dead, 0), "it wrote nothing late: it was no zombie"
