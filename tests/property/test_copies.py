"""Copies of wrong-partition records, written twice: recognised by their sender's numbers as they would be by source.

The reference reads the log as DESIGN says it: of several copies of one source only the first is folded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.events import Event
from streams.fold.rules import Rules
from streams.settings import Settings
from streams.validate import LIMITS, Limits, read_record
from streams.wire import encode_event
from tests.property.adapter import Field
from tests.property.profile import law
from tests.property.strategies import World, worlds
from tests.property.test_changes import Reader, changes_of
from tests.worlds import say

Log = list[tuple[Event, str | None]]
"""Events as they stand in the partition, with the source of those that are copies."""


def by_source(log: Log) -> Log:
    """Every source once, the first time that it comes."""
    seen: set[str] = set()
    kept: Log = []
    for event, source in log:
        if source is None or source not in seen:
            kept.append((event, source))
        if source is not None:
            seen.add(source)
    return kept


def outcome(log: Log, rules: Rules, restarts: Iterable[int] = ()) -> tuple[Any, ...]:
    """Digests, session and pair rows, how many were accepted; with a checkpoint and a new process at some places."""
    field, reader, accepted, stops = Field(rules), Reader(), 0, set(restarts)
    for place, (event, _) in enumerate(log):
        if place in stops:
            accepted += field.folds[0].counts["accepted"]
            for change in changes_of(field):
                reader.apply(change)
            field.restart()
        field.publish([event])
    for change in changes_of(field, full=True):
        reader.apply(change)
    accepted += field.folds[0].counts["accepted"]
    sessions = {key: row for key, (_, _, row) in reader.sessions.items()}
    return field.digest(), sessions, {key: row for key, (_, _, row) in reader.pairs.items()}, accepted


@law
@given(
    worlds(honest=False),
    st.integers(0, 2**60 - 1),
    st.lists(st.integers(0, 70), min_size=1, max_size=6),
    st.lists(st.integers(0, 90), max_size=3),
)
def test_a_copy_written_twice_counts_once(world: World, copied: int, later: list[int], restarts: list[int]) -> None:
    """However much later the second one comes, and whatever process reads it.

    But for a sender that gives one id, and no number, to events of several times: the id is known until the event that
    was accepted is final, and a copy of the other one after that is news.
    """
    times: dict[tuple[str, str], set[int]] = defaultdict(set)
    for event in world.arrivals:
        times[event.device_id, event.id].add(event.timestamp)
    placed: list[tuple[int, int, Event, str | None]] = []
    for index, event in enumerate(world.arrivals):
        is_copy = bool(copied >> index % 60 & 1) and len(times[event.device_id, event.id]) == 1
        source = f"t/0/{index}/0" if is_copy else None
        placed.append((index, 0, event, source))
        if is_copy:
            placed.append((index + later[index % len(later)], 1, event, source))
    log = [(event, source) for _, _, event, source in sorted(placed, key=lambda place: place[:2])]
    rules = Rules(**world.rules)
    assert outcome(log, rules, restarts) == outcome(by_source(log), rules)


@pytest.mark.parametrize("seq", [None, 5], ids=["by id", "by number"])
@pytest.mark.parametrize("kind", ["BLOOM", "TOUCH", "ENTANGLE", "OPT_OUT"])
@pytest.mark.parametrize(
    "between",
    [
        [],
        [say("ben", "BLOOM", 0, room="hall", id="00000000-0000-4000-8000-000000000001")],
        [say("ben", "BREATH", second, room="hall") for second in range(1, 60)],
        [say("ana", "BLOOM", 11, room="hall", seq=6), say("ana", "BLOOM", 12, room="hall", seq=0, epoch=1)],
        [say("ana", "BLOOM", 0.1 + number / 100, room="hall", seq=6 + number) for number in range(70)],
        [say("ana", "OPT_OUT", 5), say("ana", "OPT_IN", 6), say("ana", "BLOOM", 7, room="hall", seq=7)],
    ],
    ids=["nothing", "the same id of another", "a minute", "a new epoch", "seventy numbers", "out and in"],
)
def test_what_may_come_between_two_copies(seq: int | None, kind: str, between: list[Event]) -> None:
    to = "cyd" if kind in ("TOUCH", "ENTANGLE") else None
    room = None if kind == "OPT_OUT" else "hall"
    copy = say("ana", kind, 0, room=room, to=to, seq=seq, id="00000000-0000-4000-8000-000000000001")
    log: Log = [(copy, "t/0/0/0"), *((event, None) for event in between), (copy, "t/0/0/0")]
    wanted = outcome(by_source(log), Rules())
    assert outcome(log, Rules()) == wanted
    assert outcome(log, Rules(), restarts=[1, len(log) - 1]) == wanted


def test_the_longest_event_can_be_copied_under_the_lowest_limit() -> None:
    """A copy is spelled out anew: it must never be too large where the original was not."""
    number, name = -123_456_789.123_456_78, "x" * 64
    harmonics = ((number, number, number, number, number),) * 64
    event = say(
        name, "FIELD", 0, room=name, at=(number, number, number), seq=2**62, epoch=2**62,
        intensity=0.123456, phase=1.2345678901234567, resonance=0.12345678901234567, harmonics=harmonics,
    )  # fmt: skip
    value = encode_event(event)
    lowest = next(item for item in Settings.__dataclass_fields__.values() if item.name == "event_bytes_max")
    assert 8_000 < len(value) <= lowest.metadata["minimum"] <= LIMITS.event_bytes_max
    limits = Limits(LIMITS.skew_ms_max, lowest.metadata["minimum"], LIMITS.depth_max)
    assert read_record(value, event.timestamp, limits) == [event]
