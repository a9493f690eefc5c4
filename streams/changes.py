"""What a fold says has changed: the values of ``field.changes``, and the readings that projections use.

Pure. Values are absolute and carry a position; a reader ignores a position lower than the one that it has.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streams.fold.merge import FieldReading, merge
from streams.fold.shard import record_position
from streams.fold.view import ShardView, load_view

__all__ = [
    "Changes", "FieldReading", "Marker", "PairRow", "SessionRow", "ShardView",
    "decode", "encode", "load_view", "merge", "parts", "record_position",
]  # fmt: skip


class SessionRow(msgspec.Struct, frozen=True):
    """A session of a room. ``final``: no accepted event can change it any more.

    Times in ms; ``participants``: (device, joined, seated) of those present at the last event; ``coherence`` and
    ``resonance`` are read at the key's watermark, and are None for a session that is over.
    """

    room_id: str
    opened: int
    last: int
    final: bool
    present: int
    seated: int
    devices: int
    blooms: int
    phrases: int
    participants: list[tuple[str, int, bool]]
    coherence: float | None = None
    resonance: float | None = None


class PairRow(msgspec.Struct, frozen=True):
    """An entanglement in one routing key; ``established`` and ``last`` (echo) in seconds, intensity in millionths."""

    routing_key: str
    low: str
    high: str
    established: int | None
    explicit: bool
    kind: str | None = None
    intensity: int | None = None
    last: int | None = None


class Changes(msgspec.Struct, frozen=True, tag="changes", tag_field="record"):
    """Rows of one shard that changed since its last record.

    ``full``: these are all current rows of the shard; its other pairs and its other sessions that are not final
    are to be deleted. ``more``: the rows go on in the shard's next record, of the same position; what is not in a
    full picture is known when its last part, with ``more`` false, has come.
    """

    partition: int
    shard: int
    position: int
    writer: str
    generation: int
    fold_version: str
    full: bool
    sessions: list[SessionRow]
    pairs: list[PairRow]
    removed_sessions: list[tuple[str, int]]
    removed_pairs: list[tuple[str, str, str]]
    more: bool = False


class Marker(msgspec.Struct, frozen=True, tag="marker", tag_field="record"):
    """All up to input offset ``position`` of this partition is in the changes before this one."""

    partition: int
    position: int
    writer: str
    generation: int
    watermark: int
    accepted: int
    duplicate: int
    late: int


PART_ROWS_MAX: Final = 10_000
"""Rows in one record, somebody in a room counted as one: with the longest ids some half of the largest record."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Changes | Marker] = msgspec.json.Decoder(Changes | Marker)


def parts(change: Changes, rows_max: int = PART_ROWS_MAX) -> list[Changes]:
    """The same change in records of at most ``rows_max`` rows; a session stays whole, however many are in it."""
    rows: list[tuple[str, Any, int]] = [("sessions", row, 1 + len(row.participants)) for row in change.sessions]
    for name in ("pairs", "removed_sessions", "removed_pairs"):
        rows += [(name, row, 1) for row in getattr(change, name)]
    if sum(size for _, _, size in rows) <= rows_max:
        return [change]
    found: list[dict[str, Any]] = []
    room = 0
    for name, row, size in rows:
        if size > room or not found:
            found.append({"sessions": [], "pairs": [], "removed_sessions": [], "removed_pairs": []})
            room = rows_max
        found[-1][name].append(row)
        room -= size
    last = len(found) - 1
    return [msgspec.structs.replace(change, **part, more=number < last) for number, part in enumerate(found)]


def encode(record: Changes | Marker) -> bytes:
    """The value of a ``field.changes`` record (JSON)."""
    return _encoder.encode(record)


def decode(value: bytes) -> Changes | Marker:
    """The record of a value; raises msgspec.ValidationError."""
    return _decoder.decode(value)
