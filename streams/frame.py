"""The frame: a columnar binary batch of events, versioned and checksummed. Layout: ``schema/frame.md``.

Pure. Here bytes become columns and back; ``columns`` makes events of them. Every length is compared with the bytes
that are there before anything is made of it.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.errors import WireError

FIRST_BYTE: Final = b"\xf1"
MAGIC: Final = b"\xf1FLD"
VERSION: Final = 1
ROWS_MAX: Final = 10_000
"""As many as an array may have: a frame is one Kafka record."""
NAME_BYTES_MAX: Final = 256
"""Longer dictionary entries make the frame bad: one entry may stand in many rows, and each bad row keeps a copy."""

HEADER: Final = struct.Struct("<4sBBHIII")
"""magic, version, zero, columns (bit set), rows, bytes of the body, CRC-32 of all but itself."""

COLUMNS: Final = (
    ("timestamp", "<i8"), ("id", "V16"), ("type", "u1"), ("flags", "u1"), ("device", "<u4"), ("user", "<u4"),
    ("room", "<u4"), ("target", "<u4"), ("intensity", "<u4"), ("seq", "<i8"), ("epoch", "<i8"), ("x", "<f8"),
    ("y", "<f8"), ("z", "<f8"), ("phase", "<f8"), ("data_end", "<u4"),
)  # fmt: skip
"""In the order of the body; a column of zero bytes only is left out and its bit is 0."""
_ALWAYS: Final = frozenset((0, 1, 2, 4))
"""Bits of the columns that are never left out, so that a row costs bytes."""

Column = npt.NDArray[Any]


class Frame(NamedTuple):
    """A frame taken apart: columns by name, each of ``rows``; dictionary entries; one blob of JSON a row."""

    rows: int
    columns: dict[str, Column]
    names: list[bytes]
    blobs: list[bytes]


def pack(frame: Frame) -> bytes:
    """The bytes of a frame's parts."""
    if frame.rows > ROWS_MAX:
        raise WireError("too_large", f"more than {ROWS_MAX} events in one frame")
    ends = np.cumsum([len(blob) for blob in frame.blobs], dtype=np.uint64).astype("<u4")
    present = 0
    parts = []
    for bit, (name, _) in enumerate(COLUMNS):
        raw = (ends if name == "data_end" else frame.columns[name]).tobytes()
        if bit in _ALWAYS or raw.count(0) < len(raw):
            present |= 1 << bit
            parts.append(raw)
    lengths = np.array([len(name) for name in frame.names], "<u4")
    parts += [len(frame.names).to_bytes(4, "little"), lengths.tobytes(), *frame.names, *frame.blobs]
    body = b"".join(parts)
    head = HEADER.pack(MAGIC, VERSION, 0, present, frame.rows, len(body), 0)[:-4]
    return b"".join((head, zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little"), body))


def unpack(value: bytes) -> Frame:
    """The parts of a frame; raises WireError: bad_frame, bad_checksum, unknown_version, too_large, empty."""
    if len(value) < HEADER.size or not value.startswith(MAGIC):
        raise WireError("bad_frame", f"{len(value)} bytes without a frame's header")
    _, version, zero, present, rows, length, crc = HEADER.unpack_from(value)
    if version != VERSION:
        raise WireError("unknown_version", f"frame version {version}")
    if length != len(value) - HEADER.size:
        raise WireError("bad_frame", f"{len(value) - HEADER.size} bytes of body instead of {length}")
    body = memoryview(value)[HEADER.size :]
    if crc != zlib.crc32(body, zlib.crc32(value[: HEADER.size - 4])):
        raise WireError("bad_checksum", "bytes were changed on the way")
    if zero:
        raise WireError("bad_frame", "reserved byte is not zero")
    if not rows:
        raise WireError("empty", "a frame of nothing")
    if rows > ROWS_MAX:
        raise WireError("too_large", f"{rows} events in one frame, at most {ROWS_MAX}")
    if not all(present >> bit & 1 for bit in _ALWAYS):
        raise WireError("bad_frame", "a column that is never left out is missing")
    kinds = [np.dtype(kind) if present >> bit & 1 else None for bit, (_, kind) in enumerate(COLUMNS)]
    at = rows * sum(kind.itemsize for kind in kinds if kind is not None)
    if at > length:
        raise WireError("bad_frame", f"{length} bytes of body cannot hold {rows} rows")
    columns: dict[str, Column] = {}
    start = 0
    for (name, full), kind in zip(COLUMNS, kinds, strict=True):
        columns[name] = np.frombuffer(body, kind, rows, start) if kind is not None else np.zeros(rows, full)
        start += rows * kind.itemsize if kind is not None else 0
    names, start = _names(body, start)
    blobs = _blobs(body[start:], columns["data_end"])
    if max(int(columns[name].max()) for name in ("device", "user", "room", "target")) > len(names):
        raise WireError("bad_frame", "a code beyond the dictionary")
    return Frame(rows, columns, names, blobs)


def _names(body: memoryview, start: int) -> tuple[list[bytes], int]:
    """The dictionary at ``start`` and where it ends."""
    room = len(body) - start - 4
    count = int.from_bytes(body[start : start + 4], "little")
    if room < 0 or count * 4 > room:
        raise WireError("bad_frame", f"a dictionary of {count} entries does not fit")
    lengths = np.frombuffer(body, "<u4", count, start + 4)
    start += 4 + count * 4
    if int(lengths.sum(dtype=np.uint64)) > len(body) - start:
        raise WireError("bad_frame", "the dictionary is longer than the frame")
    if count and int(lengths.max()) > NAME_BYTES_MAX:
        raise WireError("bad_frame", f"a dictionary entry of more than {NAME_BYTES_MAX} bytes")
    names = []
    for length in lengths.tolist():
        names.append(bytes(body[start : start + length]))
        start += length
    return names, start


def _blobs(rest: memoryview, ends: Column) -> list[bytes]:
    """``data`` by row; the ends must rise and lead exactly to the end of the frame."""
    if int(ends[-1]) != len(rest) or bool((ends[1:] < ends[:-1]).any()):
        raise WireError("bad_frame", "the ends of data do not fit its bytes")
    stops = ends.tolist()
    return [bytes(rest[start:stop]) for start, stop in zip([0, *stops], stops, strict=False)]


def cut(frame: Frame, at: int) -> bytes:
    """One row as a frame of its own, its bytes unchanged."""
    columns = {name: column[at : at + 1].copy() for name, column in frame.columns.items()}
    names: list[bytes] = []
    for name in ("device", "user", "room", "target"):
        code = int(columns[name][0])
        if code:
            names.append(frame.names[code - 1])
            columns[name][0] = len(names)
    return pack(Frame(1, columns, names, [frame.blobs[at]]))
