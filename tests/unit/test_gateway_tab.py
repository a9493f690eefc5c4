"""What a gateway spends of a bucket without asking: never of one that it does not know or that is not well filled."""

from __future__ import annotations

from projections.gateway.buckets import Ask, Told
from projections.gateway.tab import SHARE, Tab, allowance

HALF = int(100 * SHARE)


def ask(cost: int, key: str = "a") -> Ask:
    return Ask(key, 10.0, 100.0, cost)


def known(*keys: str, left: int = 100) -> Tab:
    tab = Tab()
    tab.learn([ask(0, key) for key in keys], [Told(left, 0)] * len(keys))
    return tab


def taken(tab: Tab) -> list[Ask]:
    return tab.take([], 1_000)


def test_what_is_not_known_is_asked_for() -> None:
    tab = Tab()
    assert tab.spend([ask(1)]) is None
    assert taken(tab) == []
    assert known("a").spend([ask(1, "a"), ask(1, "b")]) is None, "all of them have to be known"


def test_it_is_spent_down_to_a_share_and_no_further() -> None:
    tab = known("a")
    assert allowance(100.0) == 100 - HALF
    assert tab.spend([ask(100 - HALF)]) == [(HALF, 0)]
    assert tab.spend([ask(1)]) is None, "nothing flows in until Redis says so"
    assert taken(tab) == [ask(100 - HALF)], "what was refused here is not owed"
    assert known("a", left=-20).spend([ask(1)]) is None


def test_none_is_taken_when_one_is_not_well_filled() -> None:
    tab = known("a", "b")
    assert tab.spend([ask(10, "a"), ask(90, "b")]) is None
    assert taken(tab) == []
    assert tab.spend([ask(10, "a"), ask(40, "b")]) == [(90, 0), (60, 0)]


def test_what_is_spent_is_owed_once() -> None:
    tab = known("a", "b")
    tab.spend([ask(3, "a")])
    tab.spend([ask(4, "a"), ask(5, "b")])
    assert taken(tab) == [ask(7, "a"), ask(5, "b")]
    assert taken(tab) == []


def test_those_who_are_asked_for_are_told_first_and_all_of_them() -> None:
    tab = known("a", "b", "c", "d")
    for key in ("a", "b", "c", "d"):
        tab.spend([ask(1, key)])
    assert tab.take(["d", "c", "d", "e"], 1) == [ask(1, "d"), ask(1, "c")]
    assert tab.take([], 1) == [ask(1, "a")]
    assert tab.take([], 9) == [ask(1, "b")]


def test_what_is_on_its_way_counts_until_it_is_heard() -> None:
    tab = known("a")
    tab.spend([ask(10)])
    owed = taken(tab)
    tab.ask([ask(30)])
    assert tab.spend([ask(11)]) is None
    assert tab.spend([ask(10)]) == [(HALF, 0)]
    tab.learn([*owed, ask(30)], [Told(80, 0), Told(80, 0)])  # others have taken 10, and 30 were refused
    tab.told([*owed, ask(30)])
    assert tab.spend([ask(1)]) == [(69, 0)]


def test_what_redis_did_not_hear_is_told_again() -> None:
    tab = known("a")
    tab.spend([ask(10)])
    owed = taken(tab)
    tab.spend([ask(5)])
    tab.told(owed)
    tab.owe(owed)
    assert tab.spend([ask(1)]) == [(84, 0)]
    assert taken(tab) == [ask(16)]


def test_it_forgets_the_oldest() -> None:
    tab = Tab(buckets_max=2)
    for key in ("a", "b", "c"):
        tab.learn([ask(0, key)], [Told(100, 0)])
    assert len(tab) == 2
    assert tab.spend([ask(1, "a")]) is None
    assert tab.spend([ask(1, "c")]) is not None


def test_so_many_are_owed_at_most_and_then_redis_is_asked() -> None:
    tab = Tab(buckets_max=3)
    tab.learn([ask(0, key) for key in "abc"], [Told(100, 0)] * 3)
    assert tab.spend([ask(1, "a"), ask(1, "b")]) is not None
    assert tab.spend([ask(1, "b"), ask(1, "c")]) is None
    assert taken(tab) == [ask(1, "a"), ask(1, "b")], "nothing was taken of what was asked for"
    tab.told([ask(1, "a"), ask(1, "b")])
    assert tab.spend([ask(1, "b"), ask(1, "c")]) is not None, "they are told: there is room again"
