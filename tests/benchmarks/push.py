"""From a device's request to its durable acknowledgement, and to everybody who listens.

    .venv/bin/python -m tests.benchmarks.push --rate 5000 --connections 100 --runs 5

Needs a stack (``make up``, or FIELD_HOME of one). As many connections publish, each a device's with requests of
``--batch`` events at an even pace, as listen to everything, over SSE and WebSocket in equal parts. All clients are
processes of their own (``push_clients``). A delay is counted from the moment at which a request leaves.

Beside it in the same run stands the floor: the same events as records of aiokafka, acknowledged by all replicas and
read again, once by itself before (``alone``) and, a few a second, during the load (``beside``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from importlib.metadata import version
from operator import getitem
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace as change

from deploy import context, processes
from streams import topics
from streams.settings import Settings
from tests.benchmarks.push_clients import Task

TOPIC = "field-bench-floor"
PROBES_PER_S = 40
WARM_S = 2.0
STAGES = ("gateway_acknowledged", "push")
ROLES = ("gateway", "worker", "projector", "publisher")


class Client:
    """A process of ``push_clients``, ready."""

    def __init__(self, role: str, task: Task, words: Sequence[str] = ()) -> None:
        words = words or ["-m", "tests.benchmarks.push_clients", role, msgspec.json.encode(task).decode()]
        self.process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        if (said := self.process.stdout.readline().strip()) != "ready":
            raise SystemExit(f"{role} did not come so far: {said}")

    def go(self) -> None:
        """The line that it waits for."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """What it prints at its end."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.process.wait(30)
        return found


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_s() -> float:
    """CPU seconds of everybody on this machine."""
    fields = [int(one) for one in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def pids(home: str) -> dict[str, int]:
    """Of the stack's processes; GATEWAY_PID names another gateway, at FIELD_GATEWAY_PORT, to compare it with."""
    found = {one.role: one.pid for one in processes.read_all(Path(home)) if one.role in ROLES}
    return found | ({"gateway": int(os.environ["GATEWAY_PID"])} if "GATEWAY_PID" in os.environ else {})


def stages(settings: Settings) -> dict[str, tuple[float, float]]:
    """Sum (s) and count of the gateway's own histograms."""
    url = f"http://{settings.metrics_host}:{settings.gateway_metrics_port}/metrics"
    with urllib.request.urlopen(url) as answer:
        lines = dict(text.rsplit(" ", 1) for text in answer.read().decode().splitlines() if text[:1] != "#")
    return {
        name: (float(lines[f"field_{name}_seconds_sum"]), float(lines[f"field_{name}_seconds_count"]))
        for name in STAGES
    }


def run(settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    """One run: the floor by itself, then the load."""
    here = Task(settings.gateway_host, settings.gateway_port, given.connections, batch=given.batch, over=given.over)
    floor = change(here, brokers=settings.kafka_brokers, topic=TOPIC, rate=given.rate / given.batch)
    alone = Client("probe", change(floor, seconds=max(2.0, given.seconds / 4))).result()
    ears = Client("listen", change(here, sample=given.sample))
    warm = Client("speak", change(here, rate=given.rate, seconds=WARM_S))
    warm.go()
    warmed = warm.result()["events"]
    beside = Client("probe", change(floor, rate=PROBES_PER_S))
    mouths = Client("speak", change(here, rate=given.rate, seconds=given.seconds))
    before = Before(settings)
    mouths.go()
    spoken = mouths.result()
    used = before.since()
    beside.go()
    time.sleep(1.0)
    ears.go()
    heard, floor_beside = ears.result(), beside.result()
    return {
        "publish_to_push": heard["pushed"],
        "publish_to_acknowledgement": spoken["acknowledged"],
        "log_to_push": heard["from_log"],
        "floor_alone": alone,
        "floor_beside": floor_beside,
        "missed": warmed + spoken["events"] - heard["heard_by_one"],
        "speakers": {name: spoken[name] for name in ("events_per_s", "refused_requests", "late_ms_max", "cores")},
        "listeners": {name: heard[name] for name in ("let_go", "chunks_per_s", "mb_per_s", "cores")},
        **used,
        "gateway_cpu_us_per_event": round(1e6 * used["cores"]["gateway"] * used["took_s"] / spoken["events"], 1),
    }


class Before:
    """What everybody had used before the load."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._roles = pids(settings.home)
        self._cpu_s = {role: cpu_s(pid) for role, pid in self._roles.items()}
        self._busy_s, self._stages, self._began = busy_s(), stages(settings), time.monotonic()

    def since(self) -> dict[str, Any]:
        """Cores by process and of the whole machine, and the means of the gateway's own histograms (ms)."""
        took_s = time.monotonic() - self._began
        used = {role: (cpu_s(pid) - self._cpu_s[role]) / took_s for role, pid in self._roles.items()}
        means = {}
        for name, (total, count) in stages(self._settings).items():
            before, counted = self._stages[name]
            means[f"{name}_mean_ms"] = round(1e3 * (total - before) / max(1.0, count - counted), 2)
        return {
            "took_s": round(took_s, 1),
            "cores": {role: round(cores, 2) for role, cores in used.items()}
            | {"all_of_the_machine": round((busy_s() - self._busy_s) / took_s, 2)},
            "gateway_says": means,
        }


ROWS = (
    ("publish to push", ("publish_to_push",)),
    ("publish to acknowledgement", ("publish_to_acknowledgement",)),
    ("of the push: log to listener", ("log_to_push",)),
    ("floor alone, acknowledged", ("floor_alone", "acknowledged")),
    ("floor alone, read", ("floor_alone", "read")),
    ("floor beside, acknowledged", ("floor_beside", "acknowledged")),
    ("floor beside, read", ("floor_beside", "read")),
)


def table(runs: list[dict[str, Any]]) -> str:
    """Milliseconds: median of the runs, the best quarter's, the least and the most."""
    out = [
        f"| ms: median of {len(runs)} runs / best quarter (least-most) | p50 | p95 | p99 |",
        "| --- | --- | --- | --- |",
    ]
    for name, path in ROWS:
        cells = []
        for figure in ("p50_ms", "p95_ms", "p99_ms"):
            values = sorted(reduce(getitem, path, one).get(figure, 0.0) for one in runs)
            quarter = values[(len(values) - 1) // 4]
            cells.append(f"{statistics.median(values):.1f} / {quarter:.1f} ({values[0]:.1f}-{values[-1]:.1f})")
        out.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(out)


def versions() -> dict[str, str]:
    names = ("uvicorn", "uvloop", "httptools", "websockets", "aiokafka", "msgspec", "redis")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    parser.add_argument("--batch", type=int, default=10, help="events in a request")
    parser.add_argument("--connections", type=int, default=100, help="so many publish, and so many others listen")
    parser.add_argument("--over", choices=("sse", "ws", "both"), default="both", help="what listeners come over")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--sample", type=int, default=20, help="listeners look into one of so many chunks")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    settings = context.load()
    if not pids(settings.home):
        raise SystemExit(f"no processes in {settings.home}: make up, or FIELD_HOME of a stack that runs")
    asyncio.run(topics.create(replace(settings, events_topic=TOPIC), only=(TOPIC,)))
    runs = [run(settings, given) for _ in range(given.runs)]
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    print(json.dumps({"machine": machine, "versions": versions(), **vars(given), "runs": runs}, indent=2))
    print(table(runs), file=sys.stderr)


if __name__ == "__main__":
    main()
