"""The page's pure modules, by Node's own test runner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"


@pytest.mark.parametrize("file", sorted((HERE / "pure").glob("*.test.js")), ids=lambda file: file.stem)
def test_pure_modules_of_the_page(file: Path) -> None:
    done = subprocess.run([NODE, "--test", file], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass 0" not in done.stdout
