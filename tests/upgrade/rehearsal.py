"""The steps of a rolling upgrade, and what is measured on the way."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from deploy.local import loopback
from streams import topics
from streams.settings import Settings
from tests.faults.compare import compare
from tests.faults.fleet import Fleet
from tests.upgrade.code import HERE, LIMIT_S, Code, Process, told
from tests.upgrade.lateness import Lateness
from tests.upgrade.load import Clients
from tests.workers import read_topic

RATE: Final = 100
"""Events a second of trusted publishers, beside the devices': late, duplicate and malformed ones among them."""
OUT_OF_SERVICE_S: Final = 2.0
"""Between taking a gateway out of the service and asking it to end; the manifests' preStop."""
USUAL_S: Final = 3.0
"""A checkpoint is made every two."""
WORKERS: Final = ("field-worker-0", "field-worker-1")


class Stack:
    """All processes of an instance, whatever their versions; ``with`` ends them."""

    def __init__(self, settings: Settings, service: list[str], nameless: bool) -> None:
        self.settings, self.service, self._nameless = settings, service, nameless
        self.workers: dict[str, Process] = {}
        self.others: dict[str, list[Process]] = {"projector": [], "publisher": [], "gateway": []}
        self._undo = ExitStack()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    async def start(self, code: Code, role: str, instance: str = "") -> tuple[Process, float]:
        """A process that is ready, and how long it took (s)."""
        http = loopback.free() if role == "gateway" else 0
        found = Process(code, role, self.settings, loopback.free(), instance, http)
        self._undo.callback(found.kill)
        began = time.monotonic()
        await asyncio.to_thread(found.until_ready)
        return found, time.monotonic() - began

    async def worker(self, code: Code, instance: str) -> float:
        """Starts or replaces a worker; as in a StatefulSet the old one ends before the new one begins. Seconds away."""
        began = time.monotonic()
        if instance in self.workers:
            await asyncio.to_thread(self.workers[instance].stop)
        self.workers[instance], _ = await self.start(code, "worker", "" if self._nameless else instance)
        return time.monotonic() - began

    async def other(self, code: Code, role: str) -> float:
        """Starts one more, then ends the oldest if it is of another version, as a Deployment does. Seconds to ready."""
        process, seconds = await self.start(code, role)
        self.others[role].append(process)
        if role == "gateway":
            self.service.append(process.url)
        oldest = self.others[role][0]
        if oldest.code.root != code.root:
            self.others[role].remove(oldest)
            if role == "gateway":
                self.service.remove(oldest.url)
                await asyncio.sleep(OUT_OF_SERVICE_S)
            await asyncio.to_thread(oldest.stop)
        return seconds

    def generations(self) -> set[int]:
        """Of the workers' group, that any worker which runs now has folded in."""
        return {number for process in self.workers.values() for number in process.generations()}

    async def one_group(self) -> None:
        """Until the workers fold in the same generation: they have come together."""
        end = time.monotonic() + LIMIT_S
        while len({(process.generations() or [-1])[-1] for process in self.workers.values()}) > 1:
            assert time.monotonic() < end, "the workers do not come together"
            await asyncio.sleep(0.1)


async def rehearse(old: Code, new: Code, settings: Settings, words: argparse.Namespace) -> dict[str, Any]:
    """The figures, by the words of the command; raises AssertionError when a process does not do what it should."""
    await topics.create(settings)
    done = await asyncio.to_thread(old.field, told(settings), "migrate")
    figures: dict[str, Any] = {"from": old.name, "schema": f"{old.migrations:03d} to {new.migrations:03d}"}
    service: list[str] = []
    lateness = Lateness(settings)
    with Stack(settings, service, words.nameless) as stack:
        if done.returncode:  # an earlier version had no such command: its projector does it
            await stack.other(old, "projector")
        for role, count in (("projector", 2), ("publisher", 1), ("gateway", 2)):
            while len(stack.others[role]) < count:
                await stack.other(old, role)
        for name in WORKERS:
            await stack.worker(old, name)
        await stack.one_group()
        watching = asyncio.create_task(lateness.run())
        try:
            with Fleet(settings, words.seed, RATE, toggles=False) as fleet:
                async with Clients(service, words.seed) as clients:
                    await asyncio.sleep(words.seconds)
                    await _calm(lateness)
                    await asyncio.sleep(words.seconds)
                    await _calm(lateness)
                    figures["before: longest wait, s"] = _rounded(lateness.longest_before_s)
                    await _upgrade(stack, old, new, lateness, figures)
                    await asyncio.sleep(words.seconds)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        figures |= await _compared(settings, new, fleet, clients)
    return figures


