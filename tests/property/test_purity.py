"""Law 6: the fold is pure. (What its modules may import and call is held by tests/tidy/test_layers.py.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(seed: int, hash_seed: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.property.purity_run", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_processes_fold_the_same_bytes(seed: int) -> None:
    """Neither the order of hashes nor the environment shows in digests, changes, records or readings."""
    first = run(seed, "0")
    assert '"digest"' in first
    assert run(seed, "1") == first
    assert run(seed, "4242", TZ="Pacific/Kiritimati", LC_ALL="C", FIELD_RULE_SEATS="1") == first
