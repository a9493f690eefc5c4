"""Events <-> the columns of a frame.

Pure. Numbers are checked by the column; a row with something odd goes the careful way of a JSON event, so that it
gets the same verdict and the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
import numpy as np

from streams import diagnose
from streams import events as ev
from streams.envelope import ANGLE, BOUND, CHECKS, LIMITS, NEEDS_DATA, NEEDS_ROOM, Limits, known_id
from streams.errors import WireError
from streams.frame import COLUMNS, Column, Frame, cut, pack, unpack

HAS_SEQ: Final = 1
HAS_POSITION: Final = 2
HAS_Z: Final = 4
HAS_PHASE: Final = 8
_FLAGS_KNOWN: Final = 15

CODES: Final = MappingProxyType({
    ev.BREATH: 1, ev.SPIRAL: 2, ev.BLOOM: 3, ev.TOUCH: 4, ev.SACRED_PHRASE: 5, ev.FIELD: 6,
    ev.ENTANGLE: 7, ev.RELEASE: 8, ev.ENTER: 9, ev.LEAVE: 10, ev.OPT_OUT: 11, ev.OPT_IN: 12,
})  # fmt: skip
"""Type codes are for ever: a new type gets the next number."""
_TYPE_OF: Final = {code: kind for kind, code in CODES.items()}


class BadRow(NamedTuple):
    """A row that is no event: why, and its bytes as a frame of its own."""

    error: WireError
    raw: bytes


class _BreathRest(msgspec.Struct, omit_defaults=True):
    rate: float | None = None


class _TouchRest(msgspec.Struct, omit_defaults=True):
    pressure: float | None = None


class _EntangleRest(msgspec.Struct, omit_defaults=True):
    kind: str = "bond"
    intensity: float = 1.0


def encode_frame(events: Sequence[ev.Event]) -> bytes:
    """Valid events as one frame; raises WireError for none at all (empty) and for more than ROWS_MAX (too_large)."""
    if not events:
        raise WireError("empty", "a frame holds at least one event")
    codes: dict[str | None, int] = {None: 0}
    columns = {
        "timestamp": [one.timestamp for one in events],
        "type": [CODES[one.type] for one in events],
        "flags": [_flags(one) for one in events],
        "device": [codes.setdefault(one.device_id, len(codes)) for one in events],
        "user": [codes.setdefault(one.user_id, len(codes)) for one in events],
        "room": [codes.setdefault(one.room_id, len(codes)) for one in events],
        "target": [codes.setdefault(one.target, len(codes)) for one in events],
        "intensity": [one.intensity for one in events],
        "seq": [one.seq or 0 for one in events],
        "epoch": [one.epoch for one in events],
        "x": [0.0 if one.x is None else one.x for one in events],
        "y": [0.0 if one.y is None else one.y for one in events],
        "z": [0.0 if one.z is None else one.z for one in events],
        "phase": [one.data.phase if isinstance(one.data, ev.Breath) else 0.0 for one in events],
    }
    arrays: dict[str, Column] = {name: np.array(columns[name], kind) for name, kind in COLUMNS if name in columns}
    ids = bytes.fromhex("".join([one.id.replace("-", "") for one in events]))
    arrays["id"] = np.frombuffer(ids, "V16")
    names = [name.encode() for name in codes if name is not None]
    return pack(Frame(len(events), arrays, names, [_blob(one) for one in events]))


def decode_frame(
    value: bytes, limits: Limits = LIMITS, latest_ms: int = ev.TIMESTAMP_MS_MAX
) -> list[ev.Event | BadRow]:
    """The rows in order, each an event or why it is none; raises WireError when the frame as a whole is bad.

    ``latest_ms`` is the highest event time that is not yet "future".
    """
    frame = unpack(value)
    names = [None, *map(_name, frame.names)]
    hexes = frame.columns["id"].tobytes().hex()
    lists = [frame.columns[name].tolist() for name in _LISTED]
    out: list[ev.Event | BadRow] = []
    for at, (plain, row) in enumerate(zip(_plain_rows(frame.columns), zip(*lists, strict=True), strict=True)):
        blob = frame.blobs[at]
        part = hexes[at * 32 : at * 32 + 32]
        uuid = f"{part[:8]}-{part[8:12]}-{part[12:16]}-{part[16:20]}-{part[20:]}"
        try:
            if blob:
                _within(blob, limits)
            event = _quick(row, uuid, names, blob) if plain else None
            if event is None:
                event = diagnose.from_plain(_as_json(row, uuid, frame.names, blob))
            if event.timestamp > latest_ms:
                raise WireError("future", f"{event.timestamp} is {event.timestamp - latest_ms} ms too late")
        except WireError as error:
            out.append(BadRow(error, cut(frame, at)))
        else:
            out.append(event)
    return out


_LISTED: Final = tuple(name for name, _ in COLUMNS if name not in ("id", "data_end"))


def _plain_rows(columns: dict[str, Column]) -> list[bool]:
    """For each row whether all its numbers are in range: the same bounds as in ``envelope``, a column at a time."""
    with np.errstate(invalid="ignore"):  # a NaN compares as false, which is what is wanted here
        good = (columns["timestamp"] >= 0) & (columns["timestamp"] <= ev.TIMESTAMP_MS_MAX)
        good &= (columns["type"] >= 1) & (columns["type"] <= len(CODES)) & (columns["flags"] <= _FLAGS_KNOWN)
        good &= (columns["intensity"] <= ev.MILLION) & (columns["seq"] >= 0) & (columns["epoch"] >= 0)
        for name, bound in (("x", BOUND), ("y", BOUND), ("z", BOUND), ("phase", ANGLE)):
            good &= np.abs(columns[name]) <= bound
    return [bool(one) for one in good]


def _quick(row: tuple[Any, ...], uuid: str, names: list[str | None], blob: bytes) -> ev.Event | None:
    """The event of a row whose numbers are good; None when anything else about it needs a careful look."""
    timestamp, code, flags, device, user, room, target, intensity, seq, epoch, x, y, z, phase = row
    kind = _TYPE_OF[code]
    ids = names[device], names[user], names[room], names[target]
    if not ids[0] or "" in ids or (kind in NEEDS_ROOM and not room) or flags & (HAS_POSITION | HAS_Z) == HAS_Z:
        return None
    try:
        data, aim = CHECKS[kind](_data(kind, blob, phase if flags & HAS_PHASE else None, ids[3]))
    except (ValueError, OverflowError, RecursionError, WireError):
        return None
    placed = flags & HAS_POSITION
    return ev.Event(
        timestamp,
        uuid,
        kind,
        ids[0],
        ev.routing_key(ids[0], ids[2], aim),
        intensity,
        seq if flags & HAS_SEQ else None,
        epoch,
        x if placed else None,
        y if placed else None,
        z if flags & HAS_Z else None,
        ids[2],
        ids[1],
        aim,
        data,
    )


def _data(kind: str, blob: bytes, phase: float | None, target: str | None) -> ev.Data | None:
    """``data`` put together from its blob and the columns that were taken out of it."""
    if kind == ev.BREATH:
        if phase is None:
            raise WireError("missing_field", "data.phase")
        return ev.Breath(phase, _rest_of_breath(blob).rate) if blob else ev.Breath(phase)
    if kind == ev.TOUCH:
        return ev.Touch(_rest_of_touch(blob).pressure if blob else None, target)
    if kind in (ev.ENTANGLE, ev.RELEASE):
        if target is None:
            raise WireError("missing_field", "data.target_device")
        if kind == ev.RELEASE:
            return ev.Release(target) if not blob else _careful()
        rest = _rest_of_entangle(blob or b"{}")
        return ev.Entangle(target, rest.kind, rest.intensity)
    if blob and kind in _DECODERS:
        return _DECODERS[kind](blob)
    if kind in NEEDS_DATA:
        raise WireError("missing_field", "data")
    return None if not blob else _careful()


def _careful() -> NoReturn:
    """A blob where this type has nothing to say: whether JSON would let it pass is not for here to decide."""
    raise WireError("bad_value", "data")


_rest_of_breath: Final = msgspec.json.Decoder(_BreathRest).decode
_rest_of_touch: Final = msgspec.json.Decoder(_TouchRest).decode
_rest_of_entangle: Final = msgspec.json.Decoder(_EntangleRest).decode
_DECODERS: Final[dict[str, Callable[[bytes], ev.Data]]] = {
    kind: msgspec.json.Decoder(ev.DATA_CLASSES[kind]).decode
    for kind in (ev.SPIRAL, ev.BLOOM, ev.SACRED_PHRASE, ev.FIELD)
}


def _as_json(row: tuple[Any, ...], uuid: str, names: list[bytes], blob: bytes) -> dict[str, Any]:
    """A row as the JSON object that would say the same, for ``diagnose``."""
    timestamp, code, flags, device, user, room, target, intensity, seq, epoch, x, y, z, phase = row
    if flags > _FLAGS_KNOWN:
        raise WireError("bad_frame", f"unknown flags {flags}")

    def text(at: int) -> str | None:
        return names[at - 1].decode("utf-8", "surrogateescape") if at else None

    data = diagnose.parse(blob) if blob else {}
    if isinstance(data, dict):
        data = {**data, "phase": phase} if code == CODES[ev.BREATH] else data
        data = {**data, "target_device": text(target)} if code in _TARGETED else data
        if code == CODES[ev.BREATH] and not flags & HAS_PHASE:
            del data["phase"]
    position = {"x": x, "y": y} if flags & HAS_POSITION else {}
    position |= {"z": z} if flags & HAS_Z else {}
    return {
        "id": uuid,
        "type": _TYPE_OF.get(code, f"code {code}"),
        "device_id": text(device),
        "user_id": text(user),
        "room_id": text(room),
        "timestamp": timestamp,
        "seq": seq if flags & HAS_SEQ else None,
        "epoch": epoch,
        "intensity": intensity / ev.MILLION,
        "position": position or None,
        "data": data,
        "v": 1,
    }


_TARGETED: Final = frozenset((CODES[ev.TOUCH], CODES[ev.ENTANGLE], CODES[ev.RELEASE]))


def _within(blob: bytes, limits: Limits) -> None:
    """Bounds of one JSON event, applied to what is text in a row; ``data`` itself is the second level of an event."""
    if len(blob) > limits.event_bytes_max:
        raise WireError("too_large", f"{len(blob)} bytes of data, at most {limits.event_bytes_max}")
    diagnose.check_utf8(blob)
    if diagnose.deeper_than(blob, limits.depth_max - 1):
        raise WireError("too_deep", f"nested deeper than {limits.depth_max}")


def _name(raw: bytes) -> str:
    """A dictionary entry that is an id, or "" for one that is not."""
    try:
        return known_id(raw.decode("ascii"))
    except (UnicodeDecodeError, WireError):
        return ""


def _flags(event: ev.Event) -> int:
    return (
        (HAS_SEQ if event.seq is not None else 0)
        | (HAS_POSITION if event.x is not None else 0)
        | (HAS_Z if event.z is not None else 0)
        | (HAS_PHASE if event.type == ev.BREATH else 0)
    )


def _blob(event: ev.Event) -> bytes:
    """``data`` as JSON without what has columns; nothing when that is all."""
    data = event.data
    rest: msgspec.Struct = data
    if isinstance(data, ev.Breath):
        if data.rate is None:
            return b""
        rest = _BreathRest(data.rate)
    elif isinstance(data, ev.Touch):
        rest = _TouchRest(data.pressure)
    elif isinstance(data, ev.Entangle):
        rest = _EntangleRest(data.kind, data.intensity)
    elif isinstance(data, ev.Release):
        return b""
    raw = msgspec.json.encode(rest)
    return b"" if raw == b"{}" else raw
