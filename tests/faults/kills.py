"""Kills: the worker at random moments and at named points of one stream; projector and publisher beside it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streams.settings import Settings
from tests.faults import points
from tests.faults.measures import percentile
from tests.faults.processes import Proc
from tests.faults.stream import Record, Stream, publish
from tests.faults.watch import Watch

EARLY_SHARE = 0.2
"""Kills at any moment of a start: before it is ready, while it recovers."""
START_S = 4.0
LIFE_S = 0.6
"""A kill comes this long after the first checkpoint at the latest: there is still something to fold."""


@dataclass
class Kills:
    """What happened. ``ready_s``: from a kill to the next worker's first checkpoint that is further."""

    killed: int = 0
    at_points: list[str] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    stall_s: float = 0.0

    def figures(self) -> dict[str, Any]:
        return {
            "kills": self.killed,
            "at_points": len(self.at_points),
            "ready_p50": percentile(self.ready_s, 0.5),
            "ready_p95": percentile(self.ready_s, 0.95),
            "ready_max": max(self.ready_s, default=0.0),
            "stall_max": self.stall_s,
            "ready_s": self.ready_s,
            "stall_s": [self.stall_s],
        }


async def kill_workers(
    settings: Settings, stream: Stream, watch: Watch, seed: int, kills: int, at_points: int
) -> Kills:
    """Publish the stream in parts, one for each life of a worker: ``kills`` end at random moments, ``at_points`` at
    named points in turn. Nobody runs at the end.
    """
    chance = random.Random(f"kills/{seed}")
    named = [points.WORKER[number % len(points.WORKER)] for number in range(at_points)]
    plan: list[str | None] = [*named, *([None] * kills)]
    chance.shuffle(plan)
    done, began, killed_at = Kills(), time.monotonic(), None
    for part, point in zip(stream.parts(len(plan)), plan, strict=False):
        words = [f"point={point}:{chance.randint(1, 3)}"] if point else []
        known = watch.writers
        middle = len(part) // 2
        await publish(settings, part[:middle])
        with Proc(settings, "worker", *words) as worker:
            moved = await _live(settings, worker, point, part[middle:], watch, chance, known)
        if killed_at is not None and moved is not None:
            done.ready_s.append(moved - killed_at)
        killed_at = time.monotonic()
        done.killed += 1
        if point:
            done.at_points.append(point)
    done.stall_s = watch.stall_max(began, time.monotonic())
    return done


async def _live(
    settings: Settings, worker: Proc, point: str | None, rest: list[Record], watch: Watch,
    chance: random.Random, known: set[str],
) -> float | None:  # fmt: skip
    """One life; when the worker came further than everybody before it, or None."""
    if point is None and chance.random() < EARLY_SHARE:
        await publish(settings, rest)
        await asyncio.sleep(chance.uniform(0, START_S))
        worker.kill()
        return None
    if point is not None:
        sending = asyncio.create_task(_trickle(settings, rest, worker))
        code = await worker.ended()
        await sending
        assert code == -9, f"it was to die at {point}: {worker.tail()}"
        return next((m.seconds for m in watch.moves if m.writer not in known), None)
    move = await watch.moved(worker.started, known)
    sending = asyncio.create_task(publish(settings, rest))
    await asyncio.sleep(chance.uniform(0, LIFE_S))
    worker.kill()
    await sending
    return move.seconds


async def _trickle(settings: Settings, records: list[Record], worker: Proc, pieces: int = 6) -> None:
    """A little at a time, so that there is a checkpoint for each passage that the point waits for."""
    await worker.says(": partitions [")
    size = -(-len(records) // pieces) or 1
    for start in range(0, len(records), size):
        await publish(settings, records[start : start + size])
        await asyncio.sleep(settings.checkpoint_ms / 250)


async def kill_others(settings: Settings, role: str, seed: int, over: asyncio.Event) -> int:
    """Until ``over``: start the role again and again, each time to be killed at a named point or after a random time.

    Returns how many were killed. Nobody runs at the end.
    """
    chance = random.Random(f"{role}/{seed}")
    names = points.PROJECTOR if role == "projector" else points.PUBLISHER
    killed = 0
    while not over.is_set():
        point = None if killed % 3 == 2 else names[(killed - killed // 3) % len(names)]
        words = [f"point={point}:{chance.randint(1, 12)}"] if point else []
        life_s = None if point else chance.uniform(2, 8)
        with Proc(settings, role, *words) as process:
            await first_of(over, lambda process=process: not process.running, life_s)
            if not process.running:
                assert process.code == -9, process.tail()
            killed += not over.is_set()
    return killed


async def first_of(over: asyncio.Event, true: Callable[[], bool], limit_s: float | None) -> None:
    """Wait for whichever comes first; ``limit_s`` None: no limit but ``over``."""
    end = None if limit_s is None else time.monotonic() + limit_s
    while not over.is_set() and not true() and (end is None or time.monotonic() < end):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.05)
