"""Benchmarks are run by hand; that each of them starts is looked at here."""

from __future__ import annotations

import importlib

import pytest

from tests.tidy.source import ROOT

FOLDER = ROOT / "tests" / "benchmarks"
OTHERS = {"bench/publisher.py"}
"""What runs in the peers' own environment, with packages that ours has not."""
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in (FOLDER, FOLDER / "bench")
    for path in folder.glob("*.py")
    if path.relative_to(FOLDER).as_posix() not in OTHERS
)


@pytest.mark.parametrize("module", MODULES)
def test_it_can_be_started(module: str) -> None:
    importlib.import_module(module)


def test_they_were_found() -> None:
    assert {"tests.benchmarks.native_read", "tests.benchmarks.push", "tests.benchmarks.bench.__main__"} <= set(MODULES)
