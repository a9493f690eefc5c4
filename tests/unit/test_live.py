"""Figures of the live view."""

from __future__ import annotations

from deploy import live


def test_rate_between_two_looks() -> None:
    rate = live.Rate()
    assert rate.of(100, 1.0) is None
    assert rate.of(300, 3.0) == 100
    assert rate.of(5, 4.0) is None, "the worker started anew"
    assert rate.of(None, 5.0) is None


def test_a_counter_that_moves_in_steps_keeps_its_rate_for_a_while() -> None:
    rate = live.Rate()
    assert [rate.of(*look) for look in ((0, 0.0), (200, 2.0), (200, 3.0), (400, 4.0), (400, 4.0 + live.HOLD_S))] == [
        None, 100, 100, 100, 0,
    ]  # fmt: skip
