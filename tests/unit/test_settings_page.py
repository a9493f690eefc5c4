"""``deploy/SETTINGS.md`` is what the code says: every setting, and the sensitivity of the field's constants."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from deploy import sensitivity
from streams.fold.duplicates import Window
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.settings import known, page

TEXT = sensitivity.PAGE.read_text()


def test_the_page_is_the_one_of_the_code() -> None:
    assert page() in TEXT, "python -m deploy.sensitivity writes it anew"
    assert not [name for name in known() if f"`{name}`" not in TEXT]


def test_every_constant_has_its_two_rows() -> None:
    table = TEXT.partition("## Sensitivity")[2]
    for item in dataclasses.fields(Rules):
        assert table.count(f"| `{item.name}` ") == 2, item.name


def test_the_row_of_the_defaults_is_measured_again() -> None:
    assert sensitivity._line("defaults", sensitivity.reading(DEFAULT_RULES)) + "\n" in TEXT


def test_every_constant_shows_or_says_why_it_cannot() -> None:
    lines = TEXT.partition("## Sensitivity")[2].splitlines()
    (defaults,) = (line.partition(" | ")[2] for line in lines if line.startswith("| defaults "))
    rows = {line.partition(" | ")[0]: line.partition(" | ")[2] for line in lines if line.startswith("| `")}
    assert [name for name, row in rows.items() if row == defaults] == []
    assert [name for name, row in rows.items() if "not possible: " in row] == ["| `sequence_window` x 2"]


def test_why_a_window_cannot_be_wider() -> None:
    """Its numbers are the bits of one integer, which MessagePack stores."""
    widest = next(item for item in dataclasses.fields(Rules) if item.name == "sequence_window").metadata["maximum"]
    window = Window(0, 1_000, (1 << widest) - 1)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(window), type=Window) == window
    with pytest.raises(OverflowError):
        msgspec.msgpack.encode(Window(0, 1_000, (1 << 2 * widest) - 1))


@pytest.mark.parametrize(
    ("name", "factor"),
    [("sequence_window", 0.5), ("slot_half_life_ms", 2), ("silence_ms", 0.5), ("echo_distance", 0.5), ("particles", 2)],
)
def test_some_rows_are_measured_again(name: str, factor: float) -> None:
    row = sensitivity.row(name, factor)
    assert row + "\n" in TEXT, "python -m deploy.sensitivity writes it anew"
    assert row.partition(" | ")[2] != sensitivity._line("", sensitivity.reading(DEFAULT_RULES)).partition(" | ")[2]
