"""A bounded run of the fuzzer, with the examples as its corpus and a fixed seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schema.examples import records
from tests.tidy.source import ROOT

RUNS = int(os.environ.get("FUZZ_RUNS", "10000"))


def corpus(folder: Path) -> None:
    for one in (*records.good(), *records.bad()):
        if len(one.value) < 4_096:
            (folder / one.name).write_bytes(b"j" + one.value)
            if one.value.startswith(b"\xf1"):
                (folder / f"sealed-{one.name}").write_bytes(b"s" + one.value[5:12] + one.value[20:])


@pytest.mark.parametrize("seed", [1])
def test_only_the_named_errors_come_out(tmp_path: Path, seed: int):
    corpus(tmp_path)
    command = [sys.executable, "-m", "tests.fuzz.fuzz_decoders", str(tmp_path), f"-runs={RUNS}", f"-seed={seed}"]
    command += ["-max_len=4096", f"-artifact_prefix={tmp_path}/crash-"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4_000:]
    assert f"Done {RUNS} runs" in done.stderr
