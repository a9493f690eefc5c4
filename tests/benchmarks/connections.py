"""A thousand connections held, a hundred of them slow: what the gateway's memory does, and what becomes of the slow.

    .venv/bin/python -m tests.benchmarks.connections --connections 1000 --slow 100 --rate 300 --minutes 4

Needs a stack (``make up``, or FIELD_HOME of one). All connections are streams of everything (SSE), in a process of
their own. A slow one reads nothing for ``--deaf`` seconds, then what is there, and again; who is let go comes again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvloop

from deploy import context
from streams.settings import Settings
from tests.benchmarks.push import Client, pids, versions
from tests.benchmarks.push_clients import Ear, Task, line

READ_S = 0.5
WARM_SHARE = 0.4
"""Of the time: tails and pools fill, then nothing may grow."""
RECEIVE_BYTES = 16_384
REQUEST = b"GET /api/consciousness/stream?include=events HTTP/1.1\r\nHost: bench\r\n\r\n"
BYE = re.compile(rb'event: bye\ndata: {"reason":"(\w+)"}')


class Slow(asyncio.Protocol):
    """A listener that does not listen."""

    def __init__(self, said: Counter[str]) -> None:
        self.over = asyncio.Event()
        self.transport: Any = None
        self._said = said
        self._last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(REQUEST)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._last = self._last[-64:] + data

    def connection_lost(self, error: Exception | None) -> None:
        found = BYE.search(self._last)
        self._said[found[1].decode() if found else "cut"] += 1
        self.over.set()


async def be_slow(task: Task, number: int, deaf_s: float, said: Counter[str]) -> None:
    """Come, hear nothing, be let go, come again."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(deaf_s * number / task.count)
    while True:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        plain.setblocking(False)
        await loop.sock_connect(plain, (task.host, task.port))
        one = Slow(said)
        await loop.create_connection(lambda one=one: one, sock=plain)  # type: ignore[misc]
        while not one.over.is_set():
            await asyncio.sleep(deaf_s)
            one.transport.resume_reading()
            await asyncio.sleep(READ_S)
            if not one.over.is_set():
                one.transport.pause_reading()


async def hold(task: Task, readers: int, deaf_s: float) -> None:
    """``readers`` that take all and ``task.count`` slow ones, until told to end; then what they have heard of it."""
    loop = asyncio.get_running_loop()
    said: Counter[str] = Counter()
    ears = [Ear(task, False, number == 0) for number in range(readers)]
    for ear in ears:
        await loop.create_connection(lambda ear=ear: ear, task.host, task.port)  # type: ignore[misc]
        await ear.ready
    slow = [asyncio.create_task(be_slow(task, number, deaf_s, said)) for number in range(task.count)]
    print("ready", flush=True)
    await line()
    faults = [str(one.exception()) for one in slow if one.done()]
    lost = sum(ear.lost for ear in ears)
    print(json.dumps({"slow_heard": said, "readers_lost": lost, "heard_by_one": ears[0].heard, "faults": faults}))
    sys.stdout.flush()
    os._exit(0)


def rss_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def told(settings: Settings) -> dict[str, float]:
    """The gateway's own counters of its listeners."""
    url = f"http://{settings.metrics_host}:{settings.gateway_metrics_port}/metrics"
    with urllib.request.urlopen(url) as answer:
        lines = [text.rsplit(" ", 1) for text in answer.read().decode().splitlines()]
    return {
        name: float(value)
        for name, value in lines
        if name.startswith(("field_push_listeners{", "field_push_dropped_total{"))
    }


def measure(settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    pid = pids(settings.home)["gateway"]
    seconds = given.minutes * 60
    began_mb, before = rss_mb(pid), told(settings)
    slow = Task(settings.gateway_host, settings.gateway_port, given.slow, sample=1_000)
    words = ["--hold", msgspec.json.encode(slow).decode()]
    words += ["--connections", str(given.connections), "--slow", str(given.slow), "--deaf", str(given.deaf)]
    held = Client("hold", slow, ["-m", "tests.benchmarks.connections", *words])
    speaker = Client("speak", Task(settings.gateway_host, settings.gateway_port, 20, given.rate, 5, seconds))
    speaker.go()
    samples: list[tuple[float, float]] = []
    listeners: list[float] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(1.0)
        samples.append((time.monotonic() - began, rss_mb(pid)))
        listeners.append(told(settings)['field_push_listeners{kind="sse"}'])
    spoken = speaker.result()
    held.go()
    heard = held.result()
    warm = [(at, mb) for at, mb in samples if at >= WARM_SHARE * seconds]
    slope, _ = np.polyfit([at / 60 for at, _ in warm], [mb for _, mb in warm], 1)
    after = told(settings)
    third = len(warm) // 3
    return {
        "gateway_rss_mb": {
            "before": round(began_mb, 1),
            "after_warm_up": round(statistics.median(mb for _, mb in warm[:third]), 1),
            "at_the_end": round(statistics.median(mb for _, mb in warm[-third:]), 1),
            "most": round(max(mb for _, mb in samples), 1),
            "slope_per_minute": round(float(slope), 2),
            "every_10_s": [round(mb) for _, mb in samples[::10]],
        },
        "listeners": {"least": min(listeners), "most": max(listeners)},
        "let_go": {
            name.partition("reason=")[2].strip('"}'): count - before.get(name, 0.0)
            for name, count in after.items()
            if "dropped" in name and count > before.get(name, 0.0)
        },
        **heard,
        "missed": spoken["events"] - heard["heard_by_one"],
        "acknowledged": spoken["acknowledged"],
        "events_per_s": spoken["events_per_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--slow", type=int, default=100, help="so many of them")
    parser.add_argument("--rate", type=int, default=300, help="events a second")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--deaf", type=float, default=40.0, help="seconds for which a slow one reads nothing")
    parser.add_argument("--hold", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hold:
        task = msgspec.json.decode(given.hold, type=Task)
        uvloop.run(hold(task, given.connections - given.slow, given.deaf))
        return
    settings = context.load()
    if not pids(settings.home):
        raise SystemExit(f"no processes in {settings.home}: make up, or FIELD_HOME of a stack that runs")
    machine = f"{os.cpu_count()} cores, {os.uname().machine}"
    found = {"machine": machine, "versions": versions(), **vars(given), **measure(settings, given)}
    print(json.dumps({name: value for name, value in found.items() if name != "hold"}, indent=2))


if __name__ == "__main__":
    main()
