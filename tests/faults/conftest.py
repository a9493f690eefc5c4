"""The seed of a run (``FAULTS_SEED``), and the figures at the end of it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from streams.settings import Settings
from tests.faults import measures
from tests.faults.scenarios import Place


@pytest.fixture
def place(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> Place:
    """The seed decides stream, moments and points; a failing test prints how to run it again with the same."""
    chosen = int(os.environ.get("FAULTS_SEED", "1"))
    print(f"seed {chosen}; again: FAULTS_SEED={chosen} .venv/bin/pytest '{request.node.nodeid}'")
    return Place(make_settings, chosen)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if measures.FIGURES:
        terminalreporter.section("faults: figures", sep="-")
        for line in measures.lines():
            terminalreporter.line(line)
