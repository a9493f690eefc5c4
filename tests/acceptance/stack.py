"""A whole stack for a test, driven by the ``field`` command as a person would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deploy import processes
from deploy.secret_files import FILES
from streams.settings import Settings, exports, known
from tests.commands import printed

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FIELD = [sys.executable, "-m", "deploy.cli"]


def environment(over: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any setting of the field, then ``over``."""
    ours = known() | set(FILES) | {"FIELD_CONTACTS", "TEST_PARTS"}
    bare = {name: value for name, value in os.environ.items() if name not in ours}
    scripts = str(Path(sys.executable).parent)
    return {**bare, "PATH": f"{scripts}{os.pathsep}{bare['PATH']}", "COLUMNS": "200", **over}


class Stack:
    """Processes of one instance on the parts of the test session."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = Path(settings.home)
        self.environ = environment(exports(settings, secrets=True))
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Stack:
        self.field("up")
        return self

    def __exit__(self, *_: object) -> None:
        for started in self._started:
            if started.stdout is not None and not started.stdout.closed:  # the test has failed before it was over
                started.kill()
                started.communicate()
        self.field("down")

    def run(self, *words: str, **over: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with some settings of its own."""
        # surrogateescape: malformed bytes on standard output come back as they were
        return subprocess.run(
            [*FIELD, *words], env={**self.environ, **over}, cwd=REPOSITORY, capture_output=True, timeout=280,
            encoding="utf-8", errors="surrogateescape",
        )  # fmt: skip

    def field(self, *words: str, code: int = 0, **over: str) -> str:
        """Run a command to its end; its standard output. Fails with all it said when the code is another."""
        done = self.run(*words, **over)
        assert done.returncode == code, f"field {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def start(self, *words: str, **over: str) -> subprocess.Popen[str]:
        """Start a command and go on; it ends with the stack at the latest."""
        started = subprocess.Popen(
            [*FIELD, *words],
            env={**self.environ, **over},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(started)
        return started

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command prints with ``--json``, held to its schema."""
        done = self.run(*words, "--json")
        assert done.returncode == code, f"field {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return printed(words, done.stdout)

    def process(self, role: str) -> processes.Process | None:
        """The role's process while it lives."""
        found = processes.read_all(self.home)
        return next((p for p in found if p.role == role and processes.alive(p)), None)

    def kill(self, role: str) -> None:
        """SIGKILL, as soon as it runs."""
        until(lambda: self.process(role) is not None, f"{role} runs")
        process = self.process(role)
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
    """Wait for something; a bound on hanging only. To look is often a process, which takes from what is waited for: it
    rests as long as it looks.
    """
    end = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        if condition():
            return
        assert time.monotonic() < end, f"it never came about: {what}"
        time.sleep(max(0.1, time.monotonic() - began))
