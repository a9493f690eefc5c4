"""``field top`` and ``field doctor`` beside a stack that works, and one whose worker is gone."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import time

from streams.settings import Settings
from tests.acceptance.stack import FIELD, REPOSITORY, Stack, until


def test_top_and_doctor_of_a_running_stack(settings: Settings) -> None:
    with Stack(settings) as stack:
        fleet = stack.start("simulate", "--devices", "50", "--rate", "200", "--seed", "3", "--duration", "60")
        until(lambda: busy(stack), "every process does something, every partition has an owner")
        found = stack.json("doctor")
        assert [one for one in found if one["state"] == "bad"] == []
        (group,) = (one for one in found if one["check"] == "worker group")
        assert (group["state"], "1 member" in group["what"]) == ("ok", True)
        text = stack.field("top", "--once")
        assert all(word in text for word in ("worker", "projector", "publisher", "gateway", "partition", "listeners"))
        port = next(row["where"] for row in stack.json("top")["processes"] if row["role"] == "worker")
        further = stack.field("top", "--json", "--endpoint", port)
        assert f'"worker {port}"' in further
        on_a_terminal(stack)
        stack.kill("worker")
        until(lambda: restarts(stack) > 0, "the restart shows")
        fleet.kill()
        fleet.communicate()


def busy(stack: Stack) -> bool:
    it = stack.json("top")
    rows = {row["role"]: row for row in it["processes"]}
    return (
        set(rows) == {"worker", "projector", "publisher", "gateway"}
        and all(row["up"] and row["pid"] and row["memory_bytes"] for row in rows.values())
        and all((rows[role]["rate"] or 0) > 0 and rows[role]["batch_p95_s"] for role in ("worker", "projector"))
        and len(it["partitions"]) == stack.settings.partitions
        and all(row["owner"].startswith("127.0.0.1") for row in it["partitions"])
        and any((row["in_rate"] or 0) > 0 for row in it["partitions"])
        and len(it["gateways"]) == 1
    )


def restarts(stack: Stack) -> int:
    return max(row["restarts"] for row in stack.json("top")["processes"] if row["role"] == "worker")


def on_a_terminal(stack: Stack) -> None:
    """It draws again and again, and Ctrl-C ends it quietly."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*FIELD, "top", "--interval", "0.2"], env={**stack.environ, "TERM": "xterm", "LINES": "50"}, cwd=REPOSITORY,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    drawn, end = b"", time.monotonic() + 60
    try:
        while drawn.count(b"uncommitted") < 3:
            assert time.monotonic() < end, drawn
            drawn += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # it has ended
            while time.monotonic() < end:
                drawn += os.read(ours, 65_536)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"Traceback" not in drawn
