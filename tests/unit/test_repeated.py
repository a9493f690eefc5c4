"""The log of the replay's benchmark: a repeated block is the same events, later, with new ids and higher numbers."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

from streams import engine
from streams.columns import decode_frame
from streams.events import Event
from streams.settings import Settings
from tests.benchmarks import repeated
from tests.benchmarks.events import START_MS, events
from tests.benchmarks.repeated import again, block, column, frames

PARTITIONS = 2
COUNT = 3_000
SPAN_MS = 3_000
TIMES = 3
MADE = list(events(COUNT, devices=40, rooms=4, rate=1_000, seed=3))


def numbers() -> np.random.Generator:
    return np.random.default_rng(5)


def of(value: bytes) -> list[Event]:
    """All rows, each of them an event."""
    found = [one for one in decode_frame(value) if isinstance(one, Event)]
    assert len(found) == len(decode_frame(value))
    return found


def test_the_first_block_is_what_was_made() -> None:
    found = [event for one in frames(MADE, PARTITIONS) for event in of(again(one, 0, SPAN_MS, numbers()))]
    assert sorted(found, key=lambda event: event.timestamp) == MADE


def test_the_reader_takes_a_repeated_frame_for_the_expected_events() -> None:
    sent, random = Counter(event.device_id for event in MADE), numbers()
    for one in frames(MADE, PARTITIONS):
        for number in (1, 7):
            found = of(again(one, number, SPAN_MS, random))
            assert [msgspec.structs.replace(event, id="") for event in found] == [
                msgspec.structs.replace(
                    event,
                    id="",
                    timestamp=event.timestamp + number * SPAN_MS,
                    seq=(event.seq or 0) + number * sent[event.device_id],
                )
                for event in of(one.value)
            ]


def test_every_id_comes_once() -> None:
    random = numbers()
    ids = [
        event.id
        for number in range(TIMES)
        for one in frames(MADE, PARTITIONS)
        for event in of(again(one, number, SPAN_MS, random))
    ]
    assert len(set(ids)) == len(ids) == TIMES * COUNT


def test_nothing_of_it_is_a_duplicate_or_late() -> None:
    settings, random = Settings(partitions=PARTITIONS, shards=4, fold="simple"), numbers()
    folds = [engine.make(partition, settings) for partition in range(PARTITIONS)]
    offset = 0
    for number in range(TIMES):
        for one in frames(MADE, PARTITIONS):
            folds[one.partition].fold(offset, of(again(one, number, SPAN_MS, random)))
            offset += 1
    counts = [fold.counts for fold in folds]
    assert sum(one["accepted"] for one in counts) == TIMES * COUNT
    assert not any(one["duplicate"] + one["late"] for one in counts)


def test_a_long_log_is_a_block_that_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "BLOCK_EVENTS", 1_000)
    found = block(2_500, devices=10, rooms=2, partitions=PARTITIONS, seed=1)
    assert (found.times, found.events, found.span_ms) == (3, 834, 834)
    assert sum(len(one.sent) for one in found.frames) == found.events
    assert max(event.timestamp for one in found.frames for event in of(one.value)) < START_MS + found.span_ms


def test_a_column_that_was_left_out_is_not_written() -> None:
    value = bytearray(frames(MADE, PARTITIONS)[0].value)
    with pytest.raises(KeyError, match="epoch"):
        column(value, "epoch")
