"""Workers are killed, come and go, stand still and go on: nothing is lost, nothing counts twice, nothing goes back."""

from __future__ import annotations

import pytest

from tests.faults.measures import note
from tests.faults.scenarios import Place
from tests.faults.scenarios.workers import KILL_S, WORKER, killed, stood_still, visited

KILLS = 20
"""At random moments; as many more as there are named points."""


@pytest.mark.timeout(600)  # bounds hanging: twenty-five starts
async def test_killed_at_any_moment_nothing_is_lost(place: Place) -> None:
    note("worker killed", **await killed(Place(place.settings, place.seed, (KILLS + len(WORKER)) * KILL_S)))


async def test_workers_come_and_go(place: Place) -> None:
    note("workers come and go", **await visited(place))


async def test_a_zombie_changes_nothing(place: Place) -> None:
    note("zombie", **await stood_still(place))
