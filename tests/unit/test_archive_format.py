"""The archive's bytes: what goes in comes out equal, and of any other bytes only the named error comes out."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.examples import records
from streams.archive import format as layout
from streams.archive.format import Foot, Head, Packer, read_file, read_foot, read_head
from streams.entry import Entry, read_entry
from streams.errors import ArchiveError
from streams.events import TIMESTAMP_MS_MAX, Event
from streams.frame import ROWS_MAX
from streams.simulate import Fleet, items
from streams.validate import read_record
from streams.wire import encode_frame
from tests.documents import events, mutated

HEAD = Head("field.events", 3, 16, 40)
MS = st.integers(-1, 2**53)


def fleet(count: int) -> list[Event]:
    found = items(Fleet(devices=50, rate=1_000, seed=5, start=1_700_000_000_000), count / 1_000)
    return [item.event for item in found if isinstance(item.event, Event)]


FLEET = fleet(60)


@st.composite
def entries(draw: st.DrawFn, event: st.SearchStrategy[Event]) -> list[Entry]:
    """Records of a partition, some of them without an event, some offsets without a record."""
    offset, out = HEAD.first - 1, []
    for _ in range(draw(st.integers(0, 6))):
        offset += draw(st.integers(1, 3) | st.just(2**40))
        indexes = sorted(draw(st.sets(st.integers(0, 9_999), max_size=3)))
        out.append(Entry(offset, draw(MS), [draw(event) for _ in indexes], indexes))
    return out


any_entries = entries(events())
plain_entries = entries(st.sampled_from(FLEET))
"""Quick to draw: where it matters what is done to the bytes."""


def packed(found: Sequence[Entry], last: int | None = None, head: Head = HEAD) -> bytes:
    packer = Packer(head)
    pieces = [packer.start(), *(packer.add(entry) for entry in found)]
    return b"".join([*pieces, packer.finish(packer.foot.last if last is None else last)])


def unpacked(data: bytes, start: int = 0, end: int | None = None) -> list[Entry]:
    return [entry for some in read_file(data, start, end) for entry in some]


@given(any_entries, st.integers(0, 2))
@settings(max_examples=100, deadline=None)
def test_entries_come_back_equal(found: list[Entry], beyond: int):
    last = (found[-1].offset if found else HEAD.first) + beyond
    data = packed(found, last)
    assert unpacked(data) == found
    # == does not tell 0.0 from -0.0, nor 1 from 1.0
    assert repr(unpacked(data)) == repr(found)
    times = [event.timestamp for entry in found for event in entry.events]
    received = [entry.received_ms for entry in found]
    foot = read_foot(data)
    assert read_head(data)[0] == HEAD
    assert (foot.entries, foot.events, foot.last) == (len(found), len(times), last)
    assert (foot.time_min_ms, foot.time_max_ms) == ((min(times), max(times)) if times else (-1, -1))
    assert (foot.received_min_ms, foot.received_max_ms) == ((min(received), max(received)) if received else (-1, -1))


@pytest.mark.parametrize("one", records.good() + records.bad(), ids=lambda one: one.name)
def test_every_example_of_the_schema_comes_back_equal(one):
    class Record:
        offset, timestamp, value, headers = 7, 1_800_000_000_000, one.value, ()

    found = [read_entry(Record(), partition, 2) for partition in range(2)]
    for entry in found:
        assert repr(unpacked(packed([entry], head=HEAD._replace(first=0)))) == repr([entry])


@given(mutated())
@settings(max_examples=200, deadline=None)
def test_whatever_validation_lets_through_comes_back_equal(document):
    items = read_record(json.dumps(document).encode(), TIMESTAMP_MS_MAX)
    found = [Entry(40, 1, [item for item in items if isinstance(item, Event)], [*range(len(items))])]
    if len(found[0].events) == len(items):
        assert repr(unpacked(packed(found))) == repr(found)


def test_many_events_are_many_blocks_and_a_range_is_read_alone():
    found = [Entry(40 + at, 5, [event], [0]) for at, event in enumerate(fleet(12_000))]
    data = packed(found)
    assert read_foot(data).blocks == 3
    assert [len(some) for some in read_file(data)] == [5_000, 5_000, 2_000]
    assert unpacked(data, 5_000, 5_100) == found[4_960:5_060]
    assert [entry.offset for some in read_file(data, 45, 46) for entry in some] == [45]


def test_the_largest_records_fit_into_blocks():
    many = (fleet(4_000) * 3)[:ROWS_MAX]
    found = [
        Entry(40, 5, many, list(range(ROWS_MAX))),
        Entry(41, 6, many[:9], list(range(9))),
        Entry(42, 6, many, list(range(ROWS_MAX))),
    ]
    found += [Entry(43 + at, 7, [], []) for at in range(layout.BLOCK_ENTRIES_MAX + 1)]
    assert unpacked(packed(found)) == found


@given(plain_entries, st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_byte_or_a_cut_is_seen(found: list[Entry], data: st.DataObject):
    value = bytearray(packed(found))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(value), packed(found)[:at], packed(found) + b"\0"):
        with pytest.raises(ArchiveError):
            unpacked(bad)


def sealed(raw: bytes, numbers: Sequence[int]) -> bytes:
    """A file of one block whose checksums are all right: of ``raw``, with these numbers in the block's head."""
    stored = zlib.compress(raw)
    head = layout.BLOCK.pack(len(stored), *numbers, 0)[:-4]
    block = head + struct.pack("<I", zlib.crc32(stored, zlib.crc32(head))) + stored
    foot = Foot(1, numbers[1] % 2**62, numbers[2] % 2**62, max(HEAD.first, numbers[4]))
    return layout.encode_head(HEAD) + block + layout.encode_foot(foot)


