"""Field strength at places: how strongly the field is felt there, from what is remembered and what sounds. Pure.

    S(p) = R * ( sum over particles  i * 2^(-age / H) * f(|p - q|)
               + sum over harmonics  a * f(|p - q|) * cos(theta + phi - 2 pi * nu * |p - q| / r) )
    f(d) = (1 - (d / r)^2)^2 for d < r, else 0

- ``r``, the radius (10): nothing acts beyond it. ``f`` is 1 at its source and falls to 0 with a slope of 0 at ``r``, so
  that neither a source that comes into reach nor one that fades away makes an edge in the picture. (It is Tukey's
  biweight; it needs no square root.)
- A memory particle at ``q`` with intensity ``i`` fades: half as strong for each ``H`` of its age at T. One that is
  newer than T counts as new. What has no position acts nowhere.
- A harmonic (a quantum field has several) at ``q`` is a ring wave: amplitude ``a``, ``nu`` waves up to the radius,
  phase ``theta``. A quantum field sounds until ten newer ones have taken its place, so it does not fade.
- ``phi``, the phase of the field, turns all waves together: drawn with a rising phase they run outwards. By itself it
  is the circular mean of the quantum fields' own phases, 0 where there is none.
- ``R``, the resonance of the field, is how loud all of it is. By itself it is the global resonance.

With n places and sources and k pairs of them within reach: O(n log n + k), by a tree over the squares around the
sources (Leutenegger et al., "STR: a simple and efficient algorithm for R-tree packing", 1997) and numpy over pairs. On
a grid no tree is needed: the cells within reach of a source are a window of it, and a window's squared distances are
one row of numbers plus one column of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import shapely

Floats = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.int64]

RADIUS: Final = 10.0
"""The distance within which two gestures are an echo: what touches each other is felt together."""
HALF_LIFE_MS: Final = 300_000
"""A room is over after five minutes of silence: what happened in it is then half as strong."""
CELLS_MAX: Final = 128 * 128
"""More cells than that show nothing new where a source is ten units wide; 0.3 MB of JSON."""
POINTS_MAX: Final = 1_000
"""As many as fit into an address that servers accept."""
BOUND: Final = 1e9
"""Events have no positions beyond it."""

_BLOCK: Final = 1_024
"""Places worked on at a time: with all sources within reach of all of them some 15 MB an array."""
_CELLS: Final = 65_536
"""Cells of windows worked on at a time: half a MB an array, which stays in a core's cache."""


class Remembered(Protocol):
    """A memory particle or a quantum field of a reading; the latter has ``harmonics`` and ``phase`` in its data."""

    @property
    def timestamp(self) -> int: ...
    @property
    def intensity(self) -> float: ...
    @property
    def x(self) -> float | None: ...
    @property
    def y(self) -> float | None: ...
    @property
    def data(self) -> dict[str, Any]: ...


class Box(NamedTuple):
    """A rectangle with x0 < x1 and y0 < y1."""

    x0: float
    y0: float
    x1: float
    y1: float


class Grid(NamedTuple):
    """Cells of a box. Values stand row by row from y0 up, in each row from x0 on, and are those of cell centres."""

    columns: int
    rows: int
    box: Box


class Sources(NamedTuple):
    """What acts, as columns; ``waves`` of the last ones are harmonics, the first ``particles`` are not."""

    places: Floats
    """(n, 2)"""
    weights: Floats
    waves: Floats
    phases: Floats
    particles: int


class Strength(NamedTuple):
    """Values in the order of the places; ``acting``: how many sources reach at least one of them."""

    values: Floats
    acting: int


def sources(
    particles: Sequence[Remembered],
    quantum_fields: Sequence[Remembered],
    at: int,
    half_life_ms: float = HALF_LIFE_MS,
) -> Sources:
    """What acts at ``at`` (ms)."""
    placed = [one for one in particles if one.x is not None]
    x, y, intensity, timestamp = (
        np.fromiter(map(attrgetter(name), placed), np.float64, len(placed))
        for name in ("x", "y", "intensity", "timestamp")
    )
    faded = intensity * np.exp2(-np.maximum(0.0, at - timestamp) / half_life_ms)
    names = ("x", "y", "amplitude", "frequency", "phase")
    harmonics = [harmonic for one in quantum_fields for harmonic in one.data.get("harmonics", ())]
    rows = [[one[name] for name in names] for one in harmonics]
    sounding = np.array(rows, dtype=np.float64).reshape(-1, len(names))
    still = np.zeros((len(placed), 2))
    table = np.concatenate([np.column_stack([x, y, faded, still]), sounding])
    return Sources(table[:, :2], table[:, 2], table[:, 3], table[:, 4], len(placed))


def common_phase(quantum_fields: Sequence[Remembered]) -> float:
    """Circular mean (-pi..pi) of the quantum fields' phases; 0 with none, or when they cancel each other out."""
    phases = [one.data.get("phase", 0.0) for one in quantum_fields]
    sine, cosine = math.fsum(map(math.sin, phases)), math.fsum(map(math.cos, phases))
    return math.atan2(sine, cosine) if math.hypot(sine, cosine) > 1e-9 else 0.0


