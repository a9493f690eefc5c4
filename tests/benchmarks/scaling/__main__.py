"""How cost grows: with devices, with workers and partitions, with load. A table and JSON.

    python -m tests.benchmarks.scaling                          everything (about half an hour)
    python -m tests.benchmarks.scaling devices --devices 1000000 --shards 64,1024
    python -m tests.benchmarks.scaling workers --forms frame --partitions 4,16 --workers 1,2
    python -m tests.benchmarks.scaling load --rates 5000,20000,50000

It brings Kafka, PostgreSQL and Redis of its own (or takes those of TEST_PARTS). The file (--out) keeps the last rows of
each part. Broker, publisher and workers share the cores of the machine: more processes than cores do not add up.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from deploy.cli import INTERRUPTED
from streams.errors import FieldError
from tests.benchmarks.bench import figures, machine, ours, paced, rows, setup
from tests.benchmarks.bench.__main__ import FAILURES, say, session
from tests.benchmarks.bench.setup import ROOT
from tests.benchmarks.bench.stage import RECORD_EVENTS, Stage
from tests.benchmarks.scaling import devices, report

LIMIT_S = 300.0
"""For one row."""
ROOM_DEVICES = 10
"""Devices to a room, half of them in rooms: 100,000 rooms at a million, none under that."""
MILLION = 1_000_000


def numbers(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise ValueError(text)
    return found


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--devices", type=numbers, default=[10_000, 100_000, MILLION])
    parser.add_argument("--shards", type=numbers, default=[], help="a partition (default: as advised for the devices)")
    parser.add_argument("--events", type=int, default=3_000_000, help="of a row of devices or workers")
    parser.add_argument("--live-rate", type=int, default=2_000, help="events/s after a recovery")
    parser.add_argument("--seconds", type=int, default=10, help="of live events, and of a paced run")
    parser.add_argument("--forms", default="frame,json", help="json, frame")
    parser.add_argument("--workers", type=numbers, default=[1, 2, 4])
    parser.add_argument("--partitions", type=numbers, default=[4, 16, 64])
    parser.add_argument("--rates", type=numbers, default=[1_000, 5_000, 20_000, 50_000, 100_000, 150_000])
    parser.add_argument("--out", type=Path, default=ROOT / ".field" / "bench" / "scaling.json")
    found = parser.parse_args(given)
    found.parts = found.parts or list(PARTS)
    found.forms = found.forms.split(",")
    if unknown := [name for name in found.parts if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]}")
    if unknown := [name for name in found.forms if name not in RECORD_EVENTS]:
        parser.error(f"there is no form {unknown[0]}")
    if min(found.events, found.live_rate, found.seconds) < 1:
        parser.error("a number is under 1")
    return found


def by_devices(stage: Stage, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for count in given.devices:
        for shards in given.shards or [devices.advised_shards(count, stage.partitions)]:
            rooms = count // ROOM_DEVICES if count >= MILLION else 0
            size = devices.Size(count, shards, max(given.events, count), rooms)
            run = partial(devices.measure, stage, size, given.live_rate, given.seconds, LIMIT_S)
            yield attempt({"devices": count, "shards": shards}, run)


def by_workers(stage: Stage, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for form in given.forms:
        for partitions in given.partitions:
            here = replace(stage, name=f"{stage.name}-{partitions}", partitions=partitions, topics={})
            for workers in given.workers:
                run = partial(working, here, form, workers, given.events)
                yield attempt({"form": form, "partitions": partitions, "workers": workers}, run)


def working(stage: Stage, form: str, workers: int, events: int) -> dict[str, Any]:
    """So many workers fold a topic together, as in a row of the bench."""
    source = stage.filled(form, events)
    row = rows.Row(f"{form}-{workers}", "", rows.ONCE, "worker", "all tables", form, processes=workers)
    found = ours.worker(row, stage, source, LIMIT_S)
    found.problem = figures.problem(found, source.events, None)
    return found.plain()


def by_load(stage: Stage, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    (row,) = rows.chosen(["ours-json"])
    for rate in sorted(given.rates):
        found = attempt({"asked": rate}, partial(paced.measure, row, stage, rate, given.seconds, LIMIT_S))
        yield found
        if report.beyond_knee(found):
            return


PARTS: dict[str, Callable[[Stage, argparse.Namespace], Iterator[dict[str, Any]]]] = {
    "devices": by_devices,
    "workers": by_workers,
    "load": by_load,
}


def attempt(names: dict[str, Any], run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A row; a failure is a result too."""
    try:
        return {"problem": ""} | run() | names
    except FAILURES as error:
        return names | {"problem": str(error)}


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = json.loads(given.out.read_text()) if given.out.exists() else {"format": 1}
    tools = setup.bring(say, java=False)
    parts = session()
    try:
        settings = parts.start()
        results |= {"machine": machine.machine(), "versions": machine.versions(settings, java=False)}
        with tempfile.TemporaryDirectory(prefix="field-scaling-") as folder:
            stage = Stage(settings, tools, Path(folder), f"scaling-{time.time_ns() % 10**9}", 10_000)
            for part in given.parts:
                measured: list[dict[str, Any]] = []
                for row in PARTS[part](stage, given):
                    measured.append(row)
                    say(f"{part}: {row}")
                    results[part] = {"at": time.time(), "command": " ".join(sys.argv[1:]), "rows": measured}
                    given.out.parent.mkdir(parents=True, exist_ok=True)
                    given.out.write_text(json.dumps(results, indent=2) + "\n")
    except FieldError as error:
        print(f"scaling: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"scaling: stopped; what there is is in {given.out}", file=sys.stderr)
        return INTERRUPTED
    finally:
        parts.end()
    for part in given.parts:
        print(f"\n{part}\n\n{report.table(part, results[part]['rows'])}")
    print(f"\nthe figures are in {given.out}")
    return int(any(row["problem"] for part in given.parts for row in results[part]["rows"]))


if __name__ == "__main__":
    sys.exit(main())
