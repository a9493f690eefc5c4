"""Processes that are measured: started, looked at through /proc and their log, ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.bench import figures

POLL_S = 0.05


class Failed(Exception):
    """What is measured did not start, ended by itself, or took too long."""


class Child:
    """A process in a session of its own, its output in a file. The highest RSS is that of its samples."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path) -> None:
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                list(command), env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, cwd=cwd,
            )  # fmt: skip
        self.rss_mb = 0.0

    def sample(self) -> bool:
        """Does it still run? Remembers its memory."""
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
            if found:
                self.rss_mb = int(found[1]) / 1024
        return self.process.poll() is None

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def said(self, start: str) -> str | None:
        """What follows ``start`` in the first line of the log that begins with it."""
        text = self.log.read_text(errors="replace")
        found = re.search(rf"^{re.escape(start)}(.*)$", text, re.MULTILINE)
        return found[1].strip() if found else None

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-1_500:]

    def kill(self) -> None:
        """At once, as a crash would; it and what it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self) -> None:
        """To end, as an operator does."""
        os.killpg(self.process.pid, signal.SIGTERM)

    def end(self) -> None:
        """Ask, wait, then kill; it and what it has started."""
        for number, grace_s in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
                return


class Daemons:
    """Processes of ours that measure themselves: ``field worker`` or ``field projector``."""

    def __init__(self, children: Sequence[Child], limit_s: float) -> None:
        self.children = children
        self.until = time.monotonic() + limit_s
        self._urls = [self._url(child) for child in children]

    def each(self, name: str, labels: str = "") -> list[int]:
        """A metric of each process, added over series with that text in their labels; Failed when one has ended.

        It asks for that metric alone: a whole page every POLL_S is a tenth of what a worker does.
        """
        found = []
        for child, url in zip(self.children, self._urls, strict=True):
            self.check(child)
            try:
                with urllib.request.urlopen(f"{url}?name[]={name}", timeout=30) as answer:
                    page = figures.by_name(answer.read().decode())
            except OSError as error:  # it has just ended, or hangs
                raise Failed(f"{error}: {child.tail()}") from None
            found.append(int(figures.total(page, name, labels)))
        return found

    def cpu_s(self) -> float:
        return sum(child.cpu_s() for child in self.children)

    def rss_mb(self) -> float:
        return sum(child.rss_mb for child in self.children)

    def check(self, child: Child) -> None:
        """Raises Failed when it has ended, or when the time is over."""
        if not child.sample():
            raise Failed(f"it ended with {child.process.returncode}: {child.tail()}")
        if time.monotonic() > self.until:
            raise Failed(f"it took too long: {child.tail()}")

    def _url(self, child: Child) -> str:
        while True:
            found = re.search(r"metrics on (http://[^\s\"]+)", child.log.read_text(errors="replace"))
            if found:
                return found[1]
            self.check(child)
            time.sleep(POLL_S)
