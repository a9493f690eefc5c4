"""Clients of the gateway while Redis, PostgreSQL, the worker and Kafka are stopped, one after the other.

Reads that another tier can answer are answered, nothing is acknowledged that is not stored, what was acknowledged is
heard once, and everything comes back by itself. ``OUTAGE_S`` (5) is how long each of them is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from deploy import context
from deploy.local import parts
from tests.acceptance.stack import Stack

OUTAGE_S = float(os.environ.get("OUTAGE_S", "5"))
READS = ("state", "snapshot", "rooms", "entanglements", "particles", "metrics", "history", "field?grid=8x8")
"""What memory, Redis or the database can answer."""


class Clients:
    """A device, a dashboard that reads and one that listens; what each saw, by what was away at that time."""

    def __init__(self, url: str) -> None:
        self.client = httpx.AsyncClient(base_url=url, timeout=30)
        self.away = "nothing"
        self.stored: dict[str, dict[str, int]] = {}
        self.published: Counter[tuple[str, int]] = Counter()
        self.read: Counter[tuple[str, int, str]] = Counter()
        self.heard: list[dict[str, Any]] = []
        self.last_id = ""

    async def publish(self) -> None:
        """One event after the other; a refused one is sent again until it is taken, as a device does."""
        while True:
            event = {
                "id": str(uuid.uuid4()), "type": "BREATH", "device_id": "ana", "room_id": "hall", "intensity": 0.5,
                "timestamp": int(time.time() * 1000), "data": {"phase": 1.0}, "v": 1,
            }  # fmt: skip
            while True:
                answer = await self.client.post("/api/consciousness/sync", json=event)
                self.published[self.away, answer.status_code] += 1
                if answer.status_code == 200:
                    (verdict,) = answer.json()["events"]
                    self.stored[verdict["id"]] = verdict["position"]
                    break
                assert int(answer.headers["retry-after"]) > 0
                await asyncio.sleep(0.5)
            await asyncio.sleep(0.1)

    async def look(self) -> None:
        """Every read in turn."""
        while True:
            for name in READS:
                answer = await self.client.get(f"/api/consciousness/{name}")
                tier = answer.json().get("reflects", {}).get("tier", answer.json().get("code"))
                self.read[self.away, answer.status_code, tier] += 1
            await asyncio.sleep(0.2)

    async def listen(self) -> None:
        """The stream, from where it was cut when it was."""
        while True:
            with contextlib.suppress(httpx.HTTPError):
                async for kind, data in self._messages():
                    if kind == "events":
                        self.heard += data["events"]
            await asyncio.sleep(0.2)

    async def _messages(self) -> AsyncIterator[tuple[str, Any]]:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with self.client.stream("GET", "/api/consciousness/stream", headers=headers) as answer:
            kind = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self.last_id = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)


@pytest.mark.long
async def test_what_clients_see_while_parts_are_away(own_stack: Stack) -> None:
    stack = own_stack
    settings = context.load(stack.environ)
    clients = Clients(f"http://127.0.0.1:{settings.gateway_port}")
    async with asyncio.timeout(120):  # a field that has just begun has nothing to show yet, and says so
        while (await clients.client.get("/api/health/ready")).status_code != 200:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)
    tasks = [asyncio.create_task(work()) for work in (clients.listen, clients.publish, clients.look)]
    try:
        await until(clients, lambda: len(clients.heard) > 5, "the stream is heard")
        await without(clients, "redis", lambda: part(stack, "redis", stop=True), lambda: part(stack, "redis"))
        await without(clients, "postgres", lambda: part(stack, "postgres", stop=True), lambda: part(stack, "postgres"))
        await without(clients, "worker", lambda: pause(stack, "worker"), lambda: go_on(stack, "worker"))
        await without(clients, "kafka", lambda: part(stack, "kafka", stop=True), lambda: part(stack, "kafka"))
        tasks[1].cancel()  # what it was told last is on its way to who listens
        await asyncio.wait({tasks[1]})
        await until(clients, lambda: all_heard(clients, None), "the last event is heard")
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await clients.client.aclose()
    print_figures(clients)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results
    assert {status for _, status, _ in clients.read} == {200}, "every read was answered by some tier"
    assert {away for away, status in clients.published if status != 200} <= {"kafka", "nothing"}
    heard = Counter(tuple(one["log"].values()) for one in clients.heard)
    assert set(heard.values()) == {1}, "nothing is heard twice"
    places = {tuple(one.values()) for one in clients.stored.values()}
    first = min(one["log"]["offset"] for one in clients.heard)
    assert {place for place in places if place[1] >= first} <= set(heard), "what was acknowledged is heard"


async def without(clients: Clients, name: str, stop: Callable[[], None], start: Callable[[], None]) -> None:
    """Away for a while; then until the device is heard again."""
    clients.away = name
    await asyncio.to_thread(stop)
    await asyncio.sleep(OUTAGE_S)
    await asyncio.to_thread(start)
    before = len(clients.stored), time.time() * 1000
    await until(clients, lambda: len(clients.stored) > before[0] + 5, f"the device goes on after {name}")
    await until(clients, lambda: all_heard(clients), f"all is heard after {name}")
    async with asyncio.timeout(120):
        while True:
            state = (await clients.client.get("/api/consciousness/state")).json()
            if not state["reflects"]["stale"] and state["data"]["watermark"] > before[1]:
                break
            await asyncio.sleep(0.1)
    clients.away = "nothing"


def all_heard(clients: Clients, until: int | None = -2) -> bool:
    """Everything that the device was told is stored; ``until``: but the last, which may be on their way."""
    heard = {one["id"] for one in clients.heard}
    return set(list(clients.stored)[1:until]) <= heard


async def until(clients: Clients, condition: Callable[[], bool], what: str) -> None:
    """A bound on hanging only."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, f"it never came about: {what}"
        await asyncio.sleep(0.1)


def part(stack: Stack, name: str, stop: bool = False) -> None:
    if stop:
        assert parts.stop_part(stack.settings, name, signal.SIGKILL)
    else:
        parts.start_part(stack.settings, name)


def pause(stack: Stack, role: str) -> None:
    process = stack.process(role)
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)


def go_on(stack: Stack, role: str) -> None:
    process = stack.process(role)
    assert process is not None
    os.kill(process.pid, signal.SIGCONT)


def print_figures(clients: Clients) -> None:
    for (away, status, tier), count in sorted(clients.read.items()):
        print(f"without {away}: {count} reads answered {status} from {tier}")
    for (away, status), count in sorted(clients.published.items()):
        print(f"without {away}: {count} publishes answered {status}")
