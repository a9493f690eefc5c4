"""The compiled reader as tests call it, and what it must equal."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streams.envelope import LIMITS, Limits
from streams.events import Event
from streams.validate import Rejection, read_record

_DONE, _REFUSED = 0, 1


class Refused(Exception):
    """Bytes that the library does not read; the text says why."""


class _Owned(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Asked(ctypes.Structure):
    _fields_ = (
        ("latest_ms", ctypes.c_int64),
        ("event_bytes_max", ctypes.c_uint64),
        ("depth_max", ctypes.c_uint32),
        ("has_content_type", ctypes.c_uint32),
        ("content_type", ctypes.c_char_p),
        ("content_type_length", ctypes.c_size_t),
    )


class Compared(NamedTuple):
    """What both say of a record: events that both read, and how many Python alone reads or refuses."""

    events: int
    python_events: int
    refused: int


class Native:
    """The functions of the library; bytes in, bytes or plain values out."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.field_free.argtypes = (_Owned,)
        self._library.field_free.restype = None

    def read(self, value: bytes, received_ms: int, limits: Limits = LIMITS, content_type: bytes | None = None) -> Any:
        """The items of a record: the bytes of an event, or ``bytes`` in a ``Piece`` for Python; None for the whole."""
        given = content_type is not None
        asked = _Asked(
            received_ms + limits.skew_ms_max, limits.event_bytes_max, limits.depth_max, given,
            content_type or b"", len(content_type or b""),
        )  # fmt: skip
        try:
            return msgspec.msgpack.decode(self._call("read", value, ctypes.byref(asked)), type=list[msgspec.Raw])
        except Refused:
            return None

    def event(self, raw: bytes) -> tuple[bytes, float]:
        """An event's positional form, read and written again; and its phase."""
        out = self._call("event", raw)
        return out[:-9], msgspec.msgpack.decode(out[-9:])

    def hashes(self, raw: bytes) -> list[int]:
        """CRC-32, CRC-32C, murmur2."""
        return msgspec.msgpack.decode(self._call("hashes", raw))

    def batch(self, raw: bytes, records: int) -> list[Any]:
        """The records of a Kafka batch: offset, timestamp, key, value, headers."""
        out = self._call("batch", raw)
        return msgspec.msgpack.decode(b"\xdd" + records.to_bytes(4, "big") + out)

    def _call(self, name: str, value: bytes, *more: Any) -> bytes:
        out = _Owned()
        function = getattr(self._library, f"field_{name}")
        code = function(value, ctypes.c_size_t(len(value)), *more, ctypes.byref(out))
        raw = ctypes.string_at(out.bytes, out.length)
        self._library.field_free(out)
        if code == _REFUSED:
            raise Refused(raw.decode())
        assert code == _DONE, f"{raw.decode()} at {value!r}"
        return raw


def compare(
    native: Native, value: bytes, received_ms: int, limits: Limits = LIMITS, content_type: bytes | None = None
) -> Compared:
    """Reads a record both ways: the compiled reader never accepts more, and gives the same events to the bit."""
    wanted = read_record(value, received_ms, limits, content_type)
    found = native.read(value, received_ms, limits, content_type)
    good = sum(isinstance(item, Event) for item in wanted)
    if found is None:
        return Compared(0, good, len(wanted) - good)
    assert len(found) == len(wanted), value
    is_frame = value.startswith(b"\xf1")
    same = 0
    for raw, item in zip(found, wanted, strict=True):
        if bytes(raw)[0] in (0xC4, 0xC5, 0xC6):
            piece = msgspec.msgpack.decode(raw)
            assert is_frame or not isinstance(item, Rejection) or piece == item.raw, value
            continue
        assert isinstance(item, Event), (value, item, msgspec.msgpack.decode(raw))
        assert bytes(raw) == msgspec.msgpack.encode(item), (value, item, msgspec.msgpack.decode(raw))
        assert native.event(bytes(raw)) == (
            bytes(raw),
            getattr(item.data, "phase", 0.0) if item.type == "BREATH" else 0,
        )
        same += 1
    return Compared(same, good, len(wanted) - good)
