"""Plain records of the log as rows of PostgreSQL's binary COPY, without an object for any of them.

``ffi_rows.rs`` of ``streams/native/src`` is the other side; ``projections/rows.py`` makes the same bytes.
"""

from __future__ import annotations

import ctypes

from streams.errors import FieldError
from streams.events import BREATH, SACRED_PHRASE, TYPES
from streams.native.cursor import Cursor
from streams.settings import Settings

_WEIGHED = TYPES[TYPES.index(BREATH) : TYPES.index(SACRED_PHRASE) + 1]


class NativeRowsError(FieldError):
    """The compiled rows could not be made: a fault of ours."""


class NativeRows:
    """Makes rows of plain records. One thread at a time may use it."""

    def __init__(self, library: ctypes.CDLL, settings: Settings) -> None:
        """``library`` as of ``streams.native.library``."""
        weights = settings.rules.weights()
        self._library = library
        self._handle = library.field_rows_new(
            (ctypes.c_int64 * len(_WEIGHED))(*(weights[kind] for kind in _WEIGHED)),
            settings.partitions, settings.skew_ms_max, settings.event_bytes_max, settings.depth_max,
        )  # fmt: skip

    def __del__(self) -> None:
        if handle := self.__dict__.pop("_handle", None):
            self._library.field_rows_free(handle)

    def make(self, partition: int, cursor: Cursor) -> bytes:
        """Rows on from the cursor, ``cursor.events`` of them; where it stopped, and why, is in the cursor.

        Raises NativeRowsError.
        """
        if self._library.field_rows_make(self._handle, partition, ctypes.byref(cursor)):
            raise NativeRowsError("the compiled rows have failed; FIELD_FOLD=simple works without them")
        size = ctypes.c_size_t()
        address = self._library.field_rows_last(self._handle, ctypes.byref(size))
        return ctypes.string_at(address, size.value) if size.value else b""