@given(plain_entries.filter(bool), st.data())
@settings(max_examples=400, deadline=None)
def test_well_sealed_nonsense_gives_entries_or_the_named_error(found: list[Entry], data: st.DataObject):
    at = len(layout.encode_head(HEAD))
    value = packed(found)
    stored, length, rows, count, low, high, _ = layout.BLOCK.unpack_from(value, at)
    raw = bytearray(zlib.decompress(value[at + layout.BLOCK.size :][:stored]))
    for _ in range(data.draw(st.integers(0, 4))):
        if raw:
            where = data.draw(st.integers(0, len(raw) - 1))
            raw[where : where + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    length = len(raw)
    if data.draw(st.booleans()):  # else only what is inside is wrong
        length = data.draw(st.just(length) | st.integers(0, 2**32 - 1))
        rows = data.draw(st.just(rows) | st.integers(0, 2**32 - 1) | st.integers(0, 12))
        count = data.draw(st.just(count) | st.integers(0, 2**32 - 1) | st.integers(0, 12))
        low = data.draw(st.just(low) | st.integers(-(2**63), 2**63 - 1))
    try:
        got = unpacked(sealed(bytes(raw), (length, rows, count, low, high)))
    except ArchiveError:
        return
    offsets = [entry.offset for entry in got]
    assert offsets == sorted(set(offsets))
    assert all(len(entry.events) == len(entry.indexes) == len(set(entry.indexes)) for entry in got)
    assert all(isinstance(event, Event) for entry in got for event in entry.events)


@given(st.binary(max_size=400), st.sampled_from([b"", layout.MAGIC, layout.encode_head(HEAD)]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_the_named_error(body: bytes, start: bytes):
    for end in (b"", layout.encode_foot(Foot(0, 0, 0, 40)), layout.encode_foot(Foot(2, 5, 5, 2**62))):
        if start != layout.encode_head(HEAD) or body or not end:
            with pytest.raises(ArchiveError):
                unpacked(start + body + end)


def test_a_small_block_cannot_fill_the_memory():
    bomb = zlib.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        for promised in (1_000, layout.RAW_MAX + 1):
            with pytest.raises(ArchiveError, match=r"another length|more than any block"):
                layout.unpack_block(bomb, promised, 1, 0)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_frame_that_is_bad_within_good_checksums_is_refused():
    columns = struct.pack("<qqII", 40, 1, 1, 0)
    good = encode_frame(fleet(1))
    late = bytearray(good)
    late[20:28] = struct.pack("<q", -1)  # an event time that cannot be: the row is bad, the frame is not
    late[16:20] = struct.pack("<I", zlib.crc32(late[20:], zlib.crc32(late[:16])))
    for frame, problem in (
        (good[:-1] + bytes([good[-1] ^ 1]), "whose frame is bad"),
        (bytes(late), "holds 0 events, not 1"),
        (encode_frame(fleet(2)), "holds 2 events, not 1"),
    ):
        with pytest.raises(ArchiveError, match=problem):
            unpacked(sealed(columns + frame, (len(columns + frame), 1, 1, 40, 40)))
    assert len(unpacked(sealed(columns + good, (len(columns + good), 1, 1, 40, 40)))) == 1
    bare = struct.pack("<qqI", 40, 1, 0) + b"more"
    with pytest.raises(ArchiveError, match="bytes after its columns"):
        unpacked(sealed(bare, (len(bare), 1, 0, 40, 40)))


@pytest.mark.parametrize(
    ("mend", "problem"),
    [
        ({"first": 41}, "out of order"),
        ({"partition": 16}, "header that cannot be"),
    ],
)
def test_a_header_that_does_not_fit_its_blocks_is_refused(mend: dict[str, int], problem: str):
    found = [Entry(40, 1, fleet(3), [0, 1, 2])]
    rest = packed(found)[len(layout.encode_head(HEAD)) :]
    with pytest.raises(ArchiveError, match=problem):
        unpacked(layout.encode_head(HEAD._replace(**mend)) + rest)
