"""``field run --embedded`` and the commands of its home, as processes, for a test that kills them."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.acceptance.stack import FIELD, REPOSITORY, environment

LIMIT_S = 120
"""A bound on hanging, never a performance check."""


class Home:
    """One home; ``over`` are settings beside it."""

    def __init__(self, folder: Path, **over: str) -> None:
        self.folder = folder
        self.environ = environment(
            {"FIELD_HOME": str(folder), "FIELD_WORKER_METRICS_PORT": "0", "FIELD_GATEWAY_PORT": "0", **over}
        )

    def field(self, *words: str, code: int = 0) -> str:
        """Run a command to its end; its standard output, or what it said on stderr where ``code`` is not 0."""
        done = subprocess.run(
            [*FIELD, *words], env=self.environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.returncode == code, f"field {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def start(self, *words: str) -> Running:
        return Running([*FIELD, *words], self.environ)


class Running:
    """A command that goes on; a context manager that leaves nothing behind."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command, env=environ, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def says(self, text: str) -> str:
        """The first line from here on that holds ``text``."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"it ended without {text!r}:\n{''.join(self.lines)}")

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait(LIMIT_S)

    def interrupt(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Ctrl-C, or SIGTERM; exit code and the rest of what it said."""
        self._process.send_signal(how)
        rest, _ = self._process.communicate(timeout=LIMIT_S)
        return self._process.returncode, rest