def centres(grid: Grid) -> Floats:
    """Centres of all cells, (rows * columns, 2)."""
    xs, ys = _axis(grid.box.x0, grid.box.x1, grid.columns), _axis(grid.box.y0, grid.box.y1, grid.rows)
    return np.stack([np.tile(xs, grid.rows), np.repeat(ys, grid.columns)], axis=1)


def around(acting: Sources, radius: float = RADIUS) -> Box:
    """The smallest box that has in it all that acts; around 0 where nothing does."""
    places = acting.places if len(acting.places) else np.zeros((1, 2))
    (x0, y0), (x1, y1) = places.min(axis=0) - radius, places.max(axis=0) + radius
    return Box(float(x0), float(y0), float(x1), float(y1))


def strength(
    acting: Sources, places: Floats, *, phase: float = 0.0, resonance: float = 1.0, radius: float = RADIUS
) -> Strength:
    """S at each of ``places`` (n, 2)."""
    values = np.zeros(len(places))
    reached = np.zeros(len(acting.places), dtype=bool)
    for block, where, which, near in _pairs(acting, places, radius):
        falloff = 1.0 - near
        felt = acting.weights[which] * falloff * falloff
        waving = which >= acting.particles
        source = which[waving]
        turns = 2.0 * math.pi * acting.waves[source] * np.sqrt(near[waving])
        felt[waving] *= np.cos(acting.phases[source] + phase - turns)
        values[block] = resonance * np.bincount(where, felt, minlength=len(values[block]))
        reached[which] = True
    return Strength(values, int(np.count_nonzero(reached)))


def strength_on(
    acting: Sources, grid: Grid, *, phase: float = 0.0, resonance: float = 1.0, radius: float = RADIUS
) -> Strength:
    """S at the centre of each cell: what ``strength`` has for ``centres``, sooner."""
    values = np.zeros(grid.rows * grid.columns)
    xs, ys = _axis(grid.box.x0, grid.box.x1, grid.columns), _axis(grid.box.y0, grid.box.y1, grid.rows)
    x, y = np.ascontiguousarray(acting.places.T)
    first_column, width = _windows(x, xs, radius)
    first_row, height = _windows(y, ys, radius)
    columns, rows = np.arange(width), np.arange(height)
    if not width * height:
        return Strength(values, 0)
    acted = 0
    for block in _blocks(acting, width * height):
        column, row = first_column[block, None] + columns, first_row[block, None] + rows
        across = ((xs[column] - x[block, None]) / radius) ** 2
        along = ((ys[row] - y[block, None]) / radius) ** 2
        acted += int(np.count_nonzero(across.min(axis=1) + along.min(axis=1) < 1.0))
        near = across[:, None, :] + along[:, :, None]
        felt = np.maximum(1.0 - near, 0.0)
        felt *= felt
        felt *= acting.weights[block, None, None]
        if block.start >= acting.particles:
            turns = 2.0 * math.pi * acting.waves[block, None, None] * np.sqrt(near)
            felt *= np.cos(acting.phases[block, None, None] + phase - turns)
        cells = (row * grid.columns)[:, :, None] + column[:, None, :]
        values += np.bincount(cells.ravel(), felt.ravel(), minlength=len(values))
    return Strength(resonance * values, acted)


def _axis(low: float, high: float, cells: int) -> Floats:
    """Centres along one side."""
    return low + np.arange(0.5, cells) * ((high - low) / cells)


def _windows(at: Floats, centres: Floats, radius: float) -> tuple[Indexes, int]:
    """Where along a side the window of each source begins, and how long all of them are: none leaves the grid."""
    first = np.searchsorted(centres, at - radius, side="left")
    length = int(np.max(np.searchsorted(centres, at + radius, side="right") - first, initial=0))
    return np.minimum(first, len(centres) - length), length


def _blocks(acting: Sources, window: int) -> Iterator[slice]:
    """Sources so many at a time that an array of their windows stays small; particles and harmonics apart."""
    size = max(1, _CELLS // max(1, window))
    ends = (acting.particles, len(acting.places))
    for start, end in zip((0, acting.particles), ends, strict=True):
        for first in range(start, end, size):
            yield slice(first, min(first + size, end))


def _pairs(acting: Sources, places: Floats, radius: float) -> Iterator[tuple[slice, Indexes, Indexes, Floats]]:
    """Block by block of the places: (block, place in it, source, (distance / radius)^2) of all pairs within reach."""
    if not len(acting.places):
        return
    x, y = np.ascontiguousarray(acting.places.T)
    to_x, to_y = np.ascontiguousarray(places.T)
    tree = shapely.STRtree(shapely.box(x - radius, y - radius, x + radius, y + radius))
    for start in range(0, len(places), _BLOCK):
        block = slice(start, start + _BLOCK)
        where, which = tree.query(shapely.points(to_x[block], to_y[block]))
        near = ((to_x[block][where] - x[which]) / radius) ** 2 + ((to_y[block][where] - y[which]) / radius) ** 2
        within = near < 1.0
        yield block, where[within], which[within], near[within]
