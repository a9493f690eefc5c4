"""A stretch of one partition's log as bytes: header, blocks, footer. Layout: ``schema/archive.md``.

Pure. It keeps every entry as ``streams.entry.read_entry`` gave it, those without events too: what is read back is
equal. Every length is compared with the bytes that are there before anything is made of it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.columns import decode_frame, encode_frame
from streams.entry import Entry
from streams.envelope import Limits
from streams.errors import ArchiveError, WireError
from streams.events import Event
from streams.frame import ROWS_MAX

MAGIC: Final = b"\xf1ARC"
END_MAGIC: Final = b"\xf1END"
VERSION: Final = 1
BLOCK_EVENTS: Final = 5_000
"""Events of one block, about: what a reader has in memory at once. One record may have twice as many."""
BLOCK_ENTRIES_MAX: Final = ROWS_MAX
LEVEL: Final = 6
"""Of zlib: 9 makes a block 2% smaller and takes four times as long."""
EVENT_BYTES_MAX: Final = 16_384
"""No valid event's ``data`` is longer once it is written again (64 harmonics of five numbers); bounds a block."""
RAW_MAX: Final = ROWS_MAX * EVENT_BYTES_MAX

HEAD: Final = struct.Struct("<4sBBHIIq")
"""magic, version, zero, bytes of the topic's name, partition, partitions, first offset; name and CRC-32 follow."""
BLOCK: Final = struct.Struct("<IIIIqqI")
"""stored bytes, bytes when unpacked, entries, events, first and last offset, CRC-32 of all but itself."""
FOOT: Final = struct.Struct("<4sIqqqqqqqI")
"""magic, blocks, entries, events, last offset, event time and received (lowest, highest; -1: none), CRC-32."""
CRC: Final = struct.Struct("<I")

_LIMITS: Final = Limits(0, EVENT_BYTES_MAX, 100)
"""Those of a reader: events that were valid stay so, whatever the settings are by now."""
Column = npt.NDArray[Any]


class Head(NamedTuple):
    """Which log: ``partition`` of ``partitions``, from the offset ``first`` on."""

    topic: str
    partition: int
    partitions: int
    first: int


class Foot(NamedTuple):
    """What is in a file: all records up to and with the offset ``last``; times in epoch ms, -1 where there is none."""

    blocks: int
    entries: int
    events: int
    last: int
    time_min_ms: int = -1
    time_max_ms: int = -1
    received_min_ms: int = -1
    received_max_ms: int = -1


