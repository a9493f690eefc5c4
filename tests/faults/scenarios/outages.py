"""Outages of brokers, database, Redis and lines in their long forms, each on a stack of its own that may be lost.

They take as long as they say (``outages.LONG``: PostgreSQL is away for six minutes), not ``place.seconds``.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.local import cache
from tests.faults import outages
from tests.faults.compare import compare
from tests.faults.losable import Losable
from tests.faults.outages import LONG, Form
from tests.faults.scenarios import Figures, Place, Scenario

Fault = Callable[[Losable, Form], None]


def scenario(*faults: Fault, toggles: bool = True) -> Scenario:
    """The faults one after the other under load; then every tier is compared, and every acknowledgement."""

    async def play(place: Place) -> Figures:
        return await asyncio.to_thread(_play, place.seed, faults, toggles)

    return play


def postgres_and_redis(stack: Losable, form: Form) -> None:
    """PostgreSQL is away for long; meanwhile Redis fails in every way."""

    def redis_fails() -> None:
        for fault in outages.REDIS:
            fault(stack, form)

    outages.postgres_stopped(stack, form, redis_fails)


def _play(seed: int, faults: tuple[Fault, ...], toggles: bool) -> Figures:
    home = Path(tempfile.mkdtemp(prefix="soak-outages-"))
    with Losable(home, seed) as stack:
        with stack.devices(LONG.rate, toggles) as fleet:
            stack.reached()
            for fault in faults:
                fault(stack, LONG)
        lost = asyncio.run(fleet.lost(stack.settings))
        assert lost == [], f"acknowledged and lost: {lost[:3]}"
        report = asyncio.run(compare(stack.settings))
        assert report.difference == 0, f"{report}\n{stack.tell()}"
        figures = {
            "difference": report.difference,
            "rows": sum(report.rows.values()),
            "acknowledged": len(fleet.acknowledged),
            "acknowledged_s_max": fleet.longest_s,
            "restarts": sum(stack.restarts().values()),
        }
    cache.remove(home)
    return figures


SCENARIOS = [
    ("brokers killed", scenario(outages.brokers_killed, toggles=False)),
    ("PostgreSQL and Redis away", scenario(postgres_and_redis)),
    ("PostgreSQL takes nothing", scenario(*outages.POSTGRES)),
    (
        "lines",
        scenario(outages.lines_slow, outages.lines_cut, outages.lines_half_open, outages.each_half_open, toggles=False),
    ),
]
