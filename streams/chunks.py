"""Bytes of a fetch -> chunks: the record batches of Kafka's log, taken apart as far as the compiled fold needs it.

No I/O. A record of a chunk becomes an object only where somebody asks for it. The layout is that of Kafka's record
batch, version 2, the only one that brokers have written since 0.11 and the only one that 4.0 still reads.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from aiokafka import codec
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.util import calc_crc32c

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AFTER: Final = 12
"""The length counts what comes after itself, and the offset before it."""
_CHECKED_FROM: Final = 21
"""The checksum covers what comes after itself."""
_MAGIC: Final = 2
_CODEC_MASK: Final = 0x07
_APPEND_TIME: Final = 0x08
_CONTROL: Final = 0x20
_DECODERS: Final[dict[int, Callable[[bytes], bytes]]] = {
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    3: codec.lz4_decode,
    4: codec.zstd_decode,
}
_VARINT_BYTES_MAX: Final = 10


class Chunk(NamedTuple):
    """The records of one batch: ``size`` of them in ``records``, at most up to ``last_offset``.

    Those before ``start`` were not asked for. Offsets are relative to ``base_offset``, times to ``first_ms``; with
    ``appended_ms`` >= 0 all have that time (ms).
    """

    topic: str
    partition: int
    start: int
    base_offset: int
    last_offset: int
    first_ms: int
    appended_ms: int
    size: int
    records: bytes


class Record(NamedTuple):
    """One record, with the names that aiokafka uses; ``timestamp`` in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def chunks(fetched: bytes, topic: str, partition: int, start: int) -> Iterator[Chunk]:
    """The batches from offset ``start`` on; a last one that the fetch has cut off is left out.

    Those of control records (of transactions) have a ``size`` of 0. Raises CorruptRecordException,
    UnsupportedCodecError.
    """
    at, view = 0, memoryview(fetched)
    while len(fetched) - at >= _HEADER.size:
        base, length, _, magic, crc, attributes, delta, first_ms, max_ms, _, _, _, count = _HEADER.unpack_from(view, at)
        end = at + _LENGTH_AFTER + length
        if length < _HEADER.size - _LENGTH_AFTER or magic != _MAGIC or delta < 0 or count < 0:
            raise CorruptRecordException(f"no record batch of version {_MAGIC} at offset {base}")
        if end > len(fetched):
            return
        if calc_crc32c(view[at + _CHECKED_FROM : end]) != crc:
            raise CorruptRecordException(f"checksum of the batch at offset {base}")
        if base + delta >= start:
            control = attributes & _CONTROL
            plain = b"" if control else _plain(view[at + _HEADER.size : end].tobytes(), attributes & _CODEC_MASK)
            appended_ms = max_ms if attributes & _APPEND_TIME else -1
            size = 0 if control else count
            yield Chunk(topic, partition, max(start, base), base, base + delta, first_ms, appended_ms, size, plain)
        at = end


def record_at(chunk: Chunk, at: int) -> tuple[Record, int]:
    """The record at byte ``at`` of the chunk, and where the next one begins; raises CorruptRecordException."""
    try:
        return _record(chunk, at)
    except (IndexError, ValueError) as error:
        raise CorruptRecordException(f"a record of the batch at offset {chunk.base_offset}: {error}") from error


def records(chunk: Chunk) -> Iterator[Record]:
    """All that were asked for; raises CorruptRecordException."""
    at = 0
    for _ in range(chunk.size):
        record, at = record_at(chunk, at)
        if record.offset >= chunk.start:
            yield record


def _plain(data: bytes, code: int) -> bytes:
    if not code:
        return data
    if code not in _DECODERS:
        raise UnsupportedCodecError(f"compression {code}")
    try:
        return bytes(_DECODERS[code](data))
    except Exception as error:  # each library has errors of its own
        raise CorruptRecordException(f"a compressed batch: {error!r}") from error


def _record(chunk: Chunk, at: int) -> tuple[Record, int]:
    data = chunk.records
    length, at = _varint(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise ValueError("its length")
    ms, at = _varint(data, at + 1)  # attributes of a record are unused
    delta, at = _varint(data, at)
    key, at = _bytes(data, at, end)
    value, at = _bytes(data, at, end)
    count, at = _varint(data, at)
    headers = []
    for _ in range(count):
        name, at = _bytes(data, at, end)
        content, at = _bytes(data, at, end)
        headers.append(((name or b"").decode("utf-8", "replace"), content or b""))
    if at != end or count < 0:
        raise ValueError("its parts are not as long as it says")
    time_ms = chunk.appended_ms if chunk.appended_ms >= 0 else chunk.first_ms + ms
    offset = chunk.base_offset + delta
    return Record(chunk.topic, chunk.partition, offset, time_ms, key, value, tuple(headers)), end


def _bytes(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    length, at = _varint(data, at)
    if length < 0:
        return None, at
    if at + length > end:
        raise ValueError("a part is longer than the record")
    return data[at : at + length], at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint and where it ends."""
    found = shift = 0
    for _ in range(_VARINT_BYTES_MAX):
        byte = data[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (found >> 1) ^ -(found & 1), at
        shift += 7
    raise ValueError("a number of more than ten bytes")
