"""Raw rows of the log's own batches have the bytes of those that Python makes record by record, whatever is in them."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.follow import Batch
from projections.raw import Raw
from schema.examples import records as examples
from streams.chunks import chunks, records
from streams.events import TIMESTAMP_MS_MAX, Event
from streams.fold.rules import Rules
from streams.native import library
from streams.settings import Settings
from streams.wire import encode_batch, encode_event, encode_frame
from tests.documents import events
from tests.property.profile import detail
from tests.property.strategies import split
from tests.property.test_native_chunks import CUTS, JUNK, Stored, batches

SIMPLE = Settings(partitions=1, fold="simple", project_events=7, rules=Rules(weight_touch=3))
LATEST_MS = TIMESTAMP_MS_MAX + 10**6


@pytest.fixture(autouse=True, scope="module")
def _built(native: ctypes.CDLL) -> None:
    library.problem.cache_clear()
    assert Raw(replace(SIMPLE, fold="compiled")).chunks


def headers(chance: random.Random, now_ms: int) -> tuple[tuple[str, bytes], ...]:
    """None, one or some of those that a record may have; ``received`` in every form."""
    said = (f"{now_ms - 1}", f"{now_ms + 9}", f"00{now_ms}", "1", "", "-1", "9" * 15, "9" * 16, "\xb2")
    given = [
        ("source", b"events/0/1/2"), ("fanout", b"2"), ("content-type", b"application/json"),
        ("content-type", b"text/plain"), ("received", b"7"), ("received", chance.choice(said).encode("latin-1")),
    ]  # fmt: skip
    return tuple(chance.choices(given, k=chance.choice((0, 0, 0, 1, 1, 2))))


def store(groups: Sequence[list[Event]], chance: random.Random) -> Iterator[Stored]:
    """Each group in some form; some of it junk, or before what it says."""
    for group in groups:
        forms = [encode_batch, encode_frame, *([lambda some: encode_event(some[0])] if len(group) == 1 else [])]
        value = chance.choice(forms)(group) if group and chance.random() < 0.9 else chance.choice(JUNK)
        now_ms = max((event.timestamp for event in group), default=0) - (10**6 if chance.random() < 0.1 else 0)
        yield Stored(value, max(0, now_ms), headers(chance, max(0, now_ms)))


def told(found: Sequence[Batch]) -> tuple[int, int, bytes, bool]:
    """Last offset, rows, their bytes and whether there are toggles among them."""
    steps = [step for batch in found for step in batch.content]
    assert [batch.log_offset for batch in found] == sorted({batch.log_offset for batch in found})
    assert all(batch.input_position == batch.log_offset == batch.content[-1].offset for batch in found)
    return (
        found[-1].log_offset, sum(step.rows for step in steps), b"".join(step.data for step in steps),
        any(step.toggles for step in steps),
    )  # fmt: skip


def compare(stored: Sequence[Stored], start: int, settings: Settings, chance: random.Random) -> int:
    """Rows made both ways of the records from ``start`` on; how many."""
    kept = [chunk for raw in batches(stored, chance) for chunk in chunks(raw, "events", 0, start)]
    if not kept:
        return 0
    one_by_one = [record for chunk in kept for record in records(chunk)]
    simple = list(Raw(settings).prepare(0, one_by_one))
    compiled = list(Raw(replace(settings, fold="compiled")).prepare(0, kept))
    for batch in compiled:
        assert len(batch.content) == 1 or sum(step.rows for step in batch.content) <= settings.project_events
    assert told(compiled) == told(simple)
    return told(compiled)[1]


@detail
@given(st.lists(events(), max_size=12), CUTS, st.integers(0, 2**32), st.sampled_from((1, 2)))
def test_rows(arrivals: list[Event], cuts: list[int], seed: int, partitions: int) -> None:
    chance = random.Random(seed)
    stored = list(store(split(arrivals, cuts), chance))
    compare(stored, chance.randrange(len(stored) + 1), replace(SIMPLE, partitions=partitions), chance)


def test_the_examples() -> None:
    """Good and bad ones, as they stand in ``schema``: all types, all versions."""
    stored = [Stored(one.value, LATEST_MS, ()) for one in (*examples.good(), *examples.bad())]
    assert compare(stored, 0, SIMPLE, random.Random(1)) > len(list(examples.good()))


def test_a_weight_that_no_float_holds_is_pythons_business() -> None:
    heavy = replace(SIMPLE, rules=Rules(weight_bloom=2**53 + 1))
    stored = [Stored(one.value, LATEST_MS, ()) for one in examples.good()]
    assert compare(stored, 0, heavy, random.Random(1))
