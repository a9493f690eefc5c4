"""One run of a program of the peers: it says itself when it saw the first and the last event."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from tests.benchmarks.bench import broker
from tests.benchmarks.bench.figures import Run
from tests.benchmarks.bench.processes import POLL_S, Child, Failed
from tests.benchmarks.bench.rows import Row
from tests.benchmarks.bench.setup import JAVA, PEERS, Tools
from tests.benchmarks.bench.stage import Filled, Stage

JAVA_OPTIONS = (
    "-Xmx1g", "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)  # fmt: skip
"""The opens are what Flink asks for on Java 17."""


def command(row: Row, tools: Tools) -> list[str]:
    if row.kind in JAVA:
        return ["java", *JAVA_OPTIONS, "-cp", tools.classpaths[row.kind], JAVA[row.kind]]
    python = tools.python if row.kind == "python" else sys.executable
    return [python, str(PEERS / row.program), *row.arguments]


def start(row: Row, stage: Stage, topic: str, events: int, run_id: str, paced: bool = False) -> Child:
    """The program, reading that topic in a folder of its own."""
    folder = stage.folder / run_id
    folder.mkdir()
    environment = {
        "BROKER": stage.broker, "TOPIC": topic, "EVENTS": str(events), "RUN_ID": run_id, "FOLDER": str(folder),
        "PACED": str(int(paced)), **row.environment,
    }  # fmt: skip
    return Child(command(row, stage.tools), environment, stage.folder / f"{run_id}.log", folder)


def measure(row: Row, stage: Stage, source: Filled, limit_s: float) -> Run:
    """Start it, wait until it has said its result and ended, look at what it has written. Raises Failed."""
    run_id = stage.run_id(row.name)
    before = os.getloadavg()[0]
    child = start(row, stage, source.topic, source.events, run_id)
    until = time.monotonic() + limit_s
    try:
        while child.sample():
            if time.monotonic() > until:
                raise Failed(f"it took over {limit_s:.0f} s: {child.tail()}")
            time.sleep(POLL_S)
        found = result(child)
        if found is None:
            raise Failed(f"it ended with {child.process.returncode} and no result: {child.tail()}")
        rows, size, _ = asyncio.run(written(stage.broker, run_id))
    finally:
        child.end()
        asyncio.run(clear(stage.broker, run_id))
    return Run(
        events=found["events"], wall_s=found["wall_s"], cpu_s=found["cpu_s"], count=found["count"],
        sum_r=found["sum_r"], committed_s=found["committed_s"], rss_mb=child.rss_mb, load_average=before,
        changelog_rows=rows or None, changelog_bytes=size or None, checkpoint_bytes=found.get("checkpoint_bytes"),
        details={name: found[name] for name in ("checkpoints",) if name in found},
    )  # fmt: skip


def result(child: Child) -> dict[str, Any] | None:
    """What the program has said at its end; None before."""
    line = child.said("RESULT ")
    return None if line is None else dict(json.loads(line))


async def written(address: str, run_id: str) -> tuple[int, int, int]:
    """Changelog rows, their bytes, and the bytes of everything else in the topics of a run."""
    rows = size = other = 0
    for topic in await broker.containing(address, run_id):
        found = await broker.payload(address, topic)
        if "changelog" in topic:
            rows, size = rows + found[0], size + found[1]
        else:
            other += found[1]
    return rows, size, other


async def clear(address: str, run_id: str) -> None:
    """Delete the topics of a run."""
    await broker.remove(address, await broker.containing(address, run_id))
