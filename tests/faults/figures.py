"""What tests of outages could not do on this machine, told loudly at the end; figures go to ``measures``."""

from __future__ import annotations

import pytest

from tests.faults import measures

_refused: list[str] = []


def measured(row: str, seconds: float, bound_s: float) -> None:
    """A figure that must not be asserted, since machines are noisy; over its bound it is marked."""
    kept = {"seconds": seconds, "wanted": f"within {bound_s:g} s"}
    measures.note(row, **kept if seconds <= bound_s else {**kept, "NOT": "MET"})


def refused(what: str) -> None:
    """Something that this machine does not let us test."""
    _refused.append(what)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _refused:
        terminalreporter.section("NOT TESTED HERE: faults", sep="!", yellow=True, bold=True)
        for line in _refused:
            terminalreporter.line(line)
