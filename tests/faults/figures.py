"""What the tests of faults have measured, and what they could not do here: told at the end of a test run."""

from __future__ import annotations

import pytest

_measured: list[str] = []
_refused: list[str] = []


def measured(row: str, seconds: float, bound_s: float) -> None:
    """A figure that must not be asserted, since machines are noisy; over its bound it is marked."""
    _measured.append(f"{row}: {seconds:.1f} s (within {bound_s:g} s{'' if seconds <= bound_s else ': NOT MET'})")


def told(line: str) -> None:
    """Any other figure."""
    _measured.append(line)


def refused(what: str) -> None:
    """Something that this machine does not let us test."""
    _refused.append(what)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _measured:
        terminalreporter.section("faults: measured")
        for line in _measured:
            terminalreporter.line(line)
    if _refused:
        terminalreporter.section("NOT TESTED HERE: faults", sep="!", yellow=True, bold=True)
        for line in _refused:
            terminalreporter.line(line)
