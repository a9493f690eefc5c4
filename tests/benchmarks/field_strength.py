"""How fast the field is computed on a grid: by windows, by the tree that points take, by comparing all with all.

    .venv/bin/python -m tests.benchmarks.field_strength --grid 64

Needs no store. Medians of some rounds, in one thread. The particles (and 40 harmonics) lie in a square of 100 x 100,
ten times the radius; ``--side`` makes it another one. ``brute`` is numpy over the whole table of places and sources;
the slower ways are left out where they would take long, but some cells are always compared with all sources. Then all
patterns of a page.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from projections import field
from projections.field import Box, Floats, Grid, Sources
from projections.gateway import digging
from projections.gateway.digging import KINDS, Row, Window
from projections.patterns import EVENTS_MAX

HARMONICS: Final = 40
LOOKED_AT: Final = 200
TREE_MAX: Final = 10_000
BRUTE_MAX: Final = 1_000


def brute(acting: Sources, places: Floats, phase: float, resonance: float) -> Floats:
    """The definition, all pairs at once."""
    apart = np.linalg.norm(places[:, None, :] - acting.places[None, :, :], axis=2)
    falloff = np.where(apart < field.RADIUS, (1 - (apart / field.RADIUS) ** 2) ** 2, 0.0)
    turns = 2 * np.pi * acting.waves * apart / field.RADIUS
    waves = np.cos(acting.phases + phase - turns)
    waves[:, : acting.particles] = 1.0
    values: Floats = resonance * (acting.weights * falloff * waves).sum(axis=1)
    return values


def median_ms(rounds: int, work: Callable[[], object]) -> float:
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took)


def rows(count: int) -> list[Row]:
    """Newest first, as a busy hour has them."""
    chance = np.random.default_rng(1)
    kinds = chance.choice(["BREATH"] * 6 + ["TOUCH", "SPIRAL", "BLOOM", "SACRED_PHRASE"], count).tolist()
    at = np.sort(chance.integers(0, 3_600_000, count))[::-1].tolist()
    devices, room = chance.integers(0, 200, count).tolist(), chance.integers(0, 20, count).tolist()
    phases = chance.uniform(0, 6, count).tolist()
    return [
        Row(at[n], kinds[n], f"d{devices[n]}", f"r{room[n]}", 0.5, phases[n] if kinds[n] == "BREATH" else None, None)
        for n in range(count)
    ]


def acting(particles: int, side: float) -> Sources:
    """Particles and 40 harmonics, anywhere in the square."""
    chance, count = np.random.default_rng(1), particles + HARMONICS
    return Sources(
        chance.uniform(0, side, (count, 2)), chance.random(count), chance.uniform(0, 8, count),
        chance.uniform(0, 6, count), particles,
    )  # fmt: skip


def compared(particles: int, cells: int, side: float, rounds: int) -> str:
    """A row of the table."""
    sources, grid = acting(particles, side), Grid(cells, cells, Box(0.0, 0.0, side, side))
    places = field.centres(grid)
    found = field.strength_on(sources, grid, phase=0.5, resonance=0.5).values
    some = np.random.default_rng(2).choice(len(places), LOOKED_AT, replace=False)
    apart = float(np.abs(found[some] - brute(sources, places[some], 0.5, 0.5)).max())
    ways = {
        "windows": (math.inf, lambda: field.strength_on(sources, grid, phase=0.5, resonance=0.5)),
        "tree": (TREE_MAX, lambda: field.strength(sources, places, phase=0.5, resonance=0.5)),
        "brute": (BRUTE_MAX, lambda: brute(sources, places, 0.5, 0.5)),
    }
    took = [f"{median_ms(rounds, work):.2f}" if particles <= most else "" for most, work in ways.values()]
    return f"| {particles:,} | {' | '.join(took)} | {apart:.0e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, default=64)
    parser.add_argument("--side", type=float, default=100.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"{given.grid} x {given.grid} cells, milliseconds\n")
    print("| particles | windows | tree | brute | largest difference |\n| --- | --- | --- | --- | --- |")
    for particles in (20, 1_000, 10_000, 100_000):
        print(compared(particles, given.grid, given.side, given.rounds), flush=True)
    found = rows(EVENTS_MAX)
    for kind in KINDS:
        kind_ms = median_ms(given.rounds, lambda kind=kind: digging.encoded(found, Window(None, 3_600_000), (kind,)))
        print(f"{kind} of {EVENTS_MAX} events: {kind_ms:.0f} ms")


if __name__ == "__main__":
    main()
