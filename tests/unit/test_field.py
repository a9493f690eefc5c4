"""Field strength: equal to its definition (``tests/oracle/field.py``), at the edges of reach too."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import field
from projections.field import Box, Grid, Sources
from tests.oracle import field as oracle

AT = 1_700_000_000_000
CLOSE = 1e-9

coordinates = st.floats(-40, 40) | st.integers(-40, 40).map(float)
particles = st.fixed_dictionaries(
    {
        "x": st.none() | coordinates,
        "y": coordinates,
        "intensity": st.floats(0, 1),
        "timestamp": st.integers(AT - 3_600_000, AT + 60_000),
    }
)
harmonics = st.fixed_dictionaries(
    {
        "x": coordinates,
        "y": coordinates,
        "frequency": st.floats(-8, 8),
        "amplitude": st.floats(-2, 2),
        "phase": st.floats(-7, 7),
    }
)
quantum_fields = st.fixed_dictionaries(
    {"data": st.fixed_dictionaries({"phase": st.floats(-7, 7), "harmonics": st.lists(harmonics, max_size=4)})}
)


def particle(x: float | None, y: float | None = 0.0, *, intensity: float = 1.0, age: int = 0) -> dict[str, Any]:
    return {"x": x, "y": y, "intensity": intensity, "timestamp": AT - age}


def wave(x: float, y: float, frequency: float, amplitude: float, phase: float) -> dict[str, Any]:
    names = ("x", "y", "frequency", "amplitude", "phase")
    return {"data": {"harmonics": [dict(zip(names, (x, y, frequency, amplitude, phase), strict=True))]}}


def reading(some: Iterable[dict[str, Any]]) -> list[Any]:
    """Plain rows as a reading has them."""
    return [SimpleNamespace(**one) for one in some]


def acting(*some: dict[str, Any], sounding: tuple[dict[str, Any], ...] = ()) -> Sources:
    return field.sources(reading(some), reading(sounding), AT)


def felt(sources: Sources, *places: tuple[float, float], **more: float) -> list[float]:
    values: list[float] = field.strength(sources, np.array(places, dtype=float), **more).values.tolist()
    return values


@given(
    some=st.lists(particles, max_size=20),
    sounding=st.lists(quantum_fields, max_size=3),
    places=st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=20),
    phase=st.floats(-10, 10),
    resonance=st.floats(0, 1),
)
def test_it_is_the_definition_at_every_place(
    some: list[Any], sounding: list[Any], places: list[tuple[float, float]], phase: float, resonance: float
) -> None:
    sources = acting(*some, sounding=tuple(sounding))
    found = field.strength(sources, np.array(places), phase=phase, resonance=resonance)
    expected = [oracle.strength(x, y, some, sounding, AT, phase=phase, resonance=resonance) for x, y in places]
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=CLOSE)


@given(
    some=st.lists(particles, max_size=12),
    sounding=st.lists(quantum_fields, max_size=3),
    corner=st.tuples(coordinates, coordinates),
    size=st.tuples(st.floats(0.001, 200), st.floats(0.001, 200)),
    cells=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    together=st.sampled_from([1, 50, 65_536]),
    radius=st.sampled_from([0.5, 10.0, 1_000.0]),
)
def test_on_a_grid_it_is_that_of_the_centres(
    some: list[Any],
    sounding: list[Any],
    corner: tuple[float, float],
    size: tuple[float, float],
    cells: tuple[int, int],
    together: int,
    radius: float,
) -> None:
    sources = acting(*some, sounding=tuple(sounding))
    grid = Grid(*cells, Box(*corner, corner[0] + size[0], corner[1] + size[1]))
    with mock.patch.object(field, "_CELLS", together):
        found = field.strength_on(sources, grid, phase=0.3, resonance=0.8, radius=radius)
    expected = field.strength(sources, field.centres(grid), phase=0.3, resonance=0.8, radius=radius)
    np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=CLOSE)
    assert found.acting == expected.acting


def test_it_is_the_definition_on_a_full_field() -> None:
    """More places than are worked on at a time, and as many sources as there can be."""
    chance = random.Random(7)
    some = [
        particle(chance.uniform(0, 60), chance.uniform(0, 60), intensity=chance.random(), age=chance.randrange(900_000))
        for _ in range(1_000)
    ]
    sounding = [
        wave(chance.uniform(0, 60), chance.uniform(0, 60), chance.uniform(0, 8), chance.random(), chance.uniform(0, 7))
        for _ in range(10)
    ]
    grid = Grid(50, 40, Box(-15.0, -10.0, 75.0, 70.0))
    places = field.centres(grid)
    found = field.strength(acting(*some, sounding=tuple(sounding)), places, phase=0.3, resonance=0.8)
    assert len(places) == 2_000
    assert found.acting == 1_010
    expected = [oracle.strength(x, y, some, sounding, AT, phase=0.3, resonance=0.8) for x, y in places.tolist()]
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=CLOSE)
    by_windows = field.strength_on(acting(*some, sounding=tuple(sounding)), grid, phase=0.3, resonance=0.8)
    np.testing.assert_allclose(by_windows.values, expected, rtol=0, atol=CLOSE)
    assert by_windows.acting == 1_010


def test_nothing_acts_at_the_radius_and_beyond() -> None:
    near, at, beyond = felt(acting(particle(0)), (9.999, 0), (10, 0), (7.08, 7.08))
    assert near > 0
    assert (at, beyond) == (0.0, 0.0)
    assert felt(acting(particle(0)), (0, 0), (5, 0)) == [1.0, 0.5625]


def test_far_out_too() -> None:
    edge = field.BOUND
    assert felt(acting(particle(edge, -edge)), (edge, -edge), (edge - 5, -edge), (edge - 10, -edge)) == [1, 0.5625, 0]


def test_what_is_remembered_fades_and_what_is_to_come_is_new() -> None:
    ages = [0, field.HALF_LIFE_MS, 2 * field.HALF_LIFE_MS, -60_000]
    some = [particle(100.0 * number, age=age) for number, age in enumerate(ages)]
    assert felt(acting(*some), *((100.0 * number, 0.0) for number in range(4))) == [1.0, 0.5, 0.25, 1.0]


def test_waves_run_outwards_and_do_not_fade() -> None:
    sounding = wave(0, 0, 1.0, 2.0, math.pi / 2)
    old = acting(sounding=(sounding,))
    assert felt(old, (0, 0)) == [pytest.approx(0, abs=1e-12)]
    assert felt(old, (2.5, 0)) == [pytest.approx(2 * 0.9375**2)]  # a quarter of a wave later
    assert felt(old, (0, 0), phase=-math.pi / 2) == [pytest.approx(2.0)]
    assert felt(old, (5.0, 0), phase=math.pi / 2) == [pytest.approx(2 * 0.5625)]


def test_resonance_is_how_loud_all_of_it_is() -> None:
    sources = acting(particle(0), sounding=(wave(0, 0, 1, 1, 0),))
    assert felt(sources, (0, 0), resonance=0.25) == [0.5]
    assert felt(sources, (0, 0), resonance=0.0) == [0.0]


def test_an_empty_field_and_no_places() -> None:
    assert field.strength(acting(), np.zeros((3, 2))) == (pytest.approx(np.zeros(3)), 0)
    assert len(field.strength(acting(particle(0)), np.zeros((0, 2))).values) == 0
    assert field.strength(acting(particle(None, None)), np.zeros((1, 2))).acting == 0
    assert field.around(acting()) == (-10, -10, 10, 10)
    assert field.around(acting(particle(3, 4), particle(-2, 9))) == (-12, -6, 13, 19)


def test_cells_stand_row_by_row_from_below() -> None:
    centres = field.centres(Grid(3, 2, Box(0.0, 10.0, 6.0, 14.0)))
    assert centres.tolist() == [[1, 11], [3, 11], [5, 11], [1, 13], [3, 13], [5, 13]]


def test_the_common_phase_is_a_circular_mean() -> None:
    def fields(*phases: float) -> list[Any]:
        return reading({"data": {"phase": phase}} for phase in phases)

    assert field.common_phase([]) == 0.0
    assert field.common_phase(reading([{"data": {}}])) == 0.0
    assert field.common_phase(fields(3.0, 2 * math.pi - 3.0)) == pytest.approx(math.pi)
    assert field.common_phase(fields(0.1, 2 * math.pi + 0.3)) == pytest.approx(0.2)
    assert field.common_phase(fields(0.0, math.pi)) == 0.0
