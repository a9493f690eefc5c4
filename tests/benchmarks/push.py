"""From a device's request to its durable acknowledgement, and to everybody who listens.

    .venv/bin/python -m tests.benchmarks.push --rate 5000 --listeners 100 --seconds 20
    .venv/bin/python -m tests.benchmarks.push --rate 200 --listeners 1000 --slow 100 --seconds 60

Needs a stack (``make up``). Listeners are lines of Server-Sent Events in a process of their own, devices are requests
of ``--batch`` events in this one; slow listeners take nothing after their request. A delay is counted from the moment
the request is sent, by the clock that both processes share. The gateway's memory is looked at every second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from deploy import context, processes

SENT = re.compile(rb'"phrase":"([0-9a-f]{16})"')
"""The time of sending, in nanoseconds, travels in what each event says."""


def delays(found: list[float]) -> dict[str, float]:
    """Milliseconds, and how many they are of."""
    if not found:
        return {"count": 0}
    p50, p95, p99 = np.percentile(found, (50, 95, 99))
    return {"count": len(found), "p50_ms": round(p50, 1), "p95_ms": round(p95, 1), "p99_ms": round(p99, 1)}


async def listen(host: str, port: int, count: int, slow: int) -> None:
    """Hear all until standard input ends; then print the delays."""
    heard: list[float] = []
    lost = 0

    async def one(takes: bool) -> None:
        nonlocal lost
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
        writer.write(b"GET /api/consciousness/stream?include=events HTTP/1.1\r\nHost: bench\r\n\r\n")
        await reader.readuntil(b"retry")
        print("ready", flush=True)
        if not takes:
            writer.transport.pause_reading()  # type: ignore[attr-defined] # of a socket's transport
            await asyncio.Event().wait()
        while chunk := await reader.read(1 << 18):
            now = time.time_ns()
            heard.extend((now - int(found, 16)) / 1e6 for found in SENT.findall(chunk))
            lost += b"event: bye" in chunk

    tasks = [asyncio.create_task(one(number >= slow)) for number in range(count)]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps({**delays(heard), "let_go": lost}))


async def publish(url: str, rate: int, batch: int, seconds: float) -> tuple[list[float], int]:
    """Requests at an even pace; delays of their answers (ms), and how many were refused."""
    answered: list[float] = []
    refused = 0
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)

    async def one(client: httpx.AsyncClient) -> None:
        nonlocal refused
        now = time.time_ns()
        events = [
            {
                "id": str(uuid.uuid4()), "type": "SACRED_PHRASE", "device_id": f"bench-{n}", "intensity": 0.5, "v": 1,
                "timestamp": now // 1_000_000, "data": {"phrase": f"{now:016x}"},
            }
            for n in np.random.default_rng(now).integers(0, 2_000, batch)
        ]  # fmt: skip
        answer = await client.post(url, json=events)
        if answer.status_code == 200:
            answered.append((time.time_ns() - now) / 1e6)
        else:
            refused += 1

    async with httpx.AsyncClient(timeout=30, limits=limits) as client, asyncio.TaskGroup() as tasks:
        began = time.monotonic()
        for number in range(int(rate / batch * seconds)):
            await asyncio.sleep(max(0.0, began + number * batch / rate - time.monotonic()))
            tasks.create_task(one(client))
    return answered, refused


def rss_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    settings = context.load()
    host, port = settings.gateway_host, settings.gateway_port
    pid = next(one.pid for one in processes.read_all(Path(settings.home)) if one.role == "gateway")
    words = ["--listen", "--listeners", str(given.listeners), "--slow", str(given.slow)]
    ears = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.push", *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert ears.stdout is not None
    for _ in range(given.listeners):
        await ears.stdout.readline()
    memory = [rss_mb(pid)]
    sending = asyncio.create_task(
        publish(f"http://{host}:{port}/api/consciousness/sync", given.rate, given.batch, given.seconds)
    )
    while not (await asyncio.wait((sending,), timeout=1.0))[0]:
        memory.append(rss_mb(pid))
    await asyncio.sleep(1.0)
    said, _ = await ears.communicate()
    answered, refused = sending.result()
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        **{name: value for name, value in vars(given).items() if name != "listen"},
        "acknowledged": {**delays(answered), "refused": refused},
        "pushed": json.loads(said.splitlines()[-1]),
        "gateway_rss_mb": {"first": round(memory[0]), "most": round(max(memory)), "last": round(memory[-1])},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    parser.add_argument("--batch", type=int, default=10, help="events in a request")
    parser.add_argument("--listeners", type=int, default=100)
    parser.add_argument("--slow", type=int, default=0, help="so many of them take nothing")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--listen", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.listen:
        settings = context.load()
        asyncio.run(listen(settings.gateway_host, settings.gateway_port, given.listeners, given.slow))
    else:
        print(json.dumps(asyncio.run(measure(given)), indent=2))


if __name__ == "__main__":
    main()
