"""Lag and freshness as the status tells them: never better than what is known."""

from __future__ import annotations

from deploy.observe import follower

MOVED = {0: 90.0, 1: 70.0}


def test_at_the_end_of_the_log_it_is_fresh_however_long_ago_it_moved() -> None:
    found = follower("raw", {0: 9, 1: 4}, {0: 9, 1: 4}, MOVED, 100.0)
    assert (found.lag, found.freshness_s) == ({0: 0, 1: 0}, 0.0)
    nothing = follower("raw", {}, {0: -1}, {}, 100.0)
    assert (nothing.lag, nothing.freshness_s) == ({0: 0}, 0.0)


def test_behind_it_is_as_old_as_its_last_move_where_it_is_behind() -> None:
    assert follower("state", {0: 8, 1: 4}, {0: 9, 1: 4}, MOVED, 100.0).freshness_s == 10.0
    both = follower("state", {0: 8, 1: 2}, {0: 9, 1: 4}, MOVED, 100.0)
    assert (both.lag, both.freshness_s) == ({0: 1, 1: 2}, 30.0)


def test_what_is_not_known_is_not_told() -> None:
    assert follower("state", {}, {0: 9}, {}, 100.0).freshness_s is None
    away = follower("state", {0: 9}, None, MOVED, 100.0)
    assert (away.lag, away.freshness_s) == (None, 10.0)
    assert follower("worker", {}, None, {}, 100.0).freshness_s is None
