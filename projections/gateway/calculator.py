"""The field calculation for many askers: equal questions are computed once, in a thread, and kept for a moment.

A result is kept by the log positions that the sources reflect, phase, resonance and what was asked, so that it is never
that of another field; for ``strength_kept_ms`` at most, since what is remembered fades while the positions stand still.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np

from projections import field
from projections.field import Box, Grid, Remembered, Sources
from projections.gateway.performance import Performance
from projections.gateway.turns import Turns
from streams.settings import Settings

THREADS: Final = 2
WAITING_MAX: Final = 64
"""Different questions; equal ones wait for one and the same."""


class Seen(Protocol):
    """What of a snapshot acts."""

    @property
    def at(self) -> int: ...
    @property
    def generation(self) -> str: ...
    @property
    def global_resonance(self) -> float: ...
    @property
    def particles(self) -> Sequence[Remembered]: ...
    @property
    def quantum_fields(self) -> Sequence[Remembered]: ...


class Asked(NamedTuple):
    """At ``points``; or, where there are none, in a box of so many cells (None: the one that has in it all that acts).

    ``phase`` and ``resonance`` None: those of the field.
    """

    columns: int = 64
    rows: int = 64
    box: Box | None = None
    points: tuple[tuple[float, float], ...] = ()
    phase: float | None = None
    resonance: float | None = None


class GridShape(msgspec.Struct, frozen=True):
    """Row by row from y0 up, in each row from x0 on; ``box``: x0, y0, x1, y1. Values are those of cell centres."""

    columns: int
    rows: int
    box: tuple[float, float, float, float]


class FieldStrength(msgspec.Struct, frozen=True):
    """``values``: numbers, of the cells or of the points as they were given.

    ``sources``: how many particles and harmonics reach at least one of these places. ``at``: the time (ms) by which
    they have faded. ``cached``: it was computed for somebody else.
    """

    grid: GridShape | None
    points: tuple[tuple[float, float], ...] | None
    values: msgspec.Raw
    phase: float
    resonance: float
    sources: int
    at: int
    cached: bool


class _Kept(NamedTuple):
    result: FieldStrength
    made_s: float


class Calculator:
    """Results of the last moments; ``performance`` has how often one was there already."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[Any, _Kept] = OrderedDict()
        self._under_way: dict[Any, asyncio.Task[FieldStrength]] = {}
        self._turns = Turns("calculations", THREADS, WAITING_MAX)
        self.performance = Performance(cached=settings.strength_kept > 0 and settings.strength_kept_ms > 0)

    async def strength(self, seen: Seen, positions: dict[int, int], asked: Asked) -> FieldStrength:
        """The strength asked for, of a field at these positions; raises Problem (503) when too many ask at once."""
        phase = field.common_phase(seen.quantum_fields) if asked.phase is None else asked.phase
        resonance = seen.global_resonance if asked.resonance is None else asked.resonance
        asked = asked._replace(phase=phase, resonance=resonance)
        key = (seen.generation, tuple(sorted(positions.items())), asked)
        kept = self._young(key)
        self.performance.read(kept is not None or key in self._under_way)
        if kept is not None:
            return msgspec.structs.replace(kept, cached=True)
        task, first = self._under_way.get(key), False
        if task is None:
            task, first = asyncio.create_task(self._compute(key, seen, asked)), True
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._over(key, done))
        found = await asyncio.shield(task)  # others may wait for it, too
        return found if first else msgspec.structs.replace(found, cached=True)

    def _young(self, key: Any) -> FieldStrength | None:
        kept = self._kept.get(key)
        if kept is None or time.monotonic() - kept.made_s > self._settings.strength_kept_ms / 1000:
            return None
        self._kept.move_to_end(key)
        return kept.result

    async def _compute(self, key: Any, seen: Seen, asked: Asked) -> FieldStrength:
        async with self._turns.one():
            made_s = time.monotonic()
            result = await asyncio.to_thread(compute, seen, asked, self._settings)
        self._kept[key] = _Kept(result, made_s)
        self._kept.move_to_end(key)
        while len(self._kept) > self._settings.strength_kept:
            self._kept.popitem(last=False)
        return result

    def _over(self, key: Any, done: asyncio.Task[FieldStrength]) -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            done.exception()  # it may have nobody left to hear it


def compute(seen: Seen, asked: Asked, settings: Settings) -> FieldStrength:
    """The strength, with values already encoded: that takes as long as the rest, and is the same for all who ask."""
    assert asked.phase is not None
    assert asked.resonance is not None
    radius = settings.strength_radius
    acting = field.sources(seen.particles, seen.quantum_fields, seen.at, settings.strength_half_life_ms)
    grid = None if asked.points else _grid(asked, acting, radius)
    of_field = {"phase": asked.phase, "resonance": asked.resonance, "radius": radius}
    if grid is None:
        found = field.strength(acting, np.array(asked.points, dtype=np.float64), **of_field)
    else:
        found = field.strength_on(acting, grid, **of_field)
    return FieldStrength(
        grid=None if grid is None else GridShape(grid.columns, grid.rows, (*grid.box,)),
        points=asked.points or None,
        values=msgspec.Raw(msgspec.json.encode(found.values.tolist())),
        phase=asked.phase,
        resonance=asked.resonance,
        sources=found.acting,
        at=seen.at,
        cached=False,
    )


def _grid(asked: Asked, acting: Sources, radius: float) -> Grid:
    return Grid(asked.columns, asked.rows, field.around(acting, radius) if asked.box is None else asked.box)
