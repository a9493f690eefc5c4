"""A rehearsed upgrade is judged by what it promises."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upgrade.judge import wrong

WELL: dict[str, Any] = {
    "rebalances of the workers": 0, "requests not answered well": {}, "acknowledged and lost": 0, "difference": 0,
    "verifier": "7 of 7 digests equal", "in all, s": 40.0,
}  # fmt: skip


def test_nothing_is_wrong_where_all_went_well() -> None:
    assert wrong(WELL) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rebalances of the workers", 2),
        ("requests not answered well", {"503": 1}),
        ("requests not answered well", {"none": 1}),
        ("acknowledged and lost", 1),
        ("difference", 1),
        ("verifier", "6 of 7 digests equal"),
    ],
)
def test_what_is_not_as_promised_is_wrong(name: str, value: Any) -> None:
    assert wrong(WELL | {name: value}) == [f"{name}: {value}"]


def test_workers_without_names_may_rebalance() -> None:
    assert wrong(WELL | {"rebalances of the workers": 2}, nameless=True) == []
