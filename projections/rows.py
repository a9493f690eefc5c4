"""Events, sessions and pairs as rows. Pure.

A raw row is what one event is in a binary COPY into ``raw_staging``: a number of columns, and each column after its
length, in PostgreSQL's own form (uuid: 16 bytes; timestamptz: microseconds since 2000; geometry: EWKB; jsonb: a version
byte and the text). ``streams/native/src/copy.rs`` makes the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from streams.changes import Changes, PairRow, SessionRow
from streams.events import FIELD, MILLION, WEIGHED, Event, Quantum

TARGET: Final = 11
"""Place of the column in which the table has something else: whether the row is collective."""

_POSTGRES_EPOCH_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00Z
_SRID: Final = 4326
_EWKB_POINT: Final = 0x20000001  # a point that carries its SRID
_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TAIL: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_point = struct.Struct("<BIIdd").pack
_double = struct.Struct(">d").pack
_int4 = struct.Struct(">i").pack
_int8 = struct.Struct(">q").pack
_count = struct.Struct(">h").pack
_json = msgspec.json.Encoder()


def raw_columns(
    event: Event, weights: Mapping[str, int], *, received: int, partition: int, offset: int, index: int
) -> list[bytes | None]:
    """Columns of an event that was read at this place of the log; ``received`` in epoch ms."""
    own = resonance(event, weights)
    return [
        bytes.fromhex(event.id.replace("-", "")),
        event.key.encode(),
        event.device_id.encode(),
        _text(event.user_id),
        _text(event.room_id),
        event.type.encode(),
        b"\x01" + _json.encode(data_of(event)),
        None if event.x is None else _point(1, _EWKB_POINT, _SRID, event.x, event.y),
        None if event.z is None else _double(event.z),
        _double(event.intensity / MILLION),
        None if own is None else _double(own),
        _text(event.target),
        _int8(_microseconds(event.timestamp)),
        _int8(_microseconds(received)),
        _int4(partition),
        _int8(offset),
        _int4(index),
    ]


def copy_row(columns: Sequence[bytes | None]) -> bytes:
    """A row of a binary COPY."""
    parts = [_count(len(columns))]
    for column in columns:
        parts += (_NULL,) if column is None else (_int4(len(column)), column)
    return b"".join(parts)


def copy_file(rows: Iterable[bytes]) -> bytes:
    """All of a binary COPY; what stands for a row may be several of them."""
    return b"".join((_COPY_HEAD, *rows, _COPY_TAIL))


def resonance(event: Event, weights: Mapping[str, int]) -> float | None:
    """Intensity x weight; a FIELD has its own; None for what does not resonate."""
    if event.type in WEIGHED:
        return event.intensity * weights[event.type] / MILLION
    if event.type == FIELD and isinstance(event.data, Quantum):
        return event.data.resonance
    return None


def data_of(event: Event) -> dict[str, Any]:
    """``data`` as the column has it: defaults written out (it is read without our classes), absent fields left out."""
    data = event.data
    found = {name: value for name in data.__struct_fields__ if (value := getattr(data, name)) is not None}
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _microseconds(ms: int) -> int:
    return (ms - _POSTGRES_EPOCH_MS) * 1000


class Statements(msgspec.Struct):
    """Parameters of the state statements, each a list of plain rows; sweeps come after the upserts."""

    sessions_upsert: list[dict[str, Any]]
    pairs_upsert: list[dict[str, Any]]
    sessions_remove: list[dict[str, Any]]
    pairs_remove: list[dict[str, Any]]
    sessions_sweep: list[dict[str, Any]]
    pairs_sweep: list[dict[str, Any]]
    shards_store: list[dict[str, Any]]


def state_rows(changes: Iterable[Changes], stored: Mapping[int, tuple[int, int]]) -> Statements:
    """Changes of one partition, in log order, as the rows that they leave behind.

    ``stored``: (position, writer's generation) by shard that the database has. Changes with a lower position are
    ignored, and those of a lower generation that are not full: a late writer wins nothing, and nobody after it would
    take its rows back. Of several changes of one row the last counts.
    """
    positions: dict[int, Changes] = {}
    full: dict[int, Changes] = {}
    sessions: dict[tuple[str, int], dict[str, Any]] = {}
    pairs: dict[tuple[str, str, str], dict[str, Any]] = {}
    for change in changes:
        before = positions.get(change.shard)
        known = stored.get(change.shard, (-1, -1)) if before is None else (before.position, before.generation)
        if change.position < known[0] or (change.generation < known[1] and not change.full):
            continue
        positions[change.shard] = change
        if change.full:
            _drop_before(sessions, change)
            _drop_before(pairs, change)
            if not change.more:  # only now it is known what is not in the picture
                full[change.shard] = change
        place = {"partition": change.partition, "shard": change.shard, "position": change.position}
        for room, opened in change.removed_sessions:
            sessions[room, opened] = {"room_id": room, "opened": opened, "gone": True, **place}
        for key, low, high in change.removed_pairs:
            pairs[key, low, high] = {"routing_key": key, "low": low, "high": high, "gone": True, **place}
        for session in change.sessions:
            sessions[session.room_id, session.opened] = _session(session) | place
        for pair in change.pairs:
            pairs[pair.routing_key, pair.low, pair.high] = _pair(pair) | place
    sweeps = [{"partition": c.partition, "shard": c.shard, "position": c.position} for c in full.values()]
    return Statements(
        sessions_upsert=[row for row in sessions.values() if "gone" not in row],
        pairs_upsert=[row for row in pairs.values() if "gone" not in row],
        sessions_remove=[row for row in sessions.values() if "gone" in row],
        pairs_remove=[row for row in pairs.values() if "gone" in row],
        sessions_sweep=sweeps,
        pairs_sweep=sweeps,
        shards_store=[
            {"partition": c.partition, "shard": c.shard, "position": c.position, "writer": c.writer}
            for c in positions.values()
        ],
    )


def _drop_before(rows: dict[Any, dict[str, Any]], full: Changes) -> None:
    """Before a full picture: what earlier changes wanted to write is in it, or is not to be; final sessions stay.

    Rows of the same position stay too: they are of the parts before this one, or say the same.
    """
    for key, row in list(rows.items()):
        old = row["shard"] == full.shard and row["position"] < full.position
        if old and not row.get("final") and "gone" not in row:
            del rows[key]


def _session(row: SessionRow) -> dict[str, Any]:
    return msgspec.structs.asdict(row)


def _pair(row: PairRow) -> dict[str, Any]:
    return msgspec.structs.asdict(row)
