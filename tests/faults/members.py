"""Workers that come and go under load, and zombies: processes that stand still while others take their place."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from streams.settings import Settings
from tests.faults.kills import first_of
from tests.faults.processes import LIMIT_S, Proc
from tests.faults.stream import Record, Stream, publish
from tests.faults.watch import Watch

WORKERS_MAX = 4
RESTARTED = (1, 5, 6, 7)
"""Exit codes after which the supervisor starts a worker again: a fetch that hangs in a rebalance, a missed write."""
PIECE_S = 0.5
"""A piece of the stream is published so often: the load."""


@dataclass
class Visits:
    """Who came and went; ``stall_s``: longest time in which nobody moved anything, with records waiting."""

    joined: int = 0
    left: int = 0
    killed: int = 0
    gave_up: int = 0
    most: int = 1
    stall_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        return {
            "joined": self.joined, "left": self.left, "killed": self.killed, "gave_up": self.gave_up,
            "most_at_once": self.most, "stall_max": self.stall_s, "stall_s": [self.stall_s],
        }  # fmt: skip


async def come_and_go(
    settings: Settings, stream: Stream, watch: Watch, seed: int, seconds: float, pause_s: tuple[float, float]
) -> Visits:
    """1 to 4 workers for ``seconds`` while the stream is published; after a pause one joins, leaves or is killed.

    A worker that leaves by itself with a code that wants a person is in ``failures``; one that would just be started
    again has given up. Nobody runs at the end.
    """
    chance, visits, began = random.Random(f"members/{seed}"), Visits(), time.monotonic()
    sending = asyncio.create_task(trickle(settings, stream.records, seconds))
    with ExitStack() as stack:
        here = [stack.enter_context(Proc(settings, "worker"))]
        leaving: list[asyncio.Task[int]] = []
        await watch.moved(began)
        first = time.monotonic()
        while time.monotonic() < began + seconds:
            await asyncio.sleep(chance.uniform(*pause_s))
            _note_gone(visits, here)
            here = [worker for worker in here if worker.running]
            if len(here) < 2 or (len(here) < WORKERS_MAX and chance.random() < 0.6):
                here.append(stack.enter_context(Proc(settings, "worker")))
                visits.joined += 1
                visits.most = max(visits.most, len(here))
                continue
            worker = here.pop(chance.randrange(len(here)))
            if chance.random() < 0.5:
                worker.kill()
                visits.killed += 1
            else:
                leaving.append(asyncio.create_task(worker.stop()))
                visits.left += 1
        await sending
        visits.stall_s = watch.stall_max(first, time.monotonic())
        codes = await asyncio.gather(*leaving)  # by the signal: it had hardly begun
        visits.failures += [f"told to stop it left with {code}" for code in codes if code not in (0, -signal.SIGTERM)]
    return visits


def _note_gone(visits: Visits, here: list[Proc]) -> None:
    gone = [worker for worker in here if not worker.running]
    visits.gave_up += len(gone)
    visits.failures += [worker.tail() for worker in gone if worker.code not in RESTARTED]


async def trickle(settings: Settings, records: list[Record], seconds: float) -> None:
    """All records, evenly over so long."""
    pieces = max(1, int(seconds / PIECE_S))
    size, began = -(-len(records) // pieces), time.monotonic()
    for number, start in enumerate(range(0, len(records), size)):
        await asyncio.sleep(max(0.0, began + number * PIECE_S - time.monotonic()))
        await publish(settings, records[start : start + size])


async def zombie(settings: Settings, stream: Stream, watch: Watch, seed: int) -> str:
    """The writer's name of a worker that stood still between changes and shard records, was replaced, and went on;
    then the one that had taken its place was killed and another took over. Nobody runs at the end.
    """
    chance = random.Random(f"zombie/{seed}")
    parts = stream.parts(4)
    with ExitStack() as stack:
        first = stack.enter_context(Proc(settings, "worker", f"point=changes-written:{chance.randint(2, 4)}:stop"))
        await first.says(": partitions [")
        sending = asyncio.create_task(trickle(settings, parts[0], 4))
        await stopped(first)
        await sending
        dead = watch.moves[-1].writer
        second = stack.enter_context(Proc(settings, "worker"))
        await publish(settings, parts[1])
        await everybody_moved(settings, watch, dead)  # after the session timeout: all partitions are the second's
        first.go_on()
        await publish(settings, parts[2])
        await asyncio.sleep(chance.uniform(0, 2))
        before = watch.writers
        second.kill()
        third = stack.enter_context(Proc(settings, "worker"))
        began = time.monotonic()
        await publish(settings, parts[3])
        await watch.moved(began, before)
        assert third.running, third.tail()
    return dead


async def stopped(process: Proc) -> None:
    """Wait until it stands still."""
    await first_of(asyncio.Event(), lambda: process.paused or not process.running, LIMIT_S)
    assert process.paused, process.tail()


async def everybody_moved(settings: Settings, watch: Watch, but: str) -> None:
    """Wait until each partition was brought further by somebody else."""
    wanted = set(range(settings.partitions))

    def done() -> bool:
        return {move.partition for move in watch.moves if move.writer != but} >= wanted

    await first_of(asyncio.Event(), done, LIMIT_S)
    assert done(), "nobody took the place of the one that stands still"
