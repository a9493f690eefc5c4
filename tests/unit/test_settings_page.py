"""``deploy/SETTINGS.md`` is what the code says: every setting, and the sensitivity of the field's constants."""

from __future__ import annotations

import dataclasses

import pytest

from deploy import sensitivity
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


@pytest.mark.parametrize(
    ("name", "factor"), [("slot_half_life_ms", 2), ("silence_ms", 0.5), ("echo_distance", 0.5), ("particles", 2)]
)
def test_some_rows_are_measured_again(name: str, factor: float) -> None:
    row = sensitivity.row(name, factor)
    assert row + "\n" in TEXT, "python -m deploy.sensitivity writes it anew"
    assert row.partition(" | ")[2] != sensitivity._line("", sensitivity.reading(DEFAULT_RULES)).partition(" | ")[2]
