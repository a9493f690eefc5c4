"""Records of the embedded log: appended with the next offset and the time of appending, read from an offset on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from streams.embedded.store import Store
from streams.packing import Record

CHUNK_BYTES: Final = 8 * 1024 * 1024
"""A reader holds so much at a time, and one record more."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, bytes]]).decode


class StoredRecord(NamedTuple):
    """A record as it stands in the log; ``timestamp`` is when it was appended (epoch ms)."""

    offset: int
    timestamp: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    value: bytes | None


def append(db: sqlite3.Connection, records: Sequence[Record]) -> list[int]:
    """Append in order, within the transaction that is open; their time never goes back within a partition.

    Returns the offset of each.
    """
    now = time.time_ns() // 1_000_000
    ends = {
        number: (next_offset, max(now, received))
        for number, next_offset, received in db.execute("SELECT partition, next_offset, received_ms FROM partitions")
    }
    rows = []
    for record in records:
        offset, received = ends[record.partition]
        headers = _encode(list(record.headers)) if record.headers else None
        rows.append((record.partition, offset, received, record.key, headers, record.value))
        ends[record.partition] = (offset + 1, received)
    db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
    touched = {record.partition for record in records}
    db.executemany(
        "UPDATE partitions SET next_offset = ?, received_ms = ? WHERE partition = ?",
        [(*ends[number], number) for number in sorted(touched)],
    )
    return [row[1] for row in rows]


def read(store: Store, partition: int, start: int, end: int, records_max: int) -> list[StoredRecord]:
    """Records with start <= offset < end, in order: at most ``records_max`` of them, and about CHUNK_BYTES."""
    out, size = [], 0
    with store.reading() as db:
        rows = db.execute(
            'SELECT "offset", received_ms, key, headers, value FROM records'
            ' WHERE partition = ? AND "offset" >= ? AND "offset" < ? ORDER BY "offset" LIMIT ?',
            (partition, start, end, records_max),
        )
        for offset, received, key, headers, value in rows:
            out.append(StoredRecord(offset, received, key, () if headers is None else _decode(headers), value))
            size += len(value or b"")
            if size >= CHUNK_BYTES:
                break
    return out


def ends(store: Store) -> dict[int, int]:
    """The offset after the last, by partition, of one moment."""
    with store.reading() as db:
        return dict(db.execute("SELECT partition, next_offset FROM partitions ORDER BY partition"))


def first_since(store: Store, partition: int, time_ms: int) -> int | None:
    """The first offset that was appended at ``time_ms`` or later; None: none was. Times rise, so it is searched for."""
    low, high = bounds(store)[partition]
    end = high
    with store.reading() as db:
        while low < high:
            middle = (low + high) // 2
            (received,) = db.execute(
                'SELECT received_ms FROM records WHERE partition = ? AND "offset" = ?', (partition, middle)
            ).fetchone()
            low, high = (middle + 1, high) if received < time_ms else (low, middle)
    return low if low < end else None


def bounds(store: Store) -> dict[int, tuple[int, int]]:
    """(first offset that is there, offset after the last) by partition, of one moment."""
    with store.reading() as db:
        return {
            number: (end if first is None else first, end)
            for number, end, first in db.execute(
                'SELECT partition, next_offset, (SELECT min("offset") FROM records'
                " WHERE records.partition = partitions.partition) FROM partitions ORDER BY partition"
            )
        }
