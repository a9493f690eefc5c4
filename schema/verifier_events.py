"""The verifier's half that reads bytes: record -> events, by schema/digest.md, README.md and frame.md alone.

Validity is a table (``ENVELOPE``, ``DATA``); why something is none matters to people, not to the digests.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

LIMITS = {"skew_ms_max": 60_000, "event_bytes_max": 65_536, "depth_max": 16}
RECORD_EVENTS_MAX = 10_000
RESONATE = ("BREATH", "TOUCH", "SPIRAL", "BLOOM", "SACRED_PHRASE")
# fmt: off
COLUMNS = ("q", "16s", "B", "B", "I", "I", "I", "I", "I", "q", "q", "d", "d", "d", "d", "I")
"""Of a frame, by the bits of its header, in the letters of ``struct``."""
# fmt: on
Check = Callable[[Any], Any]
Spec = dict[str, tuple[Check, bool]]
TOKEN = re.compile(rb'"(?:\\.|[^"\\]+)*+"?|[][{},]', re.DOTALL)


class Bad(Exception):
    """These bytes are no event."""


class Event(NamedTuple):
    """A valid event. The first five are its place in the order of its key; ``seq`` is -1 when there is none."""

    timestamp: int
    id: str
    device: str
    epoch: int
    seq: int
    kind: str
    key: str
    room: str | None
    target: str | None
    millionths: int
    spot: tuple[float, float, float | None] | None
    data: dict[str, Any]


# ---- JSON to events


def need(good: object, why: str) -> None:
    if not good:
        raise Bad(why)


def number(low: float, high: float, kind: Any = float) -> Check:
    def check(value: Any) -> Any:
        need(type(value) in (int, float) and low <= value <= high, "no number, or out of range")  # true is none
        need(kind is float or value == int(value), "no whole number")
        return kind(value)

    return check


def text(pattern: str) -> Check:
    def check(value: Any) -> Any:
        need(type(value) is str and match(value), f"not {pattern}")
        return value

    match = re.compile(pattern).fullmatch
    return check


def spec(**checks: Check) -> Spec:
    """What each field must be; those whose names end in _ are required."""
    return {name.rstrip("_"): (check, name.endswith("_")) for name, check in checks.items()}


def take(plain: Any, fields: Spec) -> dict[str, Any]:
    """The fields that are there, checked: null is absent, what is unknown is left out."""
    need(type(plain) is dict, "no object")
    found = {}
    for name, (check, required) in fields.items():
        if (value := plain.get(name)) is not None:
            found[name] = check(value)
        else:
            need(not required, "a field is missing")
    return found


def moment(value: Any) -> int:
    """Milliseconds since 1970, cut."""
    if type(value) is not str:
        return int(STAMP(value))
    found = RFC3339.fullmatch(value)
    if found is None:
        raise Bad("not RFC 3339")
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - 719_163  # since 1970
    except ValueError as error:
        raise Bad(str(error)) from None
    away = (int(hours or 0) * 60 + int(minutes or 0)) * (-1 if sign == "+" else 1)
    need(days > 0 or (days == 0 and away >= 0), "before 1970")
    need(not (value.startswith("9999-12-31") and sign == "-"), "after 9999")
    whole = (((days * 24 + int(hour)) * 60) + int(minute) + away) * 60 + int(second)
    return whole * 1000 + int((fraction or "")[:3].ljust(3, "0"))


def harmonics(value: Any) -> list[Any]:
    need(type(value) is list and len(value) <= 64, "no array of at most 64")
    return [take(one, HARMONIC) for one in value]


RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,64}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
ID, UUID = text("[A-Za-z0-9_.:-]{1,64}"), text("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
FAR, ANGLE, SIZE, SHARE = number(-1e9, 1e9), number(-1e6, 1e6), number(0, 1e6), number(0, 1)
STAMP, COUNT, SIGN = number(0, 253_402_300_799_999), number(0, 2**63 - 1, int), number(-1, 1, int)
HARMONIC = spec(x_=FAR, y_=FAR, frequency_=FAR, amplitude_=FAR, phase_=FAR)
POSITION = spec(x_=FAR, y_=FAR, z=FAR)
ENVELOPE = spec(
    id_=UUID, device_id_=ID, timestamp_=moment, user_id=ID, room_id=ID, seq=COUNT, epoch=COUNT, intensity=SHARE,
    position=lambda value: take(value, POSITION),
)  # fmt: skip
DATA = {
    "BREATH": spec(phase_=ANGLE, rate=number(0, 1000)),
    "SPIRAL": spec(angle=ANGLE, radius=SIZE, turns=ANGLE, direction=lambda v: (ID if type(v) is str else SIGN)(v)),
    "BLOOM": spec(radius=SIZE, petals=number(0, 10_000, int)),
    "TOUCH": spec(pressure=SIZE, target_device=ID),
    "SACRED_PHRASE": spec(phrase_=text("[0-9a-f]{16,128}"), language=text("[A-Za-z0-9-]{2,35}")),
    "FIELD": spec(harmonics=harmonics, phase=ANGLE, resonance=SHARE),
    "ENTANGLE": spec(target_device_=ID, kind=ID, intensity=SHARE),
    "RELEASE": spec(target_device_=ID),
    "ENTER": {}, "LEAVE": {}, "OPT_OUT": {}, "OPT_IN": {},
}  # fmt: skip
KINDS = [None, *DATA]  # by the code of a frame


def build(plain: Any, latest: int) -> Event:
    """The event of a JSON object, at most at ``latest`` (ms); raises Bad."""
    kind: Any = plain.get("type") if type(plain) is dict else None
    need(type(kind) is str and kind in DATA, "no object of a known type")
    data = {} if plain.get("data") is None else plain["data"]
    if kind == "BREATH" and "v" not in plain and type(data) is dict and data.get("phase") is not None:
        data = data | {"phase": math.radians(ANGLE(data["phase"]))}  # version 0 has degrees
    else:
        need(type(plain.get("v")) is not bool and plain.get("v") == 1, "no known version")
    own, data = take(plain, ENVELOPE), take(data, DATA[kind])
    timestamp, device, room, target = own["timestamp"], own["device_id"], own.get("room_id"), data.get("target_device")
    need(kind not in RESONATE or "intensity" in own, "intensity is missing")
    need(kind not in ("ENTER", "LEAVE") or room is not None, "room_id is missing")
    need(timestamp <= latest, "of the future")
    place = own.get("position")
    return Event(
        timestamp, own["id"].lower(), device, own.get("epoch", 0), own.get("seq", -1), kind,
        room or min(device, target or device), room, target, round(own.get("intensity", 0.0) * 1_000_000),
        place and (place["x"], place["y"], place.get("z")), data,
    )  # fmt: skip


# ---- bytes to JSON: objects, arrays, frames


def refuse(constant: str) -> Any:
    raise Bad(f"{constant} is not JSON")


DECODER = json.JSONDecoder(parse_constant=refuse, parse_int=lambda d: int(d) if len(d) < 400 else float("inf"))


def parse(piece: bytes, levels: int) -> Any:
    """JSON within the limits of one event; raises Bad."""
    need(len(piece) <= LIMITS["event_bytes_max"], "too large")
    try:
        plain = DECODER.decode(piece.decode())
    except (ValueError, RecursionError) as error:
        raise Bad(str(error)) from None
    if piece.count(b"{") + piece.count(b"[") > levels:
        level = 0
        for token in TOKEN.findall(piece):
            level += (token in (b"{", b"[")) - (token in (b"}", b"]"))
            need(level <= levels, "too deep")
    return plain


def elements(array: bytes) -> list[bytes]:
    """The elements of an array by brackets, commas and quotes alone, so that a bad one costs only itself."""
    found, closers, start, end = [], b"", 0, -1
    for token in TOKEN.finditer(array):
        if token[0] in (b"[", b"{"):
            start = start or token.end()
            closers += b"]" if token[0] == b"[" else b"}"
        elif token[0] in (b"]", b"}"):
            need(closers[-1:] == token[0], "brackets do not match")
            closers = closers[:-1]
            if not closers:
                end = token.start()
                break
        elif token[0] == b"," and len(closers) == 1:
            found.append(array[start : token.start()].strip(b" \t\r\n"))
            start = token.end()
    need(end >= 0 and not array[end + 1 :].strip(b" \t\r\n"), "the array does not end where the record does")
    last = array[start:end].strip(b" \t\r\n")
    found += [last] if found or last else []
    need(0 < len(found) <= RECORD_EVENTS_MAX, "no events, or too many")
    return found


def frame_rows(frame: bytes) -> list[Any]:
    """The rows of a frame as JSON objects, None in place of what is none; raises Bad or struct.error."""
    magic, version, zero, present, count, length, crc = struct.unpack_from("<4sBBHIII", frame)
    need((magic, version, zero, length) == (b"\xf1FLD", 1, 0, len(frame) - 20), "no frame of version 1")
    need(crc == zlib.crc32(frame[20:], zlib.crc32(frame[:16])) and 0 < count <= RECORD_EVENTS_MAX, "checksum or rows")
    at, columns = 20, []
    for bit, letter in enumerate(COLUMNS):
        there = present >> bit & 1
        need(there or bit not in (0, 1, 2, 4), "a column is missing")
        columns.append(struct.unpack_from("<" + letter * count, frame, at) if there else (0,) * count)
        at += there * count * struct.calcsize("<" + letter)
    (entries,) = struct.unpack_from("<I", frame, at)
    lengths = struct.unpack_from(f"<{entries}I", frame, at + 4)
    at += 4 + 4 * entries
    names: list[str | None] = [None]
    for size in lengths:
        names.append(frame[at : at + size].decode("latin-1"))
        at += size
    ends = columns[-1]
    need(at + ends[-1] == len(frame) and list(ends) == sorted(ends), "the ends of data do not fit")
    need(max(lengths, default=0) <= 256 and max(map(max, columns[4:8])) < len(names), "the dictionary does not fit")
    blobs = [frame[at + start : at + end] for start, end in zip((0, *ends), ends, strict=False)]
    return [frame_row(names, *row) for row in zip(blobs, *columns[:-1], strict=True)]


def frame_row(names: list[str | None], blob: bytes, *row: Any) -> Any:
    timestamp, uuid, code, flags, device, user, room, target, millionths, seq, epoch, x, y, z, phase = row
    try:
        data = parse(blob, LIMITS["depth_max"] - 1) if blob else {}
        need(flags <= 15 and 0 < code < len(KINDS), "unknown flags or type")
    except Bad:
        return None
    if type(data) is dict:
        data |= {"phase": phase if flags & 8 else None} if KINDS[code] == "BREATH" else {}
        data |= {"target_device": names[target]} if KINDS[code] in ("TOUCH", "ENTANGLE", "RELEASE") else {}
    return {
        "id": re.sub("(.{8})(.{4})(.{4})(.{4})", r"\1-\2-\3-\4-", uuid.hex()), "type": KINDS[code], "v": 1,
        "data": data, "device_id": names[device], "user_id": names[user], "room_id": names[room],
        "timestamp": timestamp, "seq": seq if flags & 1 else None, "epoch": epoch, "intensity": millionths / 1_000_000,
        "position": ({"x": x, "y": y} if flags & 2 else {}) | ({"z": z} if flags & 4 else {}) or None,
    }  # fmt: skip


def read(value: bytes | None, received: int, content_type: bytes | None) -> list[Event | None]:
    """The events of a record by index, None in place of what is rejected."""
    value = value or b""
    first = value.lstrip(b" \t\r\n")[:1]
    try:
        need(first in (b"{", b"[", b"\xf1"), "neither an object nor an array nor a frame")
        if content_type is not None:
            form = b"application/vnd.field.frame" if first == b"\xf1" else b"application/json"
            need(content_type.split(b";")[0].strip().lower() == form, "content type")
        items = [value] if first == b"{" else elements(value) if first == b"[" else frame_rows(value)
    except (Bad, struct.error):
        return [None]
    found: list[Event | None] = []
    for item in items:
        try:
            plain = parse(item, LIMITS["depth_max"]) if isinstance(item, bytes) else item
            found.append(build(plain, received + LIMITS["skew_ms_max"]))
        except Bad:
            found.append(None)
    return found


@lru_cache(maxsize=1 << 17)
def home(key: str, partitions: int) -> int:
    """Kafka's default partition of a key: murmur2."""
    data = key.encode()
    h = 0x9747B28C ^ len(data)
    for at in range(0, len(data) - 3, 4):
        k = int.from_bytes(data[at : at + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        h = h * 0x5BD1E995 & 0xFFFFFFFF ^ (k ^ k >> 24) * 0x5BD1E995 & 0xFFFFFFFF
    if rest := data[len(data) & ~3 :]:
        h = (h ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions
