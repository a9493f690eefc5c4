"""The compiled reader on what is at hand: the examples, the golden logs, the events of the benchmarks, a conference."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from schema.examples import records
from streams.contacts import events as contacts
from streams.contacts import read_rows
from streams.envelope import LIMITS
from streams.events import TYPES, Event
from streams.validate import received_at
from streams.wire import encode_batch, encode_event, encode_frame
from tests.benchmarks import events as benchmark
from tests.golden.vectors import VECTORS
from tests.golden.write import read_log, read_vector
from tests.native import Compared, Native, compare

FOR_PYTHON = {"breath_v0_1.json", "null_is_absent.json", "unknown_fields.json"}
"""Good, but not plain: an older version, 1.0 for the version, an unknown object."""
PIECES = 100
CONTACTS = 20_000


@pytest.mark.parametrize("good", records.good(), ids=lambda one: one.name)
def test_good_examples(reader: Native, good: records.Good) -> None:
    found = compare(reader, good.value, records.RECEIVED_MS)
    odd = found.python_events if good.name in FOR_PYTHON else 1 if good.name == "batch.json" else 0
    assert (found.python_events - found.events, found.refused) == (odd, 0)


@pytest.mark.parametrize("bad", records.bad(), ids=lambda one: one.name)
def test_bad_examples(reader: Native, bad: records.Bad) -> None:
    assert compare(reader, bad.value, records.RECEIVED_MS, content_type=bad.content_type).refused >= 1


def test_the_golden_log(reader: Native) -> None:
    found = [compare(reader, record.value, record.received) for record in read_log()]
    assert sum(one.events for one in found) > 0.9 * sum(one.python_events for one in found) > 0


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_the_published_logs(reader: Native, name: str) -> None:
    lines = [(line, dict(line.headers)) for line in read_vector(name)]
    found = [
        compare(
            reader,
            line.value,
            received_at(headers.get("received"), line.timestamp),
            LIMITS,
            headers.get("content-type"),
        )
        for line, headers in lines
        if line.value is not None
    ]
    share = sum(one.events for one in found) / sum(one.python_events for one in found)
    assert share > (0.3 if name == "wires" else 0.9)  # that one is about odd spellings


def check_all(reader: Native, made: list[Event]) -> None:
    """In pieces, in every form; all of it plain."""
    for at in range(0, len(made), PIECES):
        some = made[at : at + PIECES]
        for value in (encode_batch(some), encode_frame(some)):
            assert compare(reader, value, made[-1].timestamp) == Compared(len(some), len(some), 0)
        for one in some[::10]:
            assert compare(reader, encode_event(one), made[-1].timestamp) == Compared(1, 1, 0)


def test_the_events_of_the_benchmarks(reader: Native) -> None:
    made = list(benchmark.events(5_000, devices=500, rooms=20, rate=1_000, seed=1))
    assert len({one.type for one in made}) == 5 < len(TYPES)
    check_all(reader, made)


def test_a_conference(reader: Native, contacts_file: Path) -> None:
    check_all(reader, list(islice(contacts(read_rows(contacts_file)), CONTACTS)))
