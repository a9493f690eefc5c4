"""Named points of the processes' work, at which a process kills or stops itself. Nothing of the production code is
changed: the functions around a point are wrapped from outside, in the process that ``bootstrap`` starts.

worker      changes-sent       changes and dead letters are on their way, nothing is acknowledged
            changes-written    between changes and shard records
            shards-sent        before the changelog is acknowledged
            shards-written     between the shards' records and the position that covers them
            position-written   between changelog and acknowledgement of the events
projector   rows-written       rows are written, the transaction is still open
            rows-committed     between database commit and the next read
            states-committed   a reading is stored
publisher   field-read         between database and Redis: the field is read, Redis has not got it
            field-written      the snapshot is in Redis
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

WORKER = ("changes-sent", "changes-written", "shards-sent", "shards-written", "position-written")
PROJECTOR = ("rows-written", "rows-committed", "states-committed")
PUBLISHER = ("field-read", "field-written")

HALF_SENT_S = 0.012
"""A little more than the producer lingers: of what is sent something is written and something is not."""


class Point:
    """Counts passages; at the ``at``-th the process gets the signal (SIGKILL, or SIGSTOP)."""

    def __init__(self, name: str, at: int, number: signal.Signals) -> None:
        self.name = name
        self._left = at
        self._signal = number

    def passed(self) -> None:
        """Does not come back from the last passage, or only after a SIGCONT."""
        self._left -= 1
        if self._left == 0:
            print(f"at {self.name}: {self._signal.name}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), self._signal)


def install(role: str, words: str) -> None:
    """``NAME:N`` or ``NAME:N:stop``; raises KeyError for a point that the role does not have."""
    name, at, *how = words.split(":")
    point = Point(name, int(at), signal.SIGSTOP if how == ["stop"] else signal.SIGKILL)
    names, wrap = {
        "worker": (WORKER, _worker), "projector": (PROJECTOR, _projector), "publisher": (PUBLISHER, _publisher),
    }[role]  # fmt: skip
    if name not in names:
        raise KeyError(f"{role} has no point {name}")
    wrap(point)


def _worker(point: Point) -> None:
    from streams import checkpoint
    from streams.table import parse_key

    original, send = checkpoint.acknowledged, checkpoint.Checkpointer._send_record
    step = ""

    def noted(self: Any, plan: Any, key: bytes, value: bytes) -> Any:
        nonlocal step
        step = "position" if parse_key(key)[1] is None else "shards"
        return send(self, plan, key, value)

    async def acknowledged(sends: Any, topic: str, what: str, partition: int = -1) -> None:
        now = {"changes, copies and dead letters": "changes", "markers": "markers"}.get(what, step)
        ours = what != "tombstones"
        if ours and point.name == f"{now}-sent":
            await asyncio.sleep(HALF_SENT_S)
            point.passed()
        await original(sends, topic, what, partition)
        if ours and point.name == {"markers": "changes-written"}.get(now, f"{now}-written") and now != "changes":
            point.passed()

    checkpoint.acknowledged = acknowledged
    checkpoint.Checkpointer._send_record = noted  # type: ignore[method-assign]


def _projector(point: Point) -> None:
    from projections.follow import Follower
    from projections.raw import Raw
    from projections.samples import Sampler
    from projections.state import State

    if point.name == "rows-committed":
        _after(Follower, "_transact", point.passed)
    elif point.name == "states-committed":
        _after(Sampler, "sample", point.passed)
    else:
        _after(Raw, "write", point.passed)
        _after(State, "write", point.passed)


def _publisher(point: Point) -> None:
    from projections.hot import Publisher
    from projections.views import Views

    if point.name == "field-written":
        _after(Publisher, "publish", point.passed)
        return
    read = Views.read

    def noted(self: Any, now: int) -> Any:
        reading = read(self, now)
        point.passed()
        return reading

    Views.read = noted  # type: ignore[method-assign]


def _after(of: type, name: str, do: Callable[[], None]) -> None:
    original = getattr(of, name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = await original(*args, **kwargs)
        do()
        return found

    setattr(of, name, wrapped)