class Packer:
    """Entries in, the bytes of a file out, piece by piece. ``foot`` counts what is in so far."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.foot = Foot(0, 0, 0, head.first - 1)
        self._waiting: list[Entry] = []
        self._events = 0

    def start(self) -> bytes:
        """The header."""
        return encode_head(self.head)

    def add(self, entry: Entry) -> bytes:
        """Take the next entry; returns a block when one is full, else nothing."""
        full = self._events + len(entry.events) > BLOCK_EVENTS or len(self._waiting) == BLOCK_ENTRIES_MAX
        block = self._close() if full else b""
        self._waiting.append(entry)
        self._events += len(entry.events)
        self.foot = _counted(self.foot, entry)
        return block

    def finish(self, last: int) -> bytes:
        """The last block and the footer; ``last`` is the offset up to which the log was read."""
        block = self._close()
        self.foot = self.foot._replace(last=last)
        return block + encode_foot(self.foot)

    def _close(self) -> bytes:
        if not self._waiting:
            return b""
        entries, self._waiting, self._events = self._waiting, [], 0
        self.foot = self.foot._replace(blocks=self.foot.blocks + 1)
        return encode_block(entries)


def encode_head(head: Head) -> bytes:
    name = head.topic.encode()
    raw = HEAD.pack(MAGIC, VERSION, 0, len(name), head.partition, head.partitions, head.first) + name
    return raw + CRC.pack(zlib.crc32(raw))


def encode_foot(foot: Foot) -> bytes:
    raw = FOOT.pack(END_MAGIC, *foot, 0)[: -CRC.size]
    return raw + CRC.pack(zlib.crc32(raw))


def encode_block(entries: Sequence[Entry]) -> bytes:
    """One block: at least one entry, at most BLOCK_ENTRIES_MAX, at most ROWS_MAX events."""
    offsets = np.array([entry.offset for entry in entries], "<i8")
    received = np.array([entry.received_ms for entry in entries], "<i8")
    counts = np.array([len(entry.events) for entry in entries], "<u4")
    indexes = np.array([index for entry in entries for index in entry.indexes], "<u4")
    events = [event for entry in entries for event in entry.events]
    columns = [np.diff(offsets, prepend=0), np.diff(received, prepend=0), counts, indexes]
    raw = b"".join([column.tobytes() for column in columns] + ([encode_frame(events)] if events else []))
    stored = zlib.compress(raw, LEVEL)
    head = BLOCK.pack(len(stored), len(raw), len(entries), len(events), int(offsets[0]), int(offsets[-1]), 0)
    head = head[: -CRC.size]
    return b"".join((head, CRC.pack(zlib.crc32(stored, zlib.crc32(head))), stored))


def read_head(data: bytes) -> tuple[Head, int]:
    """The header at the start of a file, and its bytes; raises ArchiveError."""
    if len(data) < HEAD.size or not data.startswith(MAGIC):
        raise ArchiveError("is no archive of the log: it begins with other bytes")
    _, version, zero, length, partition, partitions, first = HEAD.unpack_from(data)
    end = HEAD.size + length + CRC.size
    if version != VERSION:
        raise ArchiveError(f"has version {version}, this program reads {VERSION}")
    if len(data) < end or zlib.crc32(data[: end - CRC.size]) != CRC.unpack_from(data, end - CRC.size)[0]:
        raise ArchiveError("has a damaged header")
    try:
        topic = data[HEAD.size : end - CRC.size].decode()
    except UnicodeDecodeError:
        raise ArchiveError("names a topic that is no text") from None
    if zero or first < 0 or partition >= partitions:
        raise ArchiveError("has a header that cannot be")
    return Head(topic, partition, partitions, first), end


def read_foot(data: bytes) -> Foot:
    """The footer at the end of a file (or of its last bytes); raises ArchiveError."""
    raw = data[-FOOT.size :]
    if len(raw) < FOOT.size or not raw.startswith(END_MAGIC) or zlib.crc32(raw[: -CRC.size]) != CRC.unpack(raw[-4:])[0]:
        raise ArchiveError("has no whole footer: it is cut or damaged")
    return Foot(*FOOT.unpack(raw)[1:-1])


def read_file(data: bytes, start: int = 0, end: int | None = None) -> Iterator[list[Entry]]:
    """Entries with start <= offset < end, block by block; raises ArchiveError.

    Blocks outside are not unpacked, only their checksums are looked at.
    """
    for block in blocks(data):
        if block.high >= start and (end is None or block.low < end):
            found = block.entries()
            yield [one for one in found if one.offset >= start and (end is None or one.offset < end)]


class Block(NamedTuple):
    """A block whose checksum is right, still packed: entries from the offset ``low`` to ``high``."""

    at: int
    stored: bytes
    length: int
    records: int
    events: int
    low: int
    high: int

    def packed(self) -> Packed:
        """Its columns, and its events still in their frame; raises ArchiveError."""
        found = unpack_block(self.stored, self.length, self.records, self.events)
        if (int(found.offsets[0]), int(found.offsets[-1])) != (self.low, self.high):
            raise ArchiveError(f"has a block at byte {self.at} with other offsets than it says")
        return found

    def entries(self) -> list[Entry]:
        """Unpacked; raises ArchiveError."""
        return self.packed().entries()


def blocks(data: bytes) -> Iterator[Block]:
    """The blocks of a file in order; raises ArchiveError for whatever is wrong outside of them."""
    head, at = read_head(data)
    foot = read_foot(data[at:])
    body_end = len(data) - FOOT.size
    seen, rows, events = head.first - 1, 0, 0
    for _ in range(foot.blocks):
        body = at + BLOCK.size
        if body > body_end:
            raise ArchiveError("ends within its blocks")
        stored, length, entries, count, low, high, crc = BLOCK.unpack_from(data, at)
        if stored > body_end - body:
            raise ArchiveError(f"has a block at byte {at} that is longer than the file")
        packed = data[body : body + stored]
        if zlib.crc32(packed, zlib.crc32(data[at : body - CRC.size])) != crc:
            raise ArchiveError(f"has a damaged block at byte {at}")
        if not seen < low <= high <= foot.last or not 0 < entries <= BLOCK_ENTRIES_MAX:
            raise ArchiveError(f"has a block at byte {at} that is out of order")
        yield Block(at, packed, length, entries, count, low, high)
        seen, rows, events, at = high, rows + entries, events + count, body + stored
    if (rows, events, at) != (foot.entries, foot.events, body_end):
        raise ArchiveError("has a footer that counts something else than its blocks")


class Packed(NamedTuple):
    """What a block holds: entries with their ``counts`` of events, and these as a ``frame`` (empty for none)."""

    offsets: Column
    received: Column
    counts: Column
    indexes: Column
    frame: bytes

    def entries(self) -> list[Entry]:
        """Raises ArchiveError."""
        events = _events(self.frame, len(self.indexes))
        places, stops = self.indexes.tolist(), np.cumsum(self.counts, dtype=np.int64).tolist()
        out, begin = [], 0
        for offset, at, stop in zip(self.offsets.tolist(), self.received.tolist(), stops, strict=True):
            out.append(Entry(offset, at, events[begin:stop], places[begin:stop]))
            begin = stop
        return out


def unpack_block(stored: bytes, length: int, rows: int, count: int) -> Packed:
    """The ``rows`` entries with ``count`` events of a block's ``stored`` bytes; raises ArchiveError."""
    raw = _unpacked(stored, length)
    fixed = rows * 20 + count * 4
    if fixed > length or count > ROWS_MAX:
        raise ArchiveError(f"has a block of {length} bytes, which cannot hold {rows} records and {count} events")
    with np.errstate(over="ignore"):
        offsets = np.cumsum(np.frombuffer(raw, "<i8", rows), dtype=np.int64)
        received = np.cumsum(np.frombuffer(raw, "<i8", rows, rows * 8), dtype=np.int64)
    counts = np.frombuffer(raw, "<u4", rows, rows * 16)
    indexes = np.frombuffer(raw, "<u4", count, rows * 20)
    stops = np.cumsum(counts, dtype=np.int64)
    if bool((offsets[1:] <= offsets[:-1]).any()) or int(stops[-1]) != count:
        raise ArchiveError("has a block whose offsets or counts cannot be")
    rising = indexes[1:] > indexes[:-1]
    rising[stops[(stops > 0) & (stops < count)] - 1] = True  # each record counts from its own start
    if not bool(rising.all()):
        raise ArchiveError("has a block whose indexes do not rise")
    return Packed(offsets, received, counts, indexes, raw[fixed:])


