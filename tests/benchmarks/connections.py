"""A thousand listeners held, a hundred of whom take nothing: the gateway's memory, and what becomes of the slow ones.

    .venv/bin/python -m tests.benchmarks.connections --connections 1000 --slow 100 --rate 500 --seconds 180

Brings a whole stack in a folder of its own and deletes it. All listeners (Server-Sent Events) want all events; the
slow ones stop reading after the first bytes and keep their connection. The resident memory of the gateway's process is
looked at every ``--every`` seconds; who was dropped, and why, is what the gateway's own metrics say.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from streams.settings import Settings
from tests.benchmarks import stack
from tests.benchmarks.clients import Child
from tests.benchmarks.push import PATH, PROBE_PER_S, floor_topic

DROPPED = "field_push_dropped_total"


async def watch(settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    """Memory in MB by second, drops by reason, what the others got meanwhile."""
    found = {**stack.machine(), **vars(given)}
    await floor_topic(settings)
    to = {"host": settings.gateway_host, "port": settings.gateway_port}
    pid = stack.roles(settings)["gateway"]
    empty = stack.rss_mb(pid)
    listeners = await Child.start("listen", **to, path=PATH, count=given.connections, slow=given.slow, look=given.look)
    try:
        memory = [round(stack.rss_mb(pid))]
        load = {"kafka": settings.kafka_brokers, "rate": given.rate, "batch": given.batch}
        senders = await Child.start("send", **to, **load, count=20, warm_s=5, seconds=given.seconds, probe=PROBE_PER_S)
        before, used = stack.busy_s(), stack.cpu_s(pid)
        slow_gone_s = None
        for second in range(0, int(given.seconds) + 1, given.every):
            await asyncio.sleep(given.every)
            memory.append(round(stack.rss_mb(pid)))
            if slow_gone_s is None and sum(dropped(settings).values()) >= given.slow:
                slow_gone_s = second + given.every
        cores = {"gateway": stack.cpu_s(pid) - used, "whole machine": stack.busy_s() - before}
        sent, reasons = await senders.end(), dropped(settings)
        heard = await listeners.end()
    finally:
        listeners.kill()
    took_s = len(memory[1:]) * given.every
    third = len(memory) // 3
    return {
        **found, **sent, **heard, "dropped": reasons, "slow_gone_after_s": slow_gone_s,
        "cores": {name: round(used_s / took_s, 2) for name, used_s in cores.items()},
        "rss_mb": {"before": round(empty), "most": max(memory), "first_third_most": max(memory[:third]),
                   "last_third_most": max(memory[-third:]), "last": memory[-1], "all": memory},
    }  # fmt: skip


def dropped(settings: Settings) -> dict[str, int]:
    """Listeners that the gateway has let go, by reason."""
    samples = stack.gateway_metrics(settings)
    return {
        name.partition('reason="')[2].rstrip('"}'): int(value)
        for name, value in samples.items()
        if name.startswith(DROPPED) and value
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--slow", type=int, default=100, help="so many of them take nothing")
    parser.add_argument("--look", type=int, default=10, help="so many others look at what they take")
    parser.add_argument("--rate", type=int, default=500, help="events a second")
    parser.add_argument("--batch", type=int, default=10, help="events in a request")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--every", type=int, default=3, help="seconds between two looks at the memory")
    given = parser.parse_args()
    with stack.stack() as settings:
        print(json.dumps(asyncio.run(watch(settings, given)), indent=2))


if __name__ == "__main__":
    main()
