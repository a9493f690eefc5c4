"""From a device's request to its durable acknowledgement, and to everybody who listens, beside Kafka's own floor.

    .venv/bin/python -m tests.benchmarks.push --rate 5000 --connections 100 --seconds 20 --runs 3

Brings a whole stack in a folder of its own and deletes it. Listeners (of all events, half of them over WebSocket),
senders (connections that are kept, a request at a time on each) and a bare producer (acks=all, no lingering) are
processes of their own. Senders keep an even pace whatever the answers take; "sent late" is how far behind it they were.
Delays count from the request's sending. All listeners take everything, ``--look`` of them look at each event; the
others would only measure themselves. The floor runs right before each run; the probe, 20 records a second, during it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.settings import Settings
from tests.benchmarks import stack
from tests.benchmarks.clients import FLOOR_PARTITIONS, FLOOR_TOPIC, Child

PATH = "/api/consciousness/stream?include=events"
PROBE_PER_S = 20
WARM_S = 5.0
SETTLE_S = 1.0
LINES = {
    "floor_ms": "a bare producer, the same records a second, alone",
    "probe_ms": "the same, 20 a second, during the load",
    "acknowledged_ms": "request sent until acknowledged",
    "pushed_ms": "request sent until a listener has it",
    "sent_late_ms": "(a request was sent late)",
}


async def run(settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    """One run: floor, then load; all delays in milliseconds, CPU in cores."""
    to = {"host": settings.gateway_host, "port": settings.gateway_port}
    load = {"kafka": settings.kafka_brokers, "rate": given.rate, "batch": given.batch}
    floor = await (await Child.start("floor", **load, seconds=given.seconds / 2)).end()
    ears = {"path": PATH, "count": given.connections, "slow": 0, "look": given.look, "sockets": given.sockets}
    listeners = await Child.start("listen", **to, **ears)
    try:
        pids = {**stack.roles(settings), "listeners": listeners.pid}
        senders = await Child.start(
            "send", **to, **load, count=100, warm_s=WARM_S, seconds=given.seconds, probe=PROBE_PER_S
        )
        pids["senders"] = senders.pid
        await asyncio.sleep(WARM_S)
        used, all_used = {role: stack.cpu_s(pid) for role, pid in pids.items()}, stack.busy_s()
        await asyncio.sleep(given.seconds - 1)
        spent = {role: (stack.cpu_s(pid) - used[role]) / (given.seconds - 1) for role, pid in pids.items()}
        spent["whole machine"] = (stack.busy_s() - all_used) / (given.seconds - 1)
        sent = await senders.end()
        await asyncio.sleep(SETTLE_S)
        heard = await listeners.end()
    finally:
        listeners.kill()
    cores = {role: round(share, 2) for role, share in spent.items()}
    cpu_s = round(1e6 * spent["gateway"] / sent["events_per_s"])
    return {**floor, **sent, **heard, "cores": cores, "gateway_cpu_s_per_million": cpu_s}


def table(runs: list[dict[str, Any]]) -> str:
    """Medians of the runs with (min-max)."""
    lines = ["| milliseconds | p50 | p95 | p99 |", "| --- | --- | --- | --- |"]
    for name, title in LINES.items():
        cells = []
        for percentile in ("p50", "p95", "p99"):
            found = sorted(one[name].get(percentile, float("nan")) for one in runs)
            span = f" ({found[0]:g}-{found[-1]:g})" if len(found) > 1 else ""
            cells.append(f"{statistics.median(found):g}{span}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    for name in ("events_per_s", "gateway_cpu_s_per_million"):
        lines += ["", f"{name}: {', '.join(str(one[name]) for one in runs)}"]
    return "\n".join(lines)


async def floor_topic(settings: Settings) -> None:
    """Where the bare producer sends to."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(FLOOR_TOPIC, FLOOR_PARTITIONS, settings.replication)])
    finally:
        await admin.close()


async def measure(settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    found = {**stack.machine(), **vars(given)}
    await floor_topic(settings)
    return {**found, "runs": [await run(settings, given) for _ in range(given.runs)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    parser.add_argument("--batch", type=int, default=10, help="events in a request")
    parser.add_argument("--connections", type=int, default=100, help="that listen")
    parser.add_argument("--look", type=int, default=10, help="so many of them look at what they take")
    parser.add_argument("--sockets", type=int, default=5, help="of ten who listen, for half a minute")
    parser.add_argument("--seconds", type=float, default=20, help="of a run, after five to warm up")
    parser.add_argument("--runs", type=int, default=1)
    given = parser.parse_args()
    with stack.stack() as settings:
        results = asyncio.run(measure(settings, given))
    print(json.dumps(results, indent=2))
    print(table(results["runs"]), file=sys.stderr)


if __name__ == "__main__":
    main()