def _unpacked(stored: bytes, length: int) -> bytes:
    """Never more than was promised, and no promise beyond RAW_MAX: a small block cannot fill the memory."""
    if length > RAW_MAX:
        raise ArchiveError(f"has a block of {length} bytes, more than any block may have")
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(stored, length + 1)
    except zlib.error as error:
        raise ArchiveError(f"has a block that does not unpack ({error})") from None
    if len(raw) != length or not unpacker.eof or unpacker.unused_data:
        raise ArchiveError("has a block that unpacks to another length")
    return raw


def _events(frame: bytes, count: int) -> list[Event]:
    if not count:
        if frame:
            raise ArchiveError("has a block with bytes after its columns")
        return []
    try:
        rows = decode_frame(frame, _LIMITS)
    except WireError as error:
        raise ArchiveError(f"has a block whose frame is bad ({error})") from None
    events = [row for row in rows if isinstance(row, Event)]
    if not len(events) == len(rows) == count:
        raise ArchiveError(f"has a block whose frame holds {len(events)} events, not {count}")
    return events


def _counted(foot: Foot, entry: Entry) -> Foot:
    times = [event.timestamp for event in entry.events]
    times += [foot.time_min_ms, foot.time_max_ms] if foot.events else []
    heard = [entry.received_ms] + ([foot.received_min_ms, foot.received_max_ms] if foot.entries else [])
    low, high = (min(times), max(times)) if times else (-1, -1)
    return foot._replace(
        entries=foot.entries + 1, events=foot.events + len(entry.events), last=entry.offset,
        time_min_ms=low, time_max_ms=high, received_min_ms=min(heard), received_max_ms=max(heard),
    )  # fmt: skip
