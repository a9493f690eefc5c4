"""Law 2: batching changes nothing; nor do encodings, checkpoints and restarts in between."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streams.events import TIMESTAMP_MS_MAX, Event
from streams.fold.rules import Rules
from streams.validate import read_record
from streams.wire import encode_batch, encode_event, encode_frame
from tests.property.adapter import Field, play
from tests.property.profile import law
from tests.property.strategies import World, split, worlds

CUTS = st.lists(st.integers(0, 9), min_size=1, max_size=5)
CODECS = ("none", "json", "frame")


def over_the_wire(events: Sequence[Event], codec: str) -> list[Event]:
    """The events as they are after a record of theirs was written and read."""
    if codec == "none" or not events:
        return list(events)
    value = encode_frame(events) if codec == "frame" else encode_batch(events)
    if codec == "json" and len(events) == 1:
        value = encode_event(events[0])
    found = read_record(value, TIMESTAMP_MS_MAX)
    assert found == list(events)
    return [event for event in found if isinstance(event, Event)]


@law
@given(worlds(honest=False), CUTS, st.sampled_from(CODECS))
def test_any_split_into_records_gives_the_same_state(world: World, cuts: list[int], codec: str) -> None:
    rules = Rules(**world.rules)
    one_by_one = play(split(world.arrivals, [1]), rules)
    together = play([over_the_wire(events, codec) for events in split(world.arrivals, cuts)], rules)
    assert together.digest() == one_by_one.digest()


@law
@given(worlds(honest=False), st.lists(st.sampled_from(("go on", "checkpoint", "restart")), min_size=1, max_size=12))
def test_checkpoints_and_restarts_change_nothing(world: World, between: list[str]) -> None:
    rules = Rules(**world.rules)
    undisturbed = play(split(world.arrivals, [1]), rules)
    disturbed = Field(rules)
    for turn, events in enumerate(split(world.arrivals, [2])):
        disturbed.publish(events)
        what = between[turn % len(between)]
        if what != "go on":
            disturbed.checkpoint()
        if what == "restart":
            disturbed.restart()
    assert disturbed.digest() == undisturbed.digest()
