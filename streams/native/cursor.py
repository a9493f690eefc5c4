"""How far a chunk is taken, shared with the compiled library: the layout is that of ``Cursor`` in ``src/chunk.rs``."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar, Final

from streams.chunks import Chunk, Record, record_at

_FAR: Final = (1 << 63) - 1
_END: Final = 0
_ODD: Final = 2


class Cursor(ctypes.Structure):
    """Where the compiled fold, or who makes rows, stands in a chunk, and what the last step did.

    ``events`` and ``records``: taken by the last step, all of them plain. ``more``: there is something left.
    ``odd``: it stands before a record that it does not read; ``take`` hands it over and goes on behind it.
    ``reached``: offset of the last record that was taken (-1: none).
    """

    at: int
    done: int
    events: int
    reached: int
    stop: int
    _fields_: ClassVar[Any] = [
        ("data", ctypes.c_char_p), ("length", ctypes.c_uint64),
        ("base_offset", ctypes.c_int64), ("first_ms", ctypes.c_int64), ("appended_ms", ctypes.c_int64),
        ("start", ctypes.c_int64), ("end", ctypes.c_int64), ("at", ctypes.c_uint64),
        ("size", ctypes.c_uint32), ("turn", ctypes.c_uint32), ("done", ctypes.c_uint32),
        ("events", ctypes.c_uint32), ("records", ctypes.c_uint32), ("stop", ctypes.c_uint32),
        ("reached", ctypes.c_int64),
    ]  # fmt: skip

    def __init__(self, chunk: Chunk, turn: int, start: int = 0, end: int = _FAR) -> None:
        """For the records with ``start`` <= offset < ``end``, some ``turn`` events in a step."""
        super().__init__(
            chunk.records, len(chunk.records), chunk.base_offset, chunk.first_ms, chunk.appended_ms,
            max(start, chunk.start), end, 0, chunk.size, turn, 0, 0, 0, 1, -1,
        )  # fmt: skip
        self._chunk = chunk

    @property
    def more(self) -> bool:
        return bool(self.stop != _END)

    @property
    def odd(self) -> bool:
        return bool(self.stop == _ODD)

    def take(self) -> Record:
        """The record that it stands before; raises CorruptRecordException."""
        record, self.at = record_at(self._chunk, self.at)
        self.done += 1
        return record
