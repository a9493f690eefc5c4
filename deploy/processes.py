"""Process files: which process plays which role here, and is it still the same one.

``<home>/run/<role>.json`` holds role, pid and start time. A pid alone may have been given to somebody else
since, so the start time of the kernel's own books is compared before anything is signalled.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec

TERM_S = 20.0
"""A worker ends its last checkpoint within this time; after it comes SIGKILL."""


class Process(msgspec.Struct, omit_defaults=True):
    """One process file. ``started`` is epoch seconds; ``identity`` the kernel's start time, empty if unknown."""

    role: str
    pid: int
    started: float
    identity: str = ""
    restarts: int = 0
    exit_code: int | None = None
    advice: str = ""


def identity(pid: int) -> str:
    """The kernel's start time of a pid (clock ticks since boot); empty where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def alive(process: Process) -> bool:
    """Is it running, and still the one that the file speaks of?"""
    if process.exit_code is not None:
        return False
    if process.identity or Path("/proc/self/stat").exists():
        return bool(process.identity) and identity(process.pid) == process.identity
    try:
        os.kill(process.pid, 0)
    except OSError:
        return False
    return True


def folder(home: Path) -> Path:
    return home / "run"


def write(home: Path, process: Process) -> None:
    """Replace the role's file in one step, so that a reader never sees half of it."""
    folder(home).mkdir(parents=True, exist_ok=True)
    fresh = folder(home) / f".{process.role}.new"
    fresh.write_bytes(msgspec.json.encode(process) + b"\n")
    fresh.replace(folder(home) / f"{process.role}.json")


def remove(home: Path, role: str) -> None:
    (folder(home) / f"{role}.json").unlink(missing_ok=True)


def read_all(home: Path) -> list[Process]:
    """All process files of this home, by role; files that are none are left out."""
    found = []
    for path in sorted(folder(home).glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Process))
        except (OSError, msgspec.MsgspecError):
            continue
    return found


def end(home: Path, process: Process, term_s: float = TERM_S) -> bool:
    """SIGTERM, then SIGKILL after ``term_s``; true if it had to be killed. The process file goes."""
    killed = False
    if alive(process):
        _signal(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + term_s
        while alive(process) and time.monotonic() < deadline:
            time.sleep(0.05)
        if alive(process):
            _signal(process.pid, signal.SIGKILL)
            killed = True
            while alive(process):
                time.sleep(0.02)
    remove(home, process.role)
    return killed


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
