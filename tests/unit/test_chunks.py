"""Batches of the log, taken apart by us and by aiokafka's own parser: the same records."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from streams.chunks import chunks, record_at, records

HEADERS = [("content-type", b"application/json"), ("received", b"1700000000000")]
PLACE = ("events", 3)
APPEND_TIME, CONTROL = 0x08, 0x20


def batch(base: int, values: list[bytes | None], codec: int = 0, headers: Any = (), attributes: int = 0) -> bytes:
    """As a broker stores it: its offsets, and the attributes that only brokers set."""
    builder = DefaultRecordBatchBuilder(
        2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for at, value in enumerate(values):
        builder.append(at, 1_000 + at, None if at % 3 == 0 else b"key", value, list(headers))
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, base)
    struct.pack_into(">h", built, 21, struct.unpack_from(">h", built, 21)[0] | attributes)
    struct.pack_into(">I", built, 17, calc_crc32c(bytes(built[21:])))
    return bytes(built)


def theirs(fetched: bytes) -> list[Any]:
    """All records as aiokafka reads them."""
    found = []
    parser = MemoryRecords(fetched)
    while parser.has_next():
        for one in parser.next_batch():
            found.append((one.offset, one.timestamp, one.key, one.value, tuple(one.headers)))
    return found


def ours(fetched: bytes, start: int = 0) -> list[Any]:
    return [record[2:] for chunk in chunks(fetched, *PLACE, start) for record in records(chunk)]


@pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("attributes", [0, APPEND_TIME], ids=["create", "append"])
@pytest.mark.parametrize("headers", [(), HEADERS], ids=["plain", "headers"])
def test_as_aiokafka_reads_them(codec: int, attributes: int, headers: Any) -> None:
    values = [b"{}", b"", None, b"x" * 300, b"\xf1FLD" * 5_000]
    fetched = batch(7, values, codec, headers, attributes) + batch(100, [b"later"], codec, headers, attributes)
    assert ours(fetched) == theirs(fetched)
    assert len(ours(fetched)) == 6


def test_only_what_was_asked_for() -> None:
    fetched = batch(0, [b"a", b"b"]) + batch(2, [b"c", b"d", b"e"]) + batch(9, [b"f"])
    found = list(chunks(fetched, *PLACE, 3))
    assert [(chunk.start, chunk.base_offset, chunk.last_offset) for chunk in found] == [(3, 2, 4), (9, 9, 9)]
    assert [record[3] for record in ours(fetched, 3)] == [b"d", b"e", b"f"]


def test_a_batch_that_the_fetch_cut_off_is_left_for_the_next() -> None:
    whole = batch(0, [b"a"])
    cut = batch(1, [b"b"])
    for length in range(len(cut)):
        assert len(ours(whole + cut[:length])) == 1


def test_control_records_are_passed_over_and_counted() -> None:
    found = list(chunks(batch(4, [b"marker"], attributes=CONTROL), *PLACE, 0))
    assert [(chunk.last_offset, chunk.size, chunk.records) for chunk in found] == [(4, 0, b"")]


def test_changed_bytes_are_noticed() -> None:
    good = batch(0, [b"a" * 50])
    for at in range(16, len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises(CorruptRecordException):
            ours(bytes(bad))


def test_a_record_that_lies_about_its_parts() -> None:
    [chunk] = chunks(batch(0, [b"abc"]), *PLACE, 0)
    for at in range(len(chunk.records)):
        for value in (0x00, 0x7E, 0x80, 0xFF):
            bad = bytearray(chunk.records)
            bad[at] = value
            try:
                record_at(chunk._replace(records=bytes(bad)), 0)
            except CorruptRecordException:
                continue
    with pytest.raises(CorruptRecordException):
        record_at(chunk._replace(records=chunk.records[:-1]), 0)
    with pytest.raises(CorruptRecordException):
        record_at(chunk._replace(records=b"\xff" * 20), 0)
