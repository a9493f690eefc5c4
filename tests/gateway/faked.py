"""The fake gateway as a process of a test, and what its log comes to."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from deploy.local import loopback
from tests.gateway.fake import LOG, ORDERS, REQUESTS, Orders

ROOT = Path(__file__).resolve().parents[2]
Event = dict[str, Any]


class Killable(Protocol):
    """A gateway that is killed now and then; ``revive`` starts it again, at the same address, if it is dead."""

    def kill(self) -> None: ...

    def revive(self) -> None: ...


class Fake:
    """``url`` stays the same when it is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = loopback.free()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.gateway.fake", str(self.port), str(self.folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the fake gateway did not start"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def revive(self) -> None:
        """Starts it again if it is dead."""
        if self._process is None or self._process.poll() is not None:
            self.kill()
            self.start()

    def order(self, **orders: Any) -> None:
        """Behave like this from the next request on."""
        beside = self.folder / f"{ORDERS}.new"
        beside.write_text(json.dumps(dataclasses.asdict(Orders(**orders))))
        beside.rename(self.folder / ORDERS)

    @property
    def log(self) -> list[Event]:
        return lines(self.folder / LOG)

    @property
    def requests(self) -> list[Event]:
        return lines(self.folder / REQUESTS)


@contextlib.contextmanager
def faked(folder: Path) -> Iterator[Fake]:
    fake = Fake(folder)
    fake.start()
    try:
        yield fake
    finally:
        fake.kill()


def lines(path: Path) -> list[Any]:
    """The whole lines of a file of JSON lines; what a kill has cut off is left out."""
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def eventually(true: Callable[[], Any], what: str, seconds: float = 120) -> None:
    """Waits until it is true."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def assert_all_there_once(log: Sequence[Event], published: Sequence[str]) -> None:
    """All that ``publish`` returned for is in the log, and the fold would count each exactly once, in order."""
    first: dict[tuple[str, int, int], str] = {}
    for event in log:
        number = (event["device_id"], event["epoch"], event["seq"])
        assert first.setdefault(number, event["id"]) == event["id"], f"two events are number {number}"
    assert len(set(first.values())) == len(first), "an event has two numbers"
    assert set(published) <= set(first.values()), f"lost: {len(set(published) - set(first.values()))}"
    order = [(epoch, seq) for _, epoch, seq in first]
    assert order == sorted(order), "first copies out of order: the fold would take some for late"


class Killed:
    """A client process that publishes without end, writes what was published to ``noted``, and is killed at times."""

    def __init__(self, command: Sequence[str], environ: dict[str, str], noted: Path) -> None:
        self._command = command
        self._environ = os.environ | environ
        self._noted = noted

    def rounds(self, fake: Killable, chance: random.Random, rounds: int) -> None:
        """Each ends with SIGKILL at a random moment after the process has published something.

        In every other round or so the gateway is killed, too, while the client publishes.
        """
        for _ in range(rounds):
            before = len(self.published)
            process = subprocess.Popen(self._command, env=self._environ, cwd=ROOT)
            try:
                eventually(partial(self._reached, fake, process, before + chance.randint(1, 40)), "publishing")
                if chance.random() < 0.5:
                    fake.kill()
                eventually(partial(self._reached, fake, process, before + chance.randint(41, 80)), "publishing")
                time.sleep(chance.random() * 0.05)  # any moment: within a write, a request, an answer
            finally:
                process.kill()
                process.wait()

    def last(self, fake: Killable) -> None:
        """A run that publishes no more and ends by itself when its queue is empty."""
        fake.revive()
        subprocess.run(self._command, env=self._environ | {"DRAIN": "1"}, cwd=ROOT, check=True, timeout=120)

    @property
    def published(self) -> list[str]:
        return lines(self._noted)

    def _reached(self, fake: Killable, process: subprocess.Popen[bytes], published: int) -> bool:
        fake.revive()
        assert process.poll() is None, f"the client ended by itself: {process.returncode}"
        return len(self.published) >= published
