"""Every form of an event reads back as the same event; a frame never gives more than its bytes say."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import frame as layout
from streams.errors import WireError
from streams.events import MILLION, TIMESTAMP_MS_MAX, Event, to_millionths
from streams.validate import REASONS, Rejection, read_record
from streams.wire import BadRow, decode_frame, encode_batch, encode_event, encode_frame, to_plain
from tests.documents import events
from tests.worlds import say

FORMS = {"object": lambda one: encode_event(one), "array": lambda one: encode_batch([one]),
         "frame": lambda one: encode_frame([one])}  # fmt: skip
batches = st.lists(events(), min_size=1, max_size=6)


@given(events())
@settings(max_examples=200, deadline=None)
def test_an_event_reads_back_from_every_form(event: Event):
    for encode in FORMS.values():
        assert read_record(encode(event), event.timestamp) == [event]


@given(batches)
@settings(max_examples=100, deadline=None)
def test_a_batch_reads_back_in_order(batch: list[Event]):
    assert read_record(encode_batch(batch), TIMESTAMP_MS_MAX) == batch
    assert read_record(encode_frame(batch), TIMESTAMP_MS_MAX) == batch
    assert decode_frame(encode_frame(batch)) == batch


@given(batches)
@settings(max_examples=100, deadline=None)
def test_signs_of_zero_survive_in_every_form(batch: list[Event]):
    for encode in (encode_batch, encode_frame):
        read = read_record(encode(batch), TIMESTAMP_MS_MAX)
        assert [repr(one) for one in read] == [repr(one) for one in batch]


def test_every_intensity_survives_json():
    assert all(to_millionths(whole / MILLION) == whole for whole in range(MILLION + 1))


def test_plain_leaves_out_what_is_absent():
    event = Event(5, "00000000-0000-4000-8000-000000000001", "OPT_OUT", "ana", "ana")
    assert to_plain(event) == {"id": event.id, "type": "OPT_OUT", "device_id": "ana", "timestamp": 5, "v": 1}


@pytest.mark.parametrize("encode", [encode_batch, encode_frame])
def test_a_batch_of_nothing_is_refused(encode):
    with pytest.raises(WireError, match="empty"):
        encode([])


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_decoding_any_bytes_raises_the_named_error_only(body: bytes):
    for value in (body, layout.FIRST_BYTE + body, layout.MAGIC + body):
        with pytest.raises(WireError) as caught:
            decode_frame(value)
        assert caught.value.reason in REASONS


@given(batches, st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_is_seen(batch: list[Event], data: st.DataObject):
    value = bytearray(encode_frame(batch))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WireError):
        decode_frame(bytes(value))


def sealed(head: tuple[int, ...], body: bytes) -> bytes:
    """A frame with any header and body, and the checksum that belongs to them."""
    version, zero, present, rows, length = head
    raw = layout.HEADER.pack(layout.MAGIC, version, zero, present, rows, length, 0)[:-4]
    return raw + struct.pack("<I", zlib.crc32(body, zlib.crc32(raw))) + body


@given(batches, st.data())
@settings(max_examples=400, deadline=None)
def test_well_sealed_nonsense_gives_rows_or_the_named_error(batch: list[Event], data: st.DataObject):
    value = encode_frame(batch)
    body = bytearray(value[layout.HEADER.size :])
    for _ in range(data.draw(st.integers(0, 4))):
        if not body:
            break
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    _, _, _, present, rows, _, _ = layout.HEADER.unpack_from(value)
    present ^= data.draw(st.just(0) | st.integers(0, 2**16 - 1))
    rows = data.draw(st.just(rows) | st.integers(0, 2**32 - 1))
    items = read_record(sealed((1, 0, present, rows, len(body)), bytes(body)), TIMESTAMP_MS_MAX)
    assert items
    for index, item in enumerate(items):
        if isinstance(item, Rejection):
            assert (item.index, item.reason in REASONS, item.detail.isascii()) == (index, True, True)
            again = read_record(item.raw, TIMESTAMP_MS_MAX)
            assert len(again) == 1 or len(items) == 1
            assert isinstance(again[0], Rejection)
            assert again[0].reason == item.reason
        else:
            # a row passes the very checks of a JSON event
            assert read_record(encode_event(item), TIMESTAMP_MS_MAX) == [item]


odd = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e9, 1e9 + 1, -1e9 - 1, 1e6, 1e6 + 1, -0.0, 5e-324])
whole = st.sampled_from([-1, 0, 1, 2**63 - 1, -(2**63), TIMESTAMP_MS_MAX, TIMESTAMP_MS_MAX + 1])


@given(events(), st.data())
@settings(max_examples=400, deadline=None)
def test_odd_numbers_in_columns_get_the_verdict_of_json(event: Event, data: st.DataObject):
    frame = layout.unpack(encode_frame([event]))
    name = data.draw(
        st.sampled_from(["timestamp", "type", "flags", "intensity", "seq", "epoch", "x", "y", "z", "phase"])
    )
    kind = dict(layout.COLUMNS)[name]
    if kind == "<f8":
        drawn = data.draw(odd)
    elif kind == "<i8":
        drawn = data.draw(whole)
    else:
        drawn = data.draw(st.integers(0, 255) | st.sampled_from([MILLION, MILLION + 1] if name == "intensity" else [0]))
    changed = frame._replace(columns=frame.columns | {name: np.array([drawn], kind)})
    (row,) = decode_frame(layout.pack(changed))
    if isinstance(row, BadRow):
        (again,) = decode_frame(row.raw)
        assert isinstance(again, BadRow)
        assert str(again.error) == str(row.error)
    else:
        assert read_record(encode_event(row), TIMESTAMP_MS_MAX) == [row]


@pytest.mark.parametrize("rows", [2**32 - 1, layout.ROWS_MAX, layout.ROWS_MAX + 1, 2])
def test_promised_lengths_are_not_believed(rows: int):
    for body in (b"", b"\xff" * 64):
        value = sealed((1, 0, 2**16 - 1, rows, len(body)), body)
        tracemalloc.start()
        with pytest.raises(WireError):
            decode_frame(value)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100_000


def test_a_dictionary_or_data_longer_than_the_frame_is_refused():
    event = Event(5, "00000000-0000-4000-8000-000000000001", "OPT_OUT", "ana", "ana")
    frame = layout.unpack(encode_frame([event]))
    value = layout.pack(frame)
    body = value[layout.HEADER.size :]
    start = 8 + 16 + 1 + 4  # the four columns that are never left out; this event needs no other
    present = layout.HEADER.unpack_from(value)[3]
    for count, length in ((2**32 - 1, 3), (1, 2**32 - 1), (1, 4), (1, 2), (0, 3)):
        bad = body[:start] + struct.pack("<II", count, length) + body[start + 8 :]
        with pytest.raises(WireError, match="bad_frame"):
            decode_frame(sealed((1, 0, present, 1, len(bad)), bad))
    assert decode_frame(sealed((1, 0, present, 1, len(body)), body)) == [event]


def test_one_bad_row_costs_only_itself():
    spread = random.Random(3)
    batch = [
        Event(at + 1, f"00000000-0000-4000-8000-{at:012x}", "ENTER", f"d{spread.randrange(5)}", "hall", room_id="hall")
        for at in range(50)
    ]
    frame = layout.unpack(encode_frame(batch))
    rooms = frame.columns["room"].copy()
    rooms[17] = 0
    items = read_record(layout.pack(frame._replace(columns=frame.columns | {"room": rooms})), 10)
    assert [items[:17], items[18:]] == [batch[:17], batch[18:]]
    assert (items[17].index, items[17].reason, items[17].detail) == (17, "missing_field", "room_id")
    assert len(items[17].raw) < 100


@pytest.mark.parametrize("kind", ["RELEASE", "ENTER", "LEAVE", "OPT_OUT", "OPT_IN"])
@pytest.mark.parametrize("blob", [b"[1]", b"{{{", b"null", b'{"more": 1}'])
def test_data_that_a_type_does_not_have_gets_the_verdict_of_json(kind: str, blob: bytes):
    event = say("ana", kind, 1, room="hall", to="bo" if kind == "RELEASE" else None)
    frame = layout.unpack(encode_frame([event]))
    (row,) = decode_frame(layout.pack(frame._replace(blobs=[blob])))
    plain = to_plain(event)
    named = b'"target_device":"bo",' if kind == "RELEASE" else b""
    data = b"{" + named + blob[1:] if blob[:2] == b'{"' else blob
    text = msgspec.json.encode({**plain, "data": msgspec.Raw(data)})
    (wanted,) = read_record(text, TIMESTAMP_MS_MAX)
    assert isinstance(row, Event) == isinstance(wanted, Event), (row, wanted)
