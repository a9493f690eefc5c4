"""Token buckets and rooms: what they hold, and that they end."""

from __future__ import annotations

import pytest

from projections.gateway.buckets import Ask, Buckets
from projections.gateway.limits import neighbourhood
from projections.gateway.room import Full, Room


def ask(cost: int, key: str = "a", rate: float = 2.0, capacity: float = 10.0) -> Ask:
    return Ask(key, rate, capacity, cost)


def test_a_bucket_empties_and_fills() -> None:
    buckets = Buckets()
    assert buckets.charge([ask(7)], 0) == (True, [(3, 0)])
    assert buckets.charge([ask(7)], 0) == (False, [(3, 2_000)])
    assert buckets.charge([ask(7)], 1_999) == (False, [(6, 1)])
    assert buckets.charge([ask(7)], 2_000) == (True, [(0, 0)])
    assert buckets.charge([ask(1)], 1_000_000) == (True, [(9, 0)]), "never fuller than full"
    assert buckets.charge([ask(1)], 0) == (True, [(8, 0)]), "a clock that goes back fills nothing"


def test_more_than_it_holds_needs_it_full_and_leaves_debt() -> None:
    buckets = Buckets()
    assert buckets.charge([ask(25)], 0) == (True, [(-15, 0)])
    assert buckets.charge([ask(1)], 7_000) == (False, [(-1, 1_000)])
    assert buckets.charge([ask(1)], 8_000) == (True, [(0, 0)])
    assert buckets.charge([ask(25)], 12_000)[0] is False
    assert buckets.charge([ask(25)], 13_000)[0] is True


def test_all_are_charged_or_none() -> None:
    buckets = Buckets()
    assert buckets.charge([ask(5, "a"), ask(10, "b")], 0) == (True, [(5, 0), (0, 0)])
    assert buckets.charge([ask(5, "a"), ask(1, "b")], 0) == (False, [(5, 0), (0, 500)])
    assert buckets.charge([ask(5, "a")], 0) == (True, [(0, 0)])


def test_the_number_of_buckets_has_an_end() -> None:
    buckets = Buckets(buckets_max=10)
    for n in range(100):
        buckets.charge([ask(10, str(n)), ask(1, "kept", capacity=1_000.0)], 0)
    assert len(buckets) == 10
    assert buckets.charge([ask(1, "99")], 0)[0] is False
    assert buckets.charge([ask(1, "0")], 0)[0] is True


def test_a_room_is_full_at_its_bounds() -> None:
    room = Room(3, 100)
    room.take(2, 50)
    for events, size in ((2, 0), (0, 51)):
        with pytest.raises(Full):
            room.take(events, size)
    assert (room.events, room.bytes) == (2, 50)
    with room.share() as share:
        share.take(30)
        with pytest.raises(Full):
            share.take(30)
        assert room.bytes == 80
    assert (room.events, room.bytes) == (2, 50), "what a share took is free again"
    room.take(1, 50)


def test_an_address_is_a_household() -> None:
    assert neighbourhood("192.0.2.7") == neighbourhood("::ffff:192.0.2.7") == "192.0.2.7"
    assert neighbourhood("2001:db8:1:2:3::4") == neighbourhood("2001:db8:1:2::9") != neighbourhood("2001:db8:1:3::9")
    assert neighbourhood("unknown") == "unknown"
