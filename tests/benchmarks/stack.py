"""A whole stack of its own for a benchmark, what its processes cost, and the state of the machine meanwhile."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deploy import context, processes
from streams.settings import Settings, known

UP_S = 300.0
TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def stack(over: Mapping[str, str] = MappingProxyType({})) -> Iterator[Settings]:
    """``field up`` in a folder of its own, on ports of its own; stopped and deleted whatever happens within.

    ``over``: settings that differ. None of this environment's settings counts.
    """
    with tempfile.TemporaryDirectory(prefix="field-bench-") as folder:
        environ = {name: value for name, value in os.environ.items() if name not in known()}
        environ |= {"FIELD_HOME": f"{folder}/home", "FIELD_PARTS": os.environ.get("FIELD_PARTS", "auto"), **over}
        try:
            _field(environ, "up")
            yield context.load(environ)
        finally:
            _field(environ, "clean")


def _field(environ: Mapping[str, str], command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", command], env=environ, capture_output=True, text=True, timeout=UP_S
    )
    if done.returncode:
        raise SystemExit(f"field {command}:\n{done.stdout}{done.stderr}")


def roles(settings: Settings) -> dict[str, int]:
    """Process ids by role."""
    return {one.role: one.pid for one in processes.read_all(Path(settings.home)) if one.role != "supervisor"}


def cpu_s(pid: int) -> float:
    """What a process has used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def busy_s() -> float:
    """What everybody on this machine has used so far, in seconds of one core."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return (sum(map(int, fields[:3])) + sum(map(int, fields[5:8]))) / TICKS


def rss_mb(pid: int) -> float:
    """Resident now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def gateway_metrics(settings: Settings) -> dict[str, float]:
    """Samples of the gateway's metrics, with their labels in the names."""
    found: dict[str, float] = {}
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.gateway_metrics_port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
    return found


def machine() -> dict[str, Any]:
    """What it ran on, and the load (of one minute) that was there before."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 1),
    }
