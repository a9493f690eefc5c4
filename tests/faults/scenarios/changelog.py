"""The changelog in every way that it may be lost, each with a worker and a log of its own."""

from __future__ import annotations

from tests.faults import changelog
from tests.faults.scenarios import Figures, Place


async def lost(place: Place) -> Figures:
    """Each fault asserts what its worker must do, and that its state is that of the whole log."""
    faults = (
        changelog.compacted_then_another_log,
        changelog.half_lost_then_emptied_then_gone,
        changelog.deleted_while_the_worker_runs,
    )
    for fault in faults:
        await fault(place.settings(**changelog.MEMBER))
    return {"faults": len(faults), "difference": 0}


SCENARIOS = [("changelog", lost)]
