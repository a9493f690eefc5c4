"""The seed of a run (``FAULTS_SEED``), and the figures at the end of it."""

from __future__ import annotations

import os

import pytest

from tests.faults import figures


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Decides stream, moments and points; a failing test prints how to run it again with the same."""
    chosen = int(os.environ.get("FAULTS_SEED", "1"))
    print(f"seed {chosen}; again: FAULTS_SEED={chosen} .venv/bin/pytest '{request.node.nodeid}'")
    return chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures.FIGURES:
        terminalreporter.section("faults: figures", sep="-")
        for line in figures.lines():
            terminalreporter.line(line)
