"""The recorded conference, or a generated file of the same shape where it is not at hand."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.acceptance.stack import REPOSITORY

RECORDED = "contacts_iccss17.tij.gz"
_generated: list[str] = []


@pytest.fixture(scope="session")
def contacts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``FIELD_CONTACTS``, else the file beside the clone, else one of our own."""
    for place in (os.environ.get("FIELD_CONTACTS"), REPOSITORY.parent / "shared" / "data" / RECORDED):
        if place and Path(place).is_file():
            return Path(place)
    path = tmp_path_factory.mktemp("contacts") / "generated.tij"
    path.write_text("".join(f"{t}\t{i}\t{j}\n" for t, i, j in generate()))
    _generated.append(str(path))
    return path


def generate(rows: int = 40_000, badges: int = 120, seed: int = 7) -> list[tuple[int, int, int]]:
    """Small groups that talk for a while, in windows of 20 s: sorted by time, nobody meets himself."""
    chance = random.Random(seed)
    t, out = 1_499_752_840, []
    talks: list[tuple[int, int, int]] = []
    while len(out) < rows:
        talks = [talk for talk in talks if talk[2] > t]
        while len(talks) < 20:
            i, j = sorted(chance.sample(range(1, badges + 1), 2))
            talks.append((i, j, t + 20 * chance.choice((1, 1, 1, 2, 3, 6, 15))))
        out += [(t, i, j) for i, j in sorted({(i, j) for i, j, _ in talks})]
        t += 20
    return out[:rows]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _generated:
        terminalreporter.write_line(
            f"The recorded conference ({RECORDED}) was not found: a generated file of the same shape was used. "
            "FIELD_CONTACTS=FILE names the recorded one."
        )
