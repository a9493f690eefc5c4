"""Latency at a stated load: events come at a rate, the second half of them is looked at.

*folded*: from just before an event is handed to the producer until it is in the engine's state in memory. The
programs of the peers compare the event's timestamp with the wall clock when they have folded it (every 16th); of the
field's workers the counter of folded events is read every 20 ms, in the order of sending.

*durable*: until the group's committed offset has passed it, looked at every 20 ms: of Kafka Streams, Quix and the field
that comes after the acknowledged changelog, of Flink after a completed checkpoint. Bytewax commits nothing to Kafka.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from streams import topics
from tests.benchmarks.bench import broker, load, ours, peers
from tests.benchmarks.bench.figures import delays_ms, percentiles
from tests.benchmarks.bench.processes import POLL_S, Child, Daemons, Failed
from tests.benchmarks.bench.rows import Row
from tests.benchmarks.bench.setup import ROOT
from tests.benchmarks.bench.stage import Stage, numbers, own

LOOK_S = 0.02
DURABLE_S_MAX = 60.0
"""After the last event; Kafka Streams commits every 30 s where it is at least once."""
UNCOMMITTED = ("bytewax",)


@dataclass
class Contender:
    """What is looked at: processes of ours or a program of the peers, and their consumer group."""

    children: list[Child]
    group: str
    daemons: Daemons | None = None

    def folded(self) -> int:
        """Events in the state; of a program 1 once it has the first and all of them once it has said its result."""
        if self.daemons:
            return sum(self.daemons.each(ours.FOLDED))
        (child,) = self.children
        if not child.sample():
            raise Failed(f"it ended with {child.process.returncode}: {child.tail()}")
        found = peers.result(child)
        return int(found["events"]) if found else int(child.said("READY") is not None)

    def cpu_s(self) -> float:
        return sum(child.cpu_s() for child in self.children)


@dataclass
class Watched:
    """What was seen from outside, by wall clock."""

    folded: list[tuple[float, int]] = field(default_factory=list)
    committed: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    cpu_s: float = 0.0
    all_committed: bool = False


def measure(row: Row, stage: Stage, rate: int, seconds: int, limit_s: float) -> dict[str, Any]:
    """A paced run of a row, as the results have it. Raises Failed."""
    run_id, count = stage.run_id(row.name), rate * seconds
    topic = f"{run_id}-paced"
    asyncio.run(broker.create(stage.broker, topic, load.PARTITIONS))
    before = os.getloadavg()[0]
    publisher: subprocess.Popen[str] | None = None
    contender = _start(row, stage, run_id, topic, count, limit_s)
    try:
        publisher = subprocess.Popen(
            stage.publisher(topic, count, rate=rate), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        until = time.monotonic() + limit_s
        while not contender.folded():
            if time.monotonic() > until:
                raise Failed("it did not fold the first event")
            time.sleep(POLL_S)
        seen = asyncio.run(_watch(row, stage, contender, publisher, topic, count))
        said = json.loads(publisher.stdout.read()) if publisher.stdout else {}
        found = peers.result(contender.children[0])
    finally:
        if publisher:
            publisher.kill()
            publisher.wait()
        ours.end(contender.children)
        asyncio.run(peers.clear(stage.broker, run_id))
    return _figures(seen, said, found, count, rate, stage.devices) | {"load_average": before}


def _start(row: Row, stage: Stage, run_id: str, topic: str, count: int, limit_s: float) -> Contender:
    if row.kind != "worker":
        return Contender([peers.start(row, stage, topic, count, run_id, paced=True)], run_id)
    settings = own(stage.settings, run_id, topic)
    asyncio.run(topics.create(settings, only=set(topics.configs(settings)) - {topic}))
    daemons = ours.start(stage, settings, "worker", row.processes, limit_s)
    return Contender(list(daemons.children), topics.app_id(settings), daemons)


async def _watch(
    row: Row, stage: Stage, contender: Contender, publisher: subprocess.Popen[str], topic: str, count: int
) -> Watched:
    """From the start signal until everything is folded and committed, or nothing more is to be expected."""
    seen = Watched(committed={number: [] for number in range(load.PARTITIONS)})
    cpu = contender.cpu_s()
    assert publisher.stdin
    publisher.stdin.write("\n")
    publisher.stdin.flush()
    last = 0.0
    async with broker.admin(stage.broker) as client:
        while True:
            now, folded = time.time(), contender.folded()
            seen.folded.append((now, folded))
            offsets = await broker.committed(client, contender.group, topic)
            now = time.time()
            for number, offset in offsets.items():
                seen.committed[number].append((now, offset))
            if folded >= count and not last:
                last, seen.cpu_s = now, contender.cpu_s() - cpu
            seen.all_committed = sum(offsets.values()) == count
            if publisher.poll():
                raise Failed("what publishes has ended: the broker did not take so much")
            over = publisher.poll() is not None
            if over and last and (seen.all_committed or row.name in UNCOMMITTED or now - last > DURABLE_S_MAX):
                return seen
            if over and not last and now - seen.folded[0][0] > DURABLE_S_MAX + 10 * count / 20_000:
                raise Failed(f"it folded {folded:,} of {count:,} events")
            await asyncio.sleep(LOOK_S)


def _figures(
    seen: Watched, said: dict[str, Any], found: dict[str, Any] | None, count: int, rate: int, devices: int
) -> dict[str, Any]:
    def sent_s(number: int) -> float:
        return float(said["begun"]) + number / rate

    durable: list[float] = []
    for partition, in_order in numbers(count, devices).items():
        durable += delays_ms(seen.committed[partition], in_order, sent_s, count // 2)
    folded = found["folded_ms"] if found else percentiles(delays_ms(seen.folded, None, sent_s, count // 2))
    cpu_s = found["cpu_s"] if found else seen.cpu_s
    seconds = said["ended"] - said["begun"]
    return {
        "events": count, "rate": count / seconds, "publisher_late_ms": said["late_ms"],
        "bytes_per_event": said["bytes"] / count, "folded_ms": folded,
        "durable_ms": percentiles(durable) if seen.all_committed else None,
        "cores": cpu_s / seconds,
    }  # fmt: skip
