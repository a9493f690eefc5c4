"""The compiled fold of a partition, with the methods of ``streams.fold.partition.PartitionFold``.

``ffi_fold.rs`` of ``streams/native/src`` is the other side.
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

import msgspec
import numpy as np

from streams.archive.format import Packed
from streams.changes import Marker, encode
from streams.errors import FieldError, FoldVersionError
from streams.events import Event
from streams.fold.partition import Checkpoint, latest
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.fold.shard import check_version
from streams.native.cursor import Cursor
from streams.settings import Settings
from streams.table import position_key, record_key

_Values = list[tuple[int, bytes]]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_checkpoint: Final = msgspec.msgpack.Decoder(tuple[_Values, _Values, bytes]).decode


_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.argtypes, _view.restype = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int), ctypes.py_object
_READ: Final = 0x100
_ODD: Final = 2


class _Block(ctypes.Structure):
    """The layout is that of ``Block`` in ``src/block.rs``."""

    _fields_: ClassVar[Any] = [
        ("frame", ctypes.c_char_p), ("length", ctypes.c_size_t), ("offsets", ctypes.c_void_p),
        ("counts", ctypes.c_void_p), ("entries", ctypes.c_size_t), ("start", ctypes.c_int64), ("end", ctypes.c_int64),
    ]  # fmt: skip


class NativeFoldError(FieldError):
    """The compiled fold could not do what it was asked, and why."""


class NativeFold:
    """The fold of one partition; see ``PartitionFold``. One thread at a time may use it."""

    def __init__(
        self, library: ctypes.CDLL, partition: int, shards: int, rules: Rules = DEFAULT_RULES, open_max: int = 1_000_000
    ) -> None:
        """``library`` as of ``streams.native.library``; raises NativeFoldError for rules that it cannot count with.

        With more than ``open_max`` keys open after a checkpoint all are packed: 0.2 KB each instead of some 2, and two
        microseconds to open one again. What is loaded is packed. Nobody sees it but in memory.
        """
        self.partition = partition
        self.rules = rules
        self.lost = 0
        self._shards = shards
        self._library = library
        constants = _encode([rules.version, *dataclasses.astuple(rules)])
        self._handle = library.field_fold_new(partition, shards, open_max, constants, len(constants))
        if problem := self._text():
            raise NativeFoldError(problem.decode())

    def __del__(self) -> None:
        if handle := self.__dict__.pop("_handle", None):
            self._library.field_fold_free(handle)

    @property
    def position(self) -> int:
        """The last record offset folded; before the first, that of the loaded position record (-1: none)."""
        return self._numbers()[0]

    @property
    def watermark(self) -> int:
        """Highest accepted timestamp (ms)."""
        return self._numbers()[1]

    @property
    def reached(self) -> int:
        """Highest record offset that is in any shard; ``position`` may be behind it after a crash."""
        return self._numbers()[2]

    @property
    def counts(self) -> dict[str, int]:
        """Accepted, duplicate and late events since the start of this object."""
        return dict(zip(("accepted", "duplicate", "late"), self._numbers()[3:], strict=True))

    def load(self, records: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """Take the state from changelog records, as ``PartitionFold.load`` does, with the same errors."""
        found = latest(records, self.partition, self._shards)
        self.lost = found.lost
        if found.position is not None:
            self._call("stand", found.position)
        for number, value in found.shards.items():
            check_version(value, self.rules)
            try:
                self._call("load", number, value, len(value))
            except NativeFoldError as error:
                raise FoldVersionError(
                    f"a record of the changelog is not of this version ({error}): "
                    "run `field replay` to rebuild the state",
                    topic="changelog", partition=self.partition,
                ) from error  # fmt: skip
        return found.superseded

    def fold(self, offset: int, events: Sequence[Event]) -> None:
        """Fold the valid events of one record; what already holds this offset skips it."""
        value = _encode(events)
        self._call("events", offset, value, len(value))

    def expect(self, settings: Settings) -> None:
        """What ``fold_chunk`` may take for plain: the partitions and the limits of these settings."""
        self._call(
            "plain", self.partition, settings.partitions, settings.skew_ms_max, settings.event_bytes_max,
            settings.depth_max,
        )  # fmt: skip

    def fold_chunk(self, cursor: Cursor) -> None:
        """Fold plain records on from the cursor; ``expect`` first. Where it stops, and why, is in the cursor."""
        self._call("chunk", ctypes.byref(cursor))

    def fold_block(self, packed: Packed, start: int, end: int) -> bool:
        """Fold the entries with ``start`` <= offset < ``end``; False, and nothing folded, where Python is to look."""
        offsets, counts = np.ascontiguousarray(packed.offsets, "<i8"), np.ascontiguousarray(packed.counts, "<u4")
        block = _Block(
            packed.frame, len(packed.frame), offsets.ctypes.data, counts.ctypes.data, len(offsets), start, end
        )
        answer = self._library.field_fold_block(self._handle, ctypes.byref(block))
        if answer == _ODD:
            return False
        if answer:
            raise NativeFoldError(self._text().decode())
        return True

    def checkpoint(self, writer: str, full: bool = False) -> Checkpoint:
        """Settle and encode the shards that changed since the last checkpoint, and forget that they did."""
        name = writer.encode()
        self._call("checkpoint", name, len(name), full)
        changes, records, last = _decode_checkpoint(self._text_there())
        position, watermark, _reached, *counts = self._numbers()
        generation = int(writer.partition("-")[0])
        marker = Marker(self.partition, position, writer, generation, watermark, *counts)
        return Checkpoint(
            position,
            [(f"{self.partition}/{number}".encode(), value) for number, value in changes],
            encode(marker),
            [
                *((record_key(self.partition, number, writer), value) for number, value in records),
                (position_key(self.partition, writer), last),
            ],
        )

    def _numbers(self) -> list[int]:
        numbers = (ctypes.c_int64 * 6)()
        self._call("numbers", numbers)
        return list(numbers)

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._library, f"field_fold_{name}")(self._handle, *arguments):
            raise NativeFoldError(self._text().decode())

    def _text(self) -> bytes:
        return bytes(self._text_there())

    def _text_there(self) -> memoryview:
        """Where it stands: good until the next call. All that a checkpoint says need not be there twice."""
        size = ctypes.c_size_t()
        address = self._library.field_fold_text(self._handle, ctypes.byref(size))
        found: memoryview = _view(address, size.value, _READ)
        return found
