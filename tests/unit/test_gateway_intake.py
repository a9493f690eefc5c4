"""Bodies are taken apart as the worker takes records apart; whatever the bytes, the answer is a Problem at worst."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.gateway.gather import _estimate, _Item, records_of
from projections.gateway.intake import split
from projections.gateway.problems import Problem
from projections.gateway.strict import fault
from streams.events import OPTS, Event
from streams.packing import pack
from streams.table import partition_of
from streams.validate import read_element, read_record
from streams.wire import encode_event
from tests.documents import events, mutated

NOW = 1 << 50
documents = st.lists(mutated() | events().map(lambda event: json.loads(encode_event(event))), min_size=1, max_size=5)


@given(documents, st.sampled_from(["", " ", "\n\t"]))
def test_an_array_and_its_wrapping_are_what_the_worker_reads(found: list[Any], space: str) -> None:
    array = space + json.dumps(found) + space
    wanted = read_record(array.encode(), NOW)
    bodies = [array, f'{space}{{"events": {array}}}']
    if fault(array.encode()) is None:
        bodies.append(f'{{"a": 1, "events":{array}, "b": [2]}}')
    for body in bodies:
        pieces = split(body.encode())
        assert [read_element(piece, index, NOW) for index, piece in enumerate(pieces)] == wanted
    if isinstance(found[0], dict) and "events" not in found[0]:
        alone = json.dumps(found[0]).encode()
        assert split(alone) == [alone]


def test_a_fault_in_an_object_that_holds_more_than_events_is_that_of_the_whole() -> None:
    for text, reason in (("[NaN]", "not_finite"), (r'[{"data": {"direction": "\ud800"}}]', "lone_surrogate")):
        body = f'{{"a": 1, "events": {text}, "b": 2}}'.encode()
        with pytest.raises(Problem) as refused:
            split(body)
        assert (refused.value.status, refused.value.code) == (400, reason)


@given(st.lists(st.sampled_from([
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'"events"', b'"id"', b'"type"', b"1", b"NaN", b"1e999", b" ",
    b"\xff", b"\0", b"\\u0000", b"\\ud800", b"null", b'{"a":1}', b'{"a":1,"a":2}',
]), max_size=25).map(b"".join))  # fmt: skip
def test_any_bytes_have_an_answer(body: bytes) -> None:
    pieces: list[bytes] = []
    with contextlib.suppress(Problem):
        pieces = split(body)
    for index, piece in enumerate(pieces):
        assert read_element(piece, index, NOW) is not None
        fault(piece)


@given(st.lists(events(), min_size=1, max_size=30), st.integers(1, 4))
def test_records_hold_what_they_should_in_order(found: list[Event], partitions: int) -> None:
    for partition in range(partitions):
        here = [one for one in found if one.type in OPTS or partition_of(one.key, partitions) == partition]
        items = [_Item(one, len(encode_event(one)), None, 0, True) for one in here]  # type: ignore[arg-type]
        records = records_of(items, partition, partitions)
        assert {record.partition for record in records} <= {partition}
        read = [read_record(record.value, NOW, content_type=dict(record.headers)["content-type"]) for record in records]
        assert [event for some in read for event in some] == here
        assert [max(1, record.events) for record in records] == [len(some) for some in read]


@given(st.lists(events(), min_size=1, max_size=12))
def test_events_are_never_larger_on_the_log_than_they_are_taken_for(found: list[Event]) -> None:
    items = [_Item(one, len(encode_event(one)), None, 0, True) for one in found]  # type: ignore[arg-type]
    for wire in ("batch", "frame"):
        size = sum(len(record.value) for record in pack([one for one in found if one.type not in OPTS], 1, wire))
        assert size <= sum(_estimate(item) for item in items) + 200
