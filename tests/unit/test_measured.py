"""What a benchmark measures of a command: of all its processes, and when it said what."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks import measured

BUSY = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
PARENT = f"""
import subprocess, sys, time
print("begun", flush=True)
subprocess.run([sys.executable, "-c", {BUSY!r}])
block = b"x" * (64 << 20)
time.sleep(1)
print("ended")
raise SystemExit(3)
"""


def test_it_counts_all_processes() -> None:
    found = measured.run([sys.executable, "-c", PARENT], {})
    assert found.code == 3
    assert found.wall_s > 1
    assert found.cpu_s >= 0.3, "that of the child is in it"
    assert found.peak_mb > 64
    begun_s, _ = found.at("begun")
    ended_s, said = found.at("end(ed)")
    assert ended_s - begun_s >= 1
    assert said[1] == "ed"


def test_what_was_not_said_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="it did not say 'folded', and ended with 0:\nhello"):
        measured.run([sys.executable, "-c", "print('hello')"], {}).at("folded")
