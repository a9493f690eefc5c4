"""Whatever the bytes: events and rejections with a named reason come out, in order, and nothing is lost."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.examples.documents import EXAMPLES, document
from streams import diagnose
from streams import events as ev
from streams.envelope import build, decode, to_ms
from streams.errors import WireError
from streams.validate import CONTENT_NOTHING, REASONS, RECORD_EVENTS_MAX, Limits, Rejection, read_record
from streams.wire import encode_event
from tests.documents import mutated

NOW = 1_760_000_000_000
BLOOM = document(ev.BLOOM, 1)


def read(value: Any, **more: Any) -> ev.Event | Rejection:
    (item,) = read_record(value if isinstance(value, bytes) else json.dumps(value).encode(), NOW, **more)
    return item


def reason(value: Any, **more: Any) -> str | None:
    item = read(value, **more)
    return item.reason if isinstance(item, Rejection) else None


def check_items(items: list[ev.Event | Rejection]) -> None:
    assert items
    for index, item in enumerate(items):
        if isinstance(item, Rejection):
            assert item.index == index
            assert item.reason in REASONS
            assert item.detail.isascii()
            assert len(item.detail) <= 200
        else:
            assert type(item) is ev.Event
            assert read_record(encode_event(item), ev.TIMESTAMP_MS_MAX) == [item]


pieces_of_json = st.lists(
    st.sampled_from(
        [
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"',
            b"\\",
            b"\\u",
            b"d800",
            b"0",
            b"1e999",
            b"-",
            b".",
            b"NaN",
            b"null",
            b"true",
            b"\x00",
            b"\xff",
            b"\xed\xa0\x80",
            b" ",
            b"\n",
            b'"type"',
            b'"BLOOM"',
            b'"v":1',
            b'"data":{',
            b'"id":',
            b'"\\ud800"',
            b"9" * 400,
            b"9" * 5000,
            b"[" * 300,
            json.dumps(BLOOM).encode(),
        ]
    ),
    max_size=14,
).map(b"".join)


@given(st.none() | st.binary(max_size=200) | pieces_of_json, st.sampled_from([None, b"", b"application/json", b"\xff"]))
@settings(max_examples=1_000, deadline=None)
def test_any_bytes_give_items(value: bytes | None, content_type: bytes | None):
    check_items(read_record(value, NOW, Limits(), content_type))


@given(pieces_of_json)
@settings(max_examples=600, deadline=None)
def test_any_array_or_object_gives_items(middle: bytes):
    check_items(read_record(b"[" + middle + b"]", NOW))
    check_items(read_record(b"{" + middle + b"}", NOW))


@given(mutated(), st.lists(st.integers(0, 2_000), max_size=3), st.data())
@settings(max_examples=600, deadline=None)
def test_torn_documents_give_items(plain: Any, places: list[int], data: st.DataObject):
    value = bytearray(json.dumps(plain).encode())
    for place in places:
        value[place % len(value) : place % len(value) + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    check_items(read_record(bytes(value), NOW))


@given(mutated())
@settings(max_examples=600, deadline=None)
def test_both_ways_through_json_agree(plain: Any):
    value = json.dumps(plain).encode()
    try:
        quick = build(decode(value))
    except (ValueError, RecursionError, WireError):
        return  # the careful way decides
    assert diagnose.read(value) == quick


@given(
    st.lists(st.sampled_from([b'{"id": tru}', b"7", b"NaN", b'"a,b]"', b"[1,[2]]", b"", b'"\\"', b"\xff"]) | st.none())
)
@settings(max_examples=300, deadline=None)
def test_a_bad_element_costs_no_other_one(middle: list[bytes | None]):
    elements = [json.dumps(document(ev.BLOOM, at)).encode() if one is None else one for at, one in enumerate(middle)]
    if elements[-1:] == [b""] or any(one == b'"\\"' for one in elements):
        return  # an open string takes everything after it along
    items = read_record(b" [" + b" ,\n".join(elements) + b"] ", NOW)
    if not elements:
        assert [item.reason for item in items if isinstance(item, Rejection)] == ["empty"]
        return
    assert [isinstance(item, ev.Event) for item in items] == [one is None for one in middle]
    for item, element in zip(items, elements, strict=True):
        assert isinstance(item, ev.Event) or item.raw == element


def test_deep_elements_cost_no_other_one_at_any_depth_of_the_stack():
    good = json.dumps(BLOOM).encode()
    value = b"[" + good + b"," + b'{"a":[' * 450 + b"]}" * 450 + b"," + good + b"]"
    verdicts = []

    def at_depth(frames: int) -> None:
        if frames:
            at_depth(frames - 1)
        else:
            verdicts.append(read_record(value, NOW))

    for frames in (0, 500):
        thread = threading.Thread(target=at_depth, args=(min(frames, sys.getrecursionlimit() - 300),))
        thread.start()
        thread.join()
    assert verdicts[0] == verdicts[1]
    assert [getattr(item, "reason", None) for item in verdicts[0]] == [None, "too_deep", None]


def test_limits_hold_for_each_event():
    limits = Limits(skew_ms_max=5, event_bytes_max=300, depth_max=4)
    small = json.dumps(BLOOM).encode()
    large = json.dumps(BLOOM | {"mood": "o" * 300}).encode()
    items = read_record(b"[" + small + b"," + large + b"," + small + b"]", NOW, limits)
    assert [getattr(item, "reason", None) for item in items] == [None, "too_large", None]
    exact = small[:-1] + b" " * (300 - len(small)) + b"}"
    assert reason(exact, limits=limits) is None
    assert reason(exact + b" ", limits=limits) == "too_large"
    assert reason(BLOOM | {"a": [[[]]]}, limits=limits) is None
    assert reason(BLOOM | {"a": [[[[]]]]}, limits=limits) == "too_deep"
    assert reason(BLOOM | {"a": ["]", "\\", '"[[[[']}, limits=limits) is None


def test_future_is_counted_from_receiving():
    assert reason(BLOOM | {"timestamp": NOW + 60_000}) is None
    assert reason(BLOOM | {"timestamp": NOW + 60_000.9}) is None
    assert reason(BLOOM | {"timestamp": NOW + 60_001}) == "future"
    assert reason(BLOOM | {"timestamp": NOW + 1}, limits=Limits(skew_ms_max=0)) == "future"


def test_an_array_of_very_many_is_no_batch():
    for one in (b"1", b"\xff"):
        value = b"[" + b",".join([one] * (RECORD_EVENTS_MAX + 1)) + b"]"
        assert reason(value) == "too_large"
        assert len(read_record(value.replace(one + b",", b"", 1), NOW)) == RECORD_EVENTS_MAX


@pytest.mark.parametrize("value", [b'"' + b'\\"' * 100_000, b"[" + b'"\\' * 60_000, b'{"' + b"\\" * 100_001])
def test_open_strings_take_linear_time(value: bytes):
    assert reason(value) in ("malformed_json", "too_large")
    diagnose.depth(value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"application/json", None),
        (b" Application/JSON; charset=utf-8", None),
        (b"application/vnd.field.frame", "content_type"),
        (b"text/plain", "content_type"),
        (b"", "content_type"),
    ],
)
def test_content_type_must_fit_the_bytes(header: bytes, expected: str | None):
    assert reason(BLOOM, content_type=header) == expected


def test_breath_of_version_0_comes_in_degrees():
    (plain,) = EXAMPLES[ev.BREATH, 0]
    event = read(plain)
    assert isinstance(event, ev.Event)
    assert event.data == ev.Breath(1.5707963267948966, 12.5)
    assert reason(plain | {"v": None}) == "unknown_version"
    assert reason(plain | {"data": {"phase": 1e999}}) == "not_finite"
    assert reason(plain | {"data": {"phase": True}}) == "bad_value"
    assert reason(plain | {"data": None}) == "missing_field"


def test_the_last_of_equal_keys_counts_in_both_ways():
    text = json.dumps(BLOOM)[:-1] + ', "device_id": "ben"'
    assert read((text + "}").encode()).device_id == "ben"
    assert read((text + ', "seq": null, "epoch": 2.0}').encode()).device_id == "ben"


@pytest.mark.parametrize("odd", ["\ud800", "\0", "\udfff\ud800", 10**400, 1e999, -(2**64), [[]], {"": None}, True])
@pytest.mark.parametrize("kind", EXAMPLES)
def test_odd_values_in_any_field_give_items(kind: tuple[str, int], odd: Any):
    plain = EXAMPLES[kind][0]
    for name in plain:
        check_items(read_record(json.dumps(plain | {name: odd}).encode(), NOW))
    for name in plain.get("data") or ():
        check_items(read_record(json.dumps(plain | {"data": plain["data"] | {name: odd}}).encode(), NOW))


moments = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30, 23, 59))
offsets = st.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, offsets)
@settings(max_examples=500, deadline=None)
def test_times_are_the_ones_of_the_calendar(moment: datetime, offset: timezone):
    local = moment.replace(tzinfo=offset)
    expected = (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if 0 <= expected <= ev.TIMESTAMP_MS_MAX:
        assert to_ms(local.isoformat()) == expected


def test_times_are_cut_not_rounded():
    assert to_ms("1970-01-01T00:00:00.0019999999Z") == 1
    assert to_ms("1970-01-01t00:00:01.5z") == 1_500
    assert to_ms(1.999) == 1
    assert to_ms("9999-12-31T23:59:59.999999Z") == ev.TIMESTAMP_MS_MAX


def test_a_record_that_says_so_holds_nothing_and_misses_nothing() -> None:
    for value in (b"", None):
        assert read_record(value, NOW, content_type=CONTENT_NOTHING) == []
        (missing,) = read_record(value, NOW)
        assert isinstance(missing, Rejection)
        assert missing.reason == "empty"
    (odd,) = read_record(b"{}", NOW, content_type=CONTENT_NOTHING)
    assert isinstance(odd, Rejection)
    assert odd.reason == "content_type"
