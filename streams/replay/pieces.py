"""The log as it is stored -> the compiled fold: chunks of Kafka and blocks of an archive, no object for each event."""

from __future__ import annotations

from collections.abc import Iterator

from streams.archive.format import Packed
from streams.chunks import Chunk
from streams.entry import read_entry
from streams.native.cursor import Cursor
from streams.native.fold import NativeFold
from streams.settings import Settings
from streams.validate import Limits


def fold_piece(
    fold: NativeFold, piece: Chunk | Packed, span: tuple[int, int], turn: int, settings: Settings
) -> Iterator[int]:
    """Folds the entries with offsets in ``span`` (the second does not count); events by step, some ``turn`` in each.

    Raises ArchiveError, CorruptRecordException.
    """
    start, end = span
    if isinstance(piece, Chunk):
        yield from _chunk(fold, Cursor(piece, turn, start, end), settings)
        return
    for low, high, events in _ranges(piece, start, end, turn):
        if not fold.fold_block(piece, low, high):
            for entry in piece.entries():
                if low <= entry.offset < high:
                    fold.fold(entry.offset, entry.events)
        yield events


def _ranges(piece: Packed, start: int, end: int, turn: int) -> Iterator[tuple[int, int, int]]:
    """Offsets (from, to) of some ``turn`` events each, and how many these are. The frame is read anew for each."""
    events, low = 0, start
    for offset, count in zip(piece.offsets.tolist(), piece.counts.tolist(), strict=True):
        if not start <= offset < end:
            continue
        if events and events + count > turn:
            yield low, offset, events
            events, low = 0, offset
        events += count
    yield low, end, events


def _chunk(fold: NativeFold, cursor: Cursor, settings: Settings) -> Iterator[int]:
    limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
    while cursor.more:
        fold.fold_chunk(cursor)
        events = cursor.events
        if cursor.odd:
            record = cursor.take()
            if cursor.start <= record.offset < cursor.end:
                entry = read_entry(record, fold.partition, settings.partitions, limits)
                fold.fold(record.offset, entry.events)
                events += len(entry.events)
        yield events
