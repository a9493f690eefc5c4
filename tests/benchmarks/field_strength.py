"""How fast the field is computed, by the tree and by comparing everything with everything; and all patterns of a page.

    .venv/bin/python -m tests.benchmarks.field_strength --particles 1000 --grid 128

Needs no store. Medians of some rounds, in one thread. ``brute`` is numpy over the whole table of places and sources;
both are compared. The particles lie in a square of 100 x 100, ten times the radius; ``--side`` makes it another one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from projections import field
from projections.field import Box, Floats, Grid, Sources
from projections.gateway import digging
from projections.gateway.digging import KINDS, Row, Window
from projections.patterns import EVENTS_MAX


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=1_000)
    parser.add_argument("--grid", type=int, default=128)
    parser.add_argument("--side", type=float, default=100.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    chance = np.random.default_rng(1)
    count = given.particles + 40
    acting = Sources(
        chance.uniform(0, given.side, (count, 2)), chance.random(count), chance.uniform(0, 8, count),
        chance.uniform(0, 6, count), given.particles,
    )  # fmt: skip
    places = field.centres(Grid(given.grid, given.grid, Box(0.0, 0.0, given.side, given.side)))
    by_tree = field.strength(acting, places, phase=0.5, resonance=0.5).values
    apart = float(np.abs(by_tree - brute(acting, places, 0.5, 0.5)).max())
    tree_ms = median_ms(given.rounds, lambda: field.strength(acting, places, phase=0.5, resonance=0.5))
    brute_ms = median_ms(given.rounds, lambda: brute(acting, places, 0.5, 0.5))
    print(f"{count} sources, {len(places)} places: tree {tree_ms:.1f} ms, brute {brute_ms:.1f} ms,", end=" ")
    print(f"{brute_ms / tree_ms:.1f} times; largest difference {apart:.1e}")
    found = rows(EVENTS_MAX)
    for kind in KINDS:
        kind_ms = median_ms(given.rounds, lambda kind=kind: digging.encoded(found, Window(None, 3_600_000), (kind,)))
        print(f"{kind} of {EVENTS_MAX} events: {kind_ms:.0f} ms")


if __name__ == "__main__":
    main()
