"""What was measured on: the machine without its name, and versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploy.local import kafka, parts
from streams.settings import Settings
from tests.benchmarks.bench import setup


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system."""
    processor = re.search(r"^model name\s*: (.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) / 1024**2, 1) if memory else None,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(settings: Settings, java: bool) -> dict[str, str]:
    """Of everything that takes part."""
    found = {"python": platform.python_version(), **setup.versions()}
    for name in ("faust-streaming", "aiokafka", "numpy", "msgspec", "psycopg", "the-field"):
        found[name] = version(name)
    for row in parts.describe(settings):
        found[row["part"]] = " ".join(filter(None, (row["version"], row["edition"])))
    found["kafka"] = found.get("kafka") or kafka.VERSION
    if java:
        answer = subprocess.run(["java", "-version"], capture_output=True, text=True)
        match = re.search(r'version "([^"]+)"', answer.stderr + answer.stdout)
        found["java"] = match[1] if match else ""
    return dict(sorted(found.items()))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
