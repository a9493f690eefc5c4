"""How often dashboards find a field calculation there already, and how much memory a full cache takes.

    .venv/bin/python -m tests.benchmarks.field_load --dashboards 50 --seconds 20

Needs no store: the gateway's calculator over a field of 1,000 particles that moves on every ``--moves-ms``
(``FIELD_PUBLISH_MS``). Every dashboard asks every ``--asks-s``, beginning at random: four of five for the whole field
on 64 x 64, the others for one of ten rooms' boxes on 32 x 32. Then the cache is filled with the largest answers.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from projections.field import Box
from projections.gateway.calculator import Asked, Calculator
from streams.settings import Settings

CELLS = 128


@dataclass
class Field:
    """What a calculator looks at, and where it stands."""

    particles: list[Any]
    at: int = 0
    positions: dict[int, int] = field(default_factory=lambda: {0: 0})
    generation: str = "live"
    global_resonance: float = 0.5
    quantum_fields: tuple[Any, ...] = ()

    def move(self) -> None:
        self.at += 1
        self.positions = {0: self.at}


def seen(count: int = 1_000) -> Field:
    chance = random.Random(1)
    return Field(
        [
            SimpleNamespace(x=chance.uniform(0, 100), y=chance.uniform(0, 100), intensity=0.5, timestamp=0, data={})
            for _ in range(count)
        ]
    )


async def dashboards(given: argparse.Namespace) -> None:
    chance, look, calculator = random.Random(2), seen(), Calculator(Settings())
    until, cached, took = time.monotonic() + given.seconds, 0, list[float]()

    async def moves() -> None:
        while time.monotonic() < until:
            await asyncio.sleep(given.moves_ms / 1000)
            look.move()

    async def dashboard(number: int) -> None:
        nonlocal cached
        corner = 10.0 * (number // 5 % 10)
        room = Asked(32, 32, Box(corner, corner, corner + 10.0, corner + 10.0))
        await asyncio.sleep(chance.uniform(0, given.asks_s))
        while time.monotonic() < until:
            began = time.perf_counter()
            found = await calculator.strength(look, look.positions, room if number % 5 == 0 else Asked())
            took.append(1000 * (time.perf_counter() - began))
            cached += found.cached
            await asyncio.sleep(given.asks_s)

    await asyncio.gather(moves(), *(dashboard(number) for number in range(given.dashboards)))
    took.sort()
    print(f"{len(took)} questions, {cached / len(took):.0%} there already;", end=" ")
    print(f"ms p50 {statistics.median(took):.2f}, p99 {took[int(0.99 * len(took))]:.2f}")


async def full() -> None:
    settings = Settings()
    look, calculator = seen(), Calculator(settings)
    for number in range(settings.strength_kept + 1):
        await calculator.strength(look, {0: number}, Asked(CELLS, CELLS))
    kept = [bytes(one.result.values) for one in calculator._kept.values()]
    print(f"{len(kept)} answers kept of {CELLS} x {CELLS} cells: {sum(map(len, kept)) / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dashboards", type=int, default=50)
    parser.add_argument("--asks-s", type=float, default=2.0)
    parser.add_argument("--moves-ms", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    asyncio.run(dashboards(parser.parse_args()))
    asyncio.run(full())


if __name__ == "__main__":
    main()
