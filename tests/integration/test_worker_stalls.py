"""A worker that really stands still leaves with its exit code, the supervisor starts it again, the state is right."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from deploy import processes
from deploy.supervisor import Supervisor
from streams import topics, wire
from streams.settings import exports
from streams.table import partition_of
from tests.workers import MAIN, Sent, expected, folded, found, instance, publish, until
from tests.worlds import say

STALLING = """
import asyncio, pathlib, time
from streams.intake import Intake
once, fold = pathlib.Path({once!r}), Intake.fold
async def stuck(self, *args):
    if self.records and not once.exists():
        once.touch()
        {way}
    return await fold(self, *args)
Intake.fold = stuck
"""
"""The second batch of the first process never ends."""

WAYS = {
    "an await that never ends": ("await asyncio.Event().wait()", "records wait and nothing was folded or committed"),
    "a call that holds the loop": ("time.sleep(1_000_000)", "the event loop stands still for 5 s, in stuck"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_stalled_worker_is_replaced(kafka: str, tmp_path: Path, way: str) -> None:
    stall, line = WAYS[way]
    settings = instance(kafka, tmp_path, stall_s=5, poll_records=50, instance="only")
    await topics.create(settings)
    home, once = Path(settings.home), tmp_path / "stalled"
    code = STALLING.format(once=str(once), way=stall) + MAIN
    environ = {k: v for k, v in os.environ.items() if not k.startswith("FIELD_")} | exports(settings, secrets=True)
    said: list[str] = []
    supervisor = Supervisor(home, {"worker": [sys.executable, "-c", code]}, environ, said.append)
    log = [say(f"device-{n % 9}", "BLOOM", n * 0.1, room=f"room-{n % 5}", seq=n) for n in range(600)]
    sent = [Sent(wire.encode_event(event), partition_of(event.key, settings.partitions)) for event in log]
    await supervisor.start()
    try:
        await publish(settings, sent[:300])
        await until(once.exists, "it never stalled")
        await publish(settings, sent[300:])  # the lag grows while it stands still
        await until(lambda: said, "nobody noticed that the worker stands still")
        assert said[0].startswith("worker ended (exit 6): ")
        assert line in said[0]
        assert found(await folded(settings), settings) == await expected(settings)
        (worker,) = processes.read_all(home)
        assert (worker.restarts, len(said)) == (1, 1)
    finally:
        await supervisor.stop()
