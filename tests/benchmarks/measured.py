"""One command of ours, run to its end: what it said and when, its time, what it and all its processes used."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.tidy.source import ROOT

LOOK_S = 0.2


class Measured(NamedTuple):
    """``lines``: (seconds since the start, text). ``peak_mb``: the most that all processes had at once, pages that
    they share counted once, as far as looks every LOOK_S have seen it.
    """

    code: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    lines: list[tuple[float, str]]

    @property
    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def at(self, pattern: str) -> tuple[float, re.Match[str]]:
        """When it said this first; raises SystemExit when it did not."""
        for seconds, line in self.lines:
            if found := re.search(pattern, line):
                return seconds, found
        raise SystemExit(f"it did not say {pattern!r}, and ended with {self.code}:\n{self.text}")


def field(words: Sequence[str], settings: Mapping[str, str], under: Sequence[str] = ()) -> Measured:
    """``field`` and these words, with settings by name; ``under``: a command that starts it, such as a profiler."""
    return run([*under, sys.executable, "-m", "deploy.cli", *words], settings)


def run(command: Sequence[str], settings: Mapping[str, str]) -> Measured:
    """A command, with these variables beside those of the environment."""
    environ = {**os.environ, **settings, "PYTHONUNBUFFERED": "1"}  # a line comes when it is said
    stop, peaks = threading.Event(), [0.0]
    begun = time.perf_counter()
    with subprocess.Popen(
        command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        looking = threading.Thread(target=_look, args=(process.pid, stop, peaks))
        looking.start()
        assert process.stdout is not None
        lines = [(time.perf_counter() - begun, line.rstrip("\n")) for line in process.stdout]
        _, status, used = os.wait4(process.pid, 0)  # of its children, too: it has waited for them
        wall_s = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        stop.set()
        looking.join()
    return Measured(process.returncode, wall_s, used.ru_utime + used.ru_stime, max(peaks), lines)


def _look(pid: int, stop: threading.Event, peaks: list[float]) -> None:
    while not stop.wait(LOOK_S):
        peaks.append(sum(map(_mb, _tree(pid))))


def _tree(pid: int) -> Iterator[int]:
    """It and what it has started."""
    yield pid
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _tree(int(child))


def _mb(pid: int) -> float:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:  # it has just ended
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
