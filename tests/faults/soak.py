"""The long forms: ``python -m tests.faults.soak --hours H --seed S [--only WORDS] [--report FOLDER]`` (``make soak``).

All scenarios in rounds, each round another seed, until the time is up; beside them one stack under a steady load that
nobody touches, whose memory is the curve. Needs parts: those of TEST_PARTS, else its own. Writes ``soak.md`` and
``soak.json`` into FOLDER (.field/soak) after every round; ends with 1 when anything differed or was not met.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from streams.settings import Settings
from tests.faults import soak_report
from tests.faults.scenarios import Place, Scenario, scenarios
from tests.faults.steady import Steady
from tests.fixtures import parts as parts_of_tests
from tests.fixtures.postgres import _with_name

SECONDS = 150.0
"""About what one scenario takes in a round, two minutes of coming and going for instance."""
LONGER = {"worker killed": 4.0}
"""Times SECONDS: a hundred kills in one stream."""
LEAST_S = 60.0
"""With less time left no scenario is begun."""
HANGS_S = 2_400.0
"""A scenario that takes longer hangs: a difference like any other."""


@dataclass
class Instances:
    """Settings of fresh instances; their databases go at the end."""

    parts: Settings
    home: Path
    databases: list[str]

    def make(self, **over: Any) -> Settings:
        """As the fixture ``make_settings`` does it."""
        name = f"soak{os.getpid()}-{next(_numbers)}"
        database = name.replace("-", "_")
        with psycopg.connect(_with_name(self.parts.database_url, "postgres"), autocommit=True) as server:
            server.execute(f"CREATE DATABASE {database}".encode())
        self.databases.append(database)
        chosen: dict[str, Any] = {
            "generation": name, "events_topic": f"{name}.events", "changes_topic": f"{name}.changes",
            "rejected_topic": f"{name}.rejected", "home": str(self.home / name), "parts": "none",
            "database_url": _with_name(self.parts.database_url, database),
            "worker_metrics_port": 0, "projector_metrics_port": 0, "publisher_metrics_port": 0,
        }  # fmt: skip
        return replace(self.parts, **(chosen | over))

    def drop(self, keep: int = 0) -> None:
        """All databases but the first ``keep``, with the logs of their instances."""
        with psycopg.connect(_with_name(self.parts.database_url, "postgres"), autocommit=True) as server:
            for name in self.databases[keep:]:
                server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        del self.databases[keep:]


_numbers = itertools.count()


async def soak(instances: Instances, words: argparse.Namespace, folder: Path) -> int:
    """Rounds until the time is up; how many scenarios did not end well."""
    end = time.monotonic() + words.hours * 3600
    chosen = [(name, play) for name, play in scenarios() if words.only in name]
    rounds: list[soak_report.Round] = []
    seeds = itertools.count(words.seed)
    async with Steady(instances.make(), words.seed) as steady:
        for name, play in itertools.cycle(chosen):
            left = end - time.monotonic()
            if left < LEAST_S:
                break
            seconds = min(SECONDS * LONGER.get(name, 1.0), left - LEAST_S / 2)
            found = await _play(name, play, Place(instances.make, next(seeds), seconds))
            rounds.append(found)
            print(soak_report.line(found), flush=True)
            soak_report.write(folder, words, rounds, steady)
            instances.drop(keep=1)
        calm = await _play("steady stack", lambda _: steady.finish(), Place(instances.make, words.seed))
        rounds.append(calm)
        print(soak_report.line(calm), flush=True)
    soak_report.write(folder, words, rounds, steady)
    return sum(not one.well for one in rounds) + len(soak_report.not_met(soak_report.summarize(rounds, steady)))


async def _play(name: str, play: Scenario, place: Place) -> soak_report.Round:
    began = time.monotonic()
    try:
        figures = await asyncio.wait_for(play(place), HANGS_S)
        return soak_report.Round(name, place.seed, time.monotonic() - began, figures, "")
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        return soak_report.Round(name, place.seed, time.monotonic() - began, {}, message[:4_000])


@contextmanager
def parts_for_a_while() -> Iterator[Settings]:
    """Running parts; our own are stopped and deleted at the end."""
    session = parts_of_tests._of_session()
    try:
        yield session.start()
    finally:
        parts_of_tests.pytest_unconfigure()


def main() -> int:
    """The exit code: 1 when anything differed, or took longer than it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="scenarios with these words in their names")
    parser.add_argument("--report", type=Path, default=Path(".field") / "soak")
    words = parser.parse_args()
    words.report.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="soak-"))
    with parts_for_a_while() as parts:
        instances = Instances(parts, home, [])
        try:
            failed = asyncio.run(soak(instances, words, words.report))
        finally:
            instances.drop()
    if failed:
        print(f"{failed} did not end well; logs of the processes: {home}; report: {words.report}", file=sys.stderr)
    else:
        shutil.rmtree(home, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