async def _upgrade(stack: Stack, old: Code, new: Code, lateness: Lateness, figures: dict[str, Any]) -> None:
    before, began = stack.generations(), time.monotonic()
    done = await asyncio.to_thread(new.field, told(stack.settings), "migrate")
    assert done.returncode == 0, done.stdout + done.stderr
    figures["migrate, s"] = round(time.monotonic() - began, 2)
    await _calm(lateness)
    figures["migrate: longest wait, s"] = _rounded(lateness.longest_before_s)
    if old.migrations < new.migrations:
        late = Process(old, "projector", stack.settings, loopback.free())
        try:
            figures["an old projector that starts again now ends with"] = await asyncio.to_thread(late.ended)
        except subprocess.TimeoutExpired:
            figures["an old projector that starts again now ends with"] = "nothing: it works"
        finally:
            late.kill()
    await _calm(lateness)
    away = {name: await stack.worker(new, name) for name in reversed(WORKERS)}
    figures["workers away, s"] = _rounded(away)
    figures["rebalances of the workers"] = len(stack.generations() - before)
    await _calm(lateness)
    figures["workers: longest wait, s"] = _rounded(lateness.longest_before_s)
    for role, count in (("projector", 2), ("publisher", 1), ("gateway", 2)):
        figures[f"{role}s until ready, s"] = [round(await stack.other(new, role), 2) for _ in range(count)]
    await _calm(lateness)
    figures["the others: longest wait, s"] = _rounded(lateness.longest_before_s)
    figures["in all, s"] = round(time.monotonic() - began, 1)
    left = [one for role in stack.others.values() for one in role] + list(stack.workers.values())
    assert all(one.code.root == new.root for one in left)


async def _compared(settings: Settings, new: Code, fleet: Fleet, clients: Clients) -> dict[str, Any]:
    report = await compare(settings)
    records = await read_topic(settings, settings.events_topic)
    stored = b"".join(record.value or b"" for record in records)
    lost = [one for one in clients.acknowledged if one.encode() not in stored]  # frames hold ids as text or as bytes
    if lost:
        lost = [one for one in lost if bytes.fromhex(one.replace("-", "")) not in stored]
    found: dict[str, Any] = {
        "requests": sum(clients.statuses.values()),
        "requests not answered well": clients.failed,
        "longest acknowledgement, s": round(max(clients.longest_s, fleet.longest_s), 2),
        "acknowledged": len(clients.acknowledged) + len(fleet.acknowledged),
        "acknowledged and lost": len(lost) + len(await fleet.lost(settings)),
        "rows compared": sum(report.rows.values()),
        "difference": report.difference,
        "verifier": await asyncio.to_thread(_verified, settings, new),
    }
    if report.difference:
        print(report, file=sys.stderr)
    return found


def _verified(settings: Settings, new: Code) -> str:
    """What the program says that imports nothing of ours."""
    over = told(settings) | {"FIELD_HOME": f"{settings.home}/verifier"}
    digest = Path(settings.home) / "digest.json"
    done = new.field(over, "digest", "--json")
    assert done.returncode == 0, done.stderr
    digest.write_text(done.stdout)
    argv = [sys.executable, HERE / "schema" / "verifier.py", "--brokers", settings.kafka_brokers]
    argv += ["--topic", settings.events_topic, "--until", digest]
    seen = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    ours, theirs = json.loads(done.stdout)["tables"], seen.stdout
    return f"{sum(one in theirs for one in ours.values())} of {len(ours)} digests equal"


async def _calm(lateness: Lateness) -> None:
    """Until nothing waits for longer than usual; another part of the rehearsal begins."""
    end = time.monotonic() + LIMIT_S
    await asyncio.sleep(1)
    while max(lateness.now_s.values(), default=0.0) > USUAL_S:
        assert time.monotonic() < end, f"still waiting: {lateness.now_s}"
        await asyncio.sleep(0.2)
    lateness.begin()


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in sorted(found.items())}
