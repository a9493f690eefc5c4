"""Processes of an instance that tests start, kill, stop and start again; nothing here outlives its ``with``."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from streams.settings import Settings, exports

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT_S = 90.0
"""A bound on hanging, never a performance check."""

_numbers = itertools.count()


class Proc:
    """One process of a role, started by ``bootstrap``; ``words`` are its points and breaks. Its log is a file."""

    def __init__(self, settings: Settings, role: str, *words: str) -> None:
        home = Path(settings.home)
        home.mkdir(parents=True, exist_ok=True)
        self.role = role
        self.started = time.monotonic()
        self.log = home / f"{role}-{next(_numbers):03d}.log"
        environ = {k: v for k, v in os.environ.items() if not k.startswith("FIELD_")} | exports(settings, secrets=True)
        with self.log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.bootstrap", role, *words],
                env=environ, cwd=REPOSITORY, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def __enter__(self) -> Proc:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self._process.kill()  # a stopped one, too
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Exit code; minus the number of the signal that ended it; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    @property
    def paused(self) -> bool:
        """Whether it is stopped by SIGSTOP."""
        status = Path(f"/proc/{self.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """The exit code of a process that leaves by itself."""
        return await asyncio.to_thread(self._process.wait, LIMIT_S)

    def said(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    async def says(self, text: str) -> None:
        """Wait for a line in its log; AssertionError with the end of the log when it ends or takes too long."""
        end = time.monotonic() + LIMIT_S
        while not self.said(text):
            assert self.running, f"it ended without {text!r}: {self.tail()}"
            assert time.monotonic() < end, f"no {text!r}: {self.tail()}"
            await asyncio.sleep(0.05)

    def tail(self) -> str:
        """The end of its log, for messages."""
        return f"{self.role} {self.pid}, exit {self.code}: ...{self.log.read_text(errors='replace')[-2_000:]}"
