"""Starts and stops the servers of local parts; the books are kept by ``deploy.processes``."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy import processes
from deploy.processes import Process

LOG_BYTES_MAX = 32 * 1024 * 1024
"""A log that has grown over this is set aside (one old one is kept) when its server starts."""

_children: dict[int, subprocess.Popen[bytes]] = {}  # ours to reap; a zombie would look like a slow server


def base(home: Path) -> Path:
    """Where local parts live: data, configuration and process files."""
    return home / "parts"


def start(home: Path, part: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
    """Starts a server in a session of its own (Ctrl-C does not reach it), output to ``logs/<part>.log``."""
    log = log_file(home, part)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=None if env is None else dict(env),
        )
    _children[child.pid] = child
    process = Process(part, child.pid, time.time(), processes.identity(child.pid))
    processes.write(base(home), process)
    return process


def running(home: Path, part: str) -> Process | None:
    """The server of that part if it lives, and is still the one that was started here."""
    for process in processes.read_all(base(home)):
        if process.role == part and alive(process):
            return process
    return None


def alive(process: Process) -> bool:
    """Whether that very process lives; reaps it when it was our child."""
    found = processes.alive(process)  # before: one that ends between the two questions is reaped, too
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        del _children[process.pid]
        return False
    return found


def stop(home: Path, part: str, polite: signal.Signals = signal.SIGTERM, grace_s: float = 20.0) -> bool:
    """Asks the server to end, waits, then kills it; forgets its file. False when there was nothing to stop."""
    process = running(home, part)
    if process is not None:
        _signal(process, polite)
        if not _gone(process, grace_s):
            _signal(process, signal.SIGKILL)
            _gone(process, 10.0)
    processes.remove(base(home), part)
    return process is not None


def log_file(home: Path, part: str) -> Path:
    """Where the output of that server goes."""
    return home / "logs" / f"{part}.log"


def log_end(home: Path, part: str, lines: int = 15) -> str:
    """The last lines of its log, for an error that a person can act on."""
    try:
        with log_file(home, part).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (the log is empty)"


def _signal(process: Process, number: signal.Signals) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return


def _gone(process: Process, timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while alive(process):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
