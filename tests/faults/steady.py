"""One stack under a steady load that nobody kills, and how much memory its processes take over time."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from streams import topics
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.simulate import Fleet, items
from tests.faults.compare import settled
from tests.faults.processes import Proc
from tests.workers import expected, found

ROLES = ("worker", "projector", "publisher")
RATE = 100
DEVICES = 200
SAMPLE_S = 5.0


class Steady:
    """``async with``: worker, projector and publisher, RATE events a second from a fleet of DEVICES.

    ``curve``: (seconds since the start, resident MB by role, the harness among them).
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._fleet = Fleet(DEVICES, RATE, seed, int(time.time() * 1000), opts=0.0005)
        self._stack = ExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()
        self._pids: dict[str, int] = {"harness": os.getpid()}
        self.published = 0
        self.curve: list[tuple[float, dict[str, float]]] = []

    async def __aenter__(self) -> Steady:
        await topics.create(self._settings)
        for role in ROLES:
            self._pids[role] = self._stack.enter_context(Proc(self._settings, role)).pid
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._sample())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stack.close()

    async def finish(self) -> dict[str, Any]:
        """No more load; the state is that of the log by the pure fold alone, and every event has its row."""
        self._over.set()
        await self._tasks[0]
        follower = await settled(self._settings)
        assert found(follower, self._settings) == await expected(self._settings)
        with psycopg.connect(self._settings.database_url) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM consciousness_events").fetchone() or (0,)
        assert rows == self.published, f"{rows} rows of {self.published} events"
        return {"events": rows, "difference": 0}

    async def _publish(self) -> None:
        fleet, began = items(self._fleet), time.monotonic()
        async with LogPublisher(self._settings) as publisher:
            while not self._over.is_set():
                due = int((time.monotonic() - began) * RATE) - self.published
                for item in itertools.islice(fleet, max(0, due)):
                    assert not isinstance(item.event, bytes)
                    await publisher.publish(item.event)
                    self.published += 1
                await publisher.flush()
                await asyncio.sleep(0.25)

    async def _sample(self) -> None:
        began = time.monotonic()
        while True:
            now = {role: resident_mb(pid) for role, pid in self._pids.items()}
            self.curve.append((round(time.monotonic() - began, 1), now))
            await asyncio.sleep(SAMPLE_S)


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0.0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmRSS")), 0.0)
