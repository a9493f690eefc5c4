"""Law 3: delivered twice, counted once; by position and by sender."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.fold.rules import Rules
from tests.property.adapter import Field, play
from tests.property.profile import law
from tests.property.strategies import World, split, worlds


@law
@given(worlds(honest=True), st.integers(0, 2**60 - 1))
def test_parts_sent_again_change_nothing(world: World, chosen: int) -> None:
    rules = Rules(**world.rules)
    once = play(split(world.arrivals, [1]), rules)
    again = [event for index, event in enumerate(world.arrivals) if chosen >> index % 60 & 1]
    twice = play(split(world.arrivals + again, [4]), rules)
    assert twice.digest() == once.digest()


@law
@given(worlds(honest=True), st.booleans())
def test_the_whole_log_twice_changes_nothing(world: World, other_order: bool) -> None:
    rules = Rules(**world.rules)
    once = play(split(world.arrivals, [1]), rules)
    again = world.others if other_order else world.arrivals
    assert play(split(world.arrivals + again, [5]), rules).digest() == once.digest()


@law
@given(worlds(honest=False), st.integers(0, 20), st.integers(0, 255))
def test_records_folded_again_after_half_a_checkpoint_change_nothing(world: World, early: int, kept: int) -> None:
    """A crash in the middle of a second checkpoint: some shards are newer than the position, and all is read again."""
    rules = Rules(**world.rules)
    undisturbed = play(split(world.arrivals, [2]), rules)
    crashed = Field(rules)
    records = split(world.arrivals, [2])
    for events in records[:early]:
        crashed.publish(events)
    crashed.checkpoint()
    for events in records[early:]:
        crashed.publish(events)
    second = crashed.folds[0].checkpoint("2-00000002").records[:-1]  # the position record comes last: it was lost
    crashed.changelogs[0] += [record for index, record in enumerate(second) if kept >> index % 8 & 1]
    crashed.restart()
    assert crashed.digest() == undisturbed.digest()


@law
@given(worlds(honest=False))
def test_offsets_folded_again_are_skipped(world: World) -> None:
    rules = Rules(**world.rules)
    played = play(split(world.arrivals, [3]), rules)
    before, counts = played.digest(), dict(played.folds[0].counts)
    for offset, events in enumerate(played.records[0]):
        played.folds[0].fold(offset, events)
    assert (played.digest(), played.folds[0].counts) == (before, counts)


@law
@given(worlds(honest=False), st.integers(1, 20))
def test_a_late_write_of_an_older_process_loses(world: World, early: int) -> None:
    """Two writers' records stand in the changelog: the higher position of a shard wins, whatever came last."""
    rules = Rules(**world.rules)
    undisturbed = play(split(world.arrivals, [2]), rules)
    older, newer = Field(rules), Field(rules)
    records = split(world.arrivals, [2])
    for events in records[: early // 2]:
        older.publish(events)
    first = older.folds[0].checkpoint("1-0000000a").records
    newer.records, newer.changelogs = [list(older.records[0])], [first]
    newer.restart()
    for events in records[early // 2 : early]:
        older.publish(events)
    for events in records[early // 2 :]:
        newer.publish(events)
    second = newer.folds[0].checkpoint("2-0000000b").records
    newer.changelogs = [first + second + older.folds[0].checkpoint("1-0000000a").records]
    newer.restart()
    assert newer.digest() == undisturbed.digest()
