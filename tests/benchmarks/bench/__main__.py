"""The field beside what people would pick instead: one command, one run, a table, JSON and pictures.

    python -m tests.benchmarks.bench                             everything (an hour and more)
    python -m tests.benchmarks.bench --rows 'ours-*,flink-heap-*' --events 100000 --runs 1

It brings Kafka, PostgreSQL and Redis of its own (or takes those of TEST_PARTS), fills the topics with the same seeded
events and runs the rows one after the other, each once before any runs again. A run whose state does not hold
every event exactly once is INVALID.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from aiokafka.errors import KafkaError

from deploy.cli import INTERRUPTED
from deploy.local import kafka, loopback
from streams.errors import FieldError
from streams.settings import Settings, read
from tests.benchmarks.bench import figures, machine, ours, paced, peers, picture, rows, setup, table
from tests.benchmarks.bench.processes import Failed
from tests.benchmarks.bench.rows import Row
from tests.benchmarks.bench.setup import JAVA, ROOT
from tests.benchmarks.bench.stage import Stage
from tests.fixtures.parts import Session

FAILURES = (Failed, FieldError, OSError, KafkaError, psycopg.Error)
"""A contender, or what it stands on, has failed: the row says so and the others go on."""
MEASURE = {"worker": ours.worker, "projector": ours.projector, "copy": ours.copy}
SLOWEST_PER_S = 500
"""A contender that is slower than this is ended."""
HEADROOM = 1.2
"""A contender must be so much faster than the load of a paced run to take part in it."""
PICTURES = {
    "events_per_s": "Events a second, first to last event",
    "cpu_s_per_million": "CPU seconds for a million events",
    "rss_mb": "Memory, MB",
    "changelog_bytes_per_event": "Bytes of changelog, or of checkpoint files, an event",
    "folded_ms": "Milliseconds from sending to folded, p50 with p99",
    "durable_ms": "Milliseconds from sending to durable, p50 with p99",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="", help="names or patterns, comma separated (default: all)")
    parser.add_argument("--list", action="store_true", help="the names of all rows, and nothing else")
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=int, default=20_000, help="events a second of the paced runs; 0: none of them")
    parser.add_argument("--seconds", type=int, default=20, help="length of a paced run")
    parser.add_argument("--out", type=Path, default=ROOT / ".field" / "bench", help="folder of results")
    given = parser.parse_args()
    for name in ("events", "devices", "runs", "seconds"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} is under 1")
    try:
        given.chosen = rows.chosen([name.strip() for name in given.rows.split(",") if name.strip()])
    except ValueError as error:
        parser.error(str(error))
    return given


class Bench:
    """The results as they grow; written after every run."""

    def __init__(self, given: argparse.Namespace, stage: Stage, versions: dict[str, str]) -> None:
        self.given = given
        self.stage = stage
        self.runs: dict[str, list[figures.Run]] = {row.name: [] for row in given.chosen}
        self.latency: dict[str, dict[str, Any]] = {}
        self.head = {"format": 1, "begun": time.time(), "machine": machine.machine(), "versions": versions}

    def run(self, row: Row) -> None:
        """One run of a row; a failure is a result too."""
        count = max(1, round(self.given.events * row.share))
        source = self.stage.filled(row.form, count)
        before = os.getloadavg()[0]
        try:
            measure = MEASURE.get(row.kind, peers.measure)
            found = measure(row, self.stage, source, 120 + count / SLOWEST_PER_S)
            found.problem = figures.problem(found, source.events, source.sum_r)
        except FAILURES as error:
            found = figures.failed(str(error), before)
        self.runs[row.name].append(found)
        speed = f"{found.events / found.wall_s:,.0f} events/s" if not found.problem else f"INVALID: {found.problem}"
        say(f"{row.name:<24} {speed}  (load average {found.load_average:.1f})")
        self.write()

    def pace(self, row: Row) -> None:
        """The paced run of a row, if it can hold the load."""
        speed = figures.summaries(self.runs[row.name])["events_per_s"]
        found: dict[str, Any] = {"problem": "", "folded_ms": None, "durable_ms": None}
        if speed is None or speed["median"] < HEADROOM * self.given.rate:
            found["problem"] = "too slow" if speed else "no valid run"
        else:
            try:
                found |= paced.measure(row, self.stage, self.given.rate, self.given.seconds, 120.0)
            except FAILURES as error:
                found["problem"] = str(error)
        self.latency[row.name] = found
        say(f"{row.name:<24} {found['problem'] or (found['folded_ms'], found['durable_ms'])}")
        self.write()

    def results(self) -> dict[str, Any]:
        """As ``results.schema.json`` says."""
        names = ("events", "devices", "runs", "rate", "seconds")
        inputs = {
            form: {"events": one.events, "bytes": one.bytes, "bytes_per_event": one.bytes / one.events}
            for (form, _), one in sorted(self.stage.topics.items())
        }
        loads = [run.load_average for runs in self.runs.values() for run in runs]
        return self.head | {
            "given": {name: getattr(self.given, name) for name in names},
            "inputs": inputs,
            "load_average": {"min": min(loads, default=0.0), "max": max(loads, default=0.0)},
            "rows": [self._row(row) for row in self.given.chosen if self.runs[row.name]],
        }

    def _row(self, row: Row) -> dict[str, Any]:
        runs = self.runs[row.name]
        problem = next((run.problem for run in runs if run.problem), "")
        plain = {
            name: getattr(row, name)
            for name in ("name", "title", "guarantee", "kind", "fold", "form", "interval", "processes", "share")
        }
        return plain | {
            "valid": not problem,
            "problem": problem,
            "figures": figures.summaries(runs),
            "latency": self.latency.get(row.name),
            "runs": [run.plain() for run in runs],
        }

    def write(self) -> None:
        """The JSON, the table and the pictures."""
        found, out = self.results(), self.given.out
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_text(json.dumps(found, indent=2) + "\n")
        (out / "results.md").write_text(table.markdown(found) + "\n")
        for name, title in PICTURES.items():
            if drawn := picture.bars(found, name):
                (out / f"{name}.svg").write_text(picture.svg(title, drawn))


def say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


def session() -> Session:
    """Parts of our own; the tests sweep them away should we be killed. Those of TEST_PARTS where it is set."""
    if path := os.environ.get("TEST_PARTS"):
        return Session(read({**json.loads(Path(path).read_text()), "FIELD_PARTS": "none"}), ours=False)
    os.environ.setdefault(kafka.JOINING, "5000")  # several of ours begin together
    ports = [loopback.free() for _ in range(3)]
    return Session(
        Settings(
            kafka_brokers=f"127.0.0.1:{ports[0]}",
            database_url=f"postgresql://field:field@127.0.0.1:{ports[1]}/field",
            redis_port=ports[2],
            home=str(ROOT / ".field" / f"test-{os.getpid()}"),
            parts=os.environ.get("FIELD_PARTS", "auto"),
            fold="compiled",  # ours is never the simple one by chance
        ),
        ours=True,
    )


def main() -> int:
    given = arguments()
    if given.list:
        print("\n".join(f"{row.name:<24} {row.title}" for row in given.chosen))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    java = any(row.kind in JAVA for row in given.chosen)
    tools = setup.bring(say, java)
    parts = session()
    try:
        settings = parts.start()
        with tempfile.TemporaryDirectory(prefix="field-bench-") as folder:
            stage = Stage(settings, tools, Path(folder), f"bench-{time.time_ns() % 10**9}", given.devices)
            bench = Bench(given, stage, machine.versions(settings, java))
            for number in range(given.runs):
                say(f"run {number + 1} of {given.runs}")
                for row in given.chosen:
                    bench.run(row)
            for row in given.chosen:
                if row.paced and given.rate:
                    bench.pace(row)
    except FieldError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"bench: stopped; what there is is in {given.out}", file=sys.stderr)
        return INTERRUPTED
    finally:
        parts.end()
    found = bench.results()
    print(table.markdown(found))
    print(f"\nresults and pictures are in {given.out}")
    return 0 if all(row["valid"] for row in found["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
