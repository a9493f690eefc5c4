"""The field as of moments of the past against the oracle, which judges by the whole log and folds up to the moment."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streams.events import OPTS, Event
from streams.fold import as_of
from streams.fold.as_of import FOREVER, AsOf
from streams.fold.rules import Rules
from streams.table import partition_of
from tests.oracle import Constants, Oracle
from tests.property.adapter import differences, expected_reading, plain_reading, play
from tests.property.profile import law
from tests.property.strategies import World, split, worlds
from tests.worlds import START_S, event_id, say


def told(records: Sequence[Sequence[Event]], moments: Sequence[int], rules: Rules, partitions: int = 1) -> AsOf:
    """The log handed in record by record, each partition with its share, as a reader of the log would."""
    past = AsOf(moments, rules)
    for offset, events in enumerate(records):
        for number in range(partitions):
            share = [e for e in events if e.type in OPTS or partition_of(e.key, partitions) == number]
            past.fold(number, offset, share)
    return past


def moments_of(world: World, picks: list[tuple[int, int]]) -> list[int]:
    """Moments at, just before, between and after what happened."""
    times = [event.timestamp for event in world.made] or [START_S * 1000]
    return [times[pick % len(times)] + shift for pick, shift in picks]


picks = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from((-300_001, -10_001, -1, 0, 0, 1, 4_999, 30_001, 300_001))),
    min_size=1, max_size=3,
)  # fmt: skip


@law
@given(worlds(honest=False), picks, st.sampled_from((1, 1, 3)), st.integers(1, 4))
def test_any_moment_is_as_the_oracle_has_it(
    world: World, picked: list[tuple[int, int]], partitions: int, size: int
) -> None:
    rules, moments = Rules(**world.rules), moments_of(world, picked)
    settled, as_of.SETTLE_EVENTS = as_of.SETTLE_EVENTS, size  # type: ignore[misc]  # prune as early as may be
    try:
        past = told(split(world.arrivals, [size]), moments, rules, partitions)
        seen = []
        for at, views in past.readings():
            seen.append(at)
            oracle = Oracle.as_of(world.arrivals, at, Constants(**world.rules))
            assert not differences(plain_reading(views, at, rules), expected_reading(oracle, at), f"at {at} ")
    finally:
        as_of.SETTLE_EVENTS = settled  # type: ignore[misc]
    assert seen == sorted(set(moments))


@law
@given(worlds(honest=False), st.integers(1, 3), st.integers(0, 60))
def test_a_prefix_is_the_fold_of_that_prefix(world: World, size: int, pick: int) -> None:
    rules, records = Rules(**world.rules), split(world.arrivals, [size])
    prefix = records[: pick % (len(records) + 1)]
    ((_, views),) = told(prefix, [FOREVER], rules, partitions=2).readings()
    others = play(prefix, rules, partitions=2).views()
    at = max((view.watermark for view in others), default=-1)
    assert not differences(plain_reading(views, at, rules), plain_reading(others, at, rules))


def test_what_came_too_late_was_never_there() -> None:
    late = [
        say("ana", "BLOOM", 0, room="hall"),
        say("bea", "BLOOM", 20, room="hall"),
        say("cyd", "BLOOM", 5, room="hall"),
    ]
    ((at, views),) = told([late], [START_S * 1000 + 6_000], Rules()).readings()
    assert plain_reading(views, at, Rules())["active"] == {"ana"}


def test_an_old_event_at_the_end_of_the_log_is_in_the_past() -> None:
    """Every key has a watermark of its own: hall is far ahead, the attic says something for the first time."""
    log = [say("ana", "BLOOM", 100, room="hall"), say("bea", "BLOOM", 5, room="attic")]
    first, second = told([log], [START_S * 1000 + 6_000, START_S * 1000 + 100_000], Rules()).readings()
    assert plain_reading(first[1], first[0], Rules())["active"] == {"bea"}
    assert plain_reading(second[1], second[0], Rules())["active"] == {"ana", "bea"}


def test_a_record_delivered_twice_is_folded_once() -> None:
    past = AsOf([FOREVER])
    for _ in range(2):
        past.fold(0, 7, [say("ana", "BLOOM", 1, room="hall")])
    ((_, views),) = past.readings()
    assert views[0].rows[0][2].counts == {"BLOOM": 1}
    assert views[0].position == 7


def test_what_comes_twice_within_l_is_known_however_much_came_between() -> None:
    log = [say("ana", "BLOOM", n / 20, room="hall") for n in range(150)]
    ((_, views),) = told([log, log[::10]], [FOREVER], Rules()).readings()
    assert views[0].rows[0][2].counts == {"BLOOM": 150}


def test_an_id_that_named_two_numbered_events_is_known_by_the_later() -> None:
    """Whether ids were looked at before must not matter: a worker that starts anew builds them from its tail."""
    twice = event_id(7_000_000)
    log = [
        say("bea", "BLOOM", 90, room="hall"),  # without a number: ids are kept from here on
        say("ana", "BLOOM", 100, room="hall", seq=1, id=twice),
        say("ana", "BLOOM", 91, room="hall", seq=2, id=twice),
        say("bea", "BREATH", 102, room="hall"),
        say("ana", "BLOOM", 102, room="hall", id=twice),
    ]
    played = play([log], Rules())
    assert played.folds[0].counts == {"accepted": 4, "duplicate": 1, "late": 0}
    assert Oracle.of(log).log.verdicts[-1] == "duplicate"
