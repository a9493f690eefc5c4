"""The compiled parts against what they stand for: zlib, the partitioner, aiokafka's batches, msgspec's MessagePack."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.events import Event
from streams.table import murmur2
from tests.documents import events
from tests.native import Native, Refused

HEADER_BYTES = 61
ATTRIBUTES, CRC_AT, CHECKED_FROM, RECORDS_AT = 21, 17, 21, 57
LOG_APPEND_TIME = 8


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_hashes(reader: Native, raw: bytes) -> None:
    assert reader.hashes(raw) == [zlib.crc32(raw), calc_crc32c(raw), murmur2(raw)]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 15, 16, 17, 47, 48, 49, 5_000])
def test_hashes_at_the_edges_of_their_chunks(reader: Native, length: int) -> None:
    for raw in (bytes(length), b"\xff" * length, bytes(at * 37 % 256 for at in range(length))):
        assert reader.hashes(raw) == [zlib.crc32(raw), calc_crc32c(raw), murmur2(raw)]


@given(events())
@settings(max_examples=500, deadline=None)
def test_an_event_of_python_reads_and_writes_alike(reader: Native, event: Event) -> None:
    raw = msgspec.msgpack.encode(event)
    assert reader.event(raw) == (raw, event.data.phase if event.type == "BREATH" else 0.0)


@pytest.mark.parametrize("edge", [0, 2**5, 2**7, 2**8, 2**15, 2**16, 2**31, 2**32, 2**63 - 1])
def test_whole_numbers_and_texts_at_the_edges_of_their_forms(reader: Native, edge: int) -> None:
    for number in {max(edge - 1, 0), edge, min(edge + 1, 2**63 - 1), -edge, -edge - 1}:
        name = "n" * (abs(number) if abs(number) < 2**17 else 1)
        event = Event(number, "0197746f-0000-7000-9000-000000000001", "OPT_IN", name, name, 0, number, number)
        raw = msgspec.msgpack.encode(event)
        assert reader.event(raw) == (raw, 0.0)


@given(events(), st.data())
@settings(max_examples=500, deadline=None)
def test_a_changed_event_is_refused_or_read(reader: Native, event: Event, data: st.DataObject) -> None:
    raw = bytearray(msgspec.msgpack.encode(event))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        again, _ = reader.event(bytes(raw))
    except Refused:
        return
    assert reader.event(again)[0] == again


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 2**63), (0, "1"), (1, "0197746F-0000-7000-9000-000000000001"), (1, "0197746f"), (2, "DREAM"), (3, None),
     (5, -1), (5, 2**32), (6, 1.5), (7, None), (8, "1"), (14, {}), (14, {"phase": None}), (14, [1])],
)  # fmt: skip
def test_values_that_no_event_has_are_refused(reader: Native, at: int, value: Any) -> None:
    values: list[Any] = [5, "0197746f-0000-7000-9000-000000000001", "BREATH", "ana", "ana", 1, None, 0, *[None] * 6]
    values.append({"rate": [1, {"a": b"x"}], "phase": 0.5})
    assert reader.event(msgspec.msgpack.encode(values))[1] == 0.5
    values[at] = value
    for raw in (msgspec.msgpack.encode(values), msgspec.msgpack.encode(values[:-1]), b""):
        with pytest.raises(Refused):
            reader.event(raw)


def test_nesting_and_lengths_are_not_believed(reader: Native) -> None:
    event = msgspec.msgpack.encode(Event(5, "0197746f-0000-7000-9000-000000000001", "OPT_IN", "ana", "ana"))[:-1]
    for data in (b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb"):
        with pytest.raises(Refused):
            reader.event(event + data)


optional_bytes = st.none() | st.binary(max_size=300)
records = st.lists(
    st.tuples(
        st.integers(0, 2**45),
        optional_bytes,
        optional_bytes,
        st.lists(st.tuples(st.text(max_size=5), optional_bytes), max_size=3),
    ),
    min_size=1,
    max_size=8,
)


def built(some: list[Any]) -> bytearray:
    builder = DefaultRecordBatchBuilder(2, 0, 0, 7, 1, 0, 1 << 20)
    for at, (timestamp, key, value, headers) in enumerate(some):
        builder.append(at, timestamp, key, value, headers)
    return bytearray(builder.build())


def sealed(raw: bytearray, base_offset: int = 0, attributes: int = 0) -> bytes:
    """As the broker changes a batch, and with the checksum that belongs to it."""
    raw[0:8] = base_offset.to_bytes(8, "big")
    raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
    raw[22] |= attributes
    raw[CRC_AT : CRC_AT + 4] = calc_crc32c(raw[CHECKED_FROM:]).to_bytes(4, "big")
    return bytes(raw)


def as_aiokafka_reads(raw: bytes) -> list[Any]:
    batch = DefaultRecordBatch(raw)
    assert batch.validate_crc()
    return [
        [one.offset, one.timestamp, one.key, one.value, [[name.encode(), content] for name, content in one.headers]]
        for one in batch
    ]


@given(records, st.integers(0, 2**62), st.sampled_from([0, LOG_APPEND_TIME]))
@settings(max_examples=300, deadline=None)
def test_batches_read_as_aiokafka_reads_them(reader: Native, some: list[Any], offset: int, attributes: int) -> None:
    raw = sealed(built(some), offset, attributes)
    assert reader.batch(raw, len(some)) == as_aiokafka_reads(raw)


@given(records, st.data())
@settings(max_examples=500, deadline=None)
def test_a_damaged_batch_is_refused_or_read_alike(reader: Native, some: list[Any], data: st.DataObject) -> None:
    raw = built(some)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    with pytest.raises(Refused):
        reader.batch(bytes(raw[:-1]), len(some))  # its checksum or its length
    if len(raw) < HEADER_BYTES:
        return
    value = sealed(raw)
    try:
        found = reader.batch(value, int.from_bytes(value[RECORDS_AT : RECORDS_AT + 4], "big"))
    except Refused:
        return
    try:
        wanted = as_aiokafka_reads(value)
    except Exception:  # whatever: it looks into fewer bytes than we do, but not at whether texts are UTF-8
        return
    assert found == wanted


def test_what_is_no_plain_batch_is_refused(reader: Native) -> None:
    good = built([(1, b"k", b"v", [])])
    assert reader.batch(sealed(bytearray(good)), 1) == [[0, 1, b"k", b"v", []]]
    changes = {22: 1, 22 + 256: 32, 16: 1, 57: 0x80, 60: 2, HEADER_BYTES: 0x7F}
    for at, value in changes.items():
        raw = bytearray(good)
        raw[at % 256] = value
        with pytest.raises(Refused):
            reader.batch(sealed(raw), 1)
    for raw in (b"", bytes(good[:60]), bytes(good) + b"\0"):
        with pytest.raises(Refused):
            reader.batch(raw, 1)
