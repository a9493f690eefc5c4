"""Bytes of a record -> events and rejections, in the order of the record.

Pure: the only clock is ``received_ms``, an argument. Whatever the bytes, nothing but ``Event`` and ``Rejection``
comes out: bad input is named and kept, it never stops a fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from streams import diagnose, envelope
from streams.columns import decode_frame
from streams.envelope import LIMITS, Limits
from streams.errors import WireError
from streams.events import Event
from streams.frame import FIRST_BYTE

__all__ = [
    "CONTENT_FRAME",
    "CONTENT_JSON",
    "CONTENT_NOTHING",
    "LIMITS",
    "REASONS",
    "RECORD_EVENTS_MAX",
    "Limits",
    "Rejection",
    "elements",
    "read_element",
    "read_record",
    "received_at",
]

REASONS: Final = (
    "empty",  # no value, no bytes, or a batch of nothing
    "content_type",  # the header is unknown, or says something else than the bytes
    "not_utf8",
    "malformed_json",
    "not_an_object",  # JSON, but not an event
    "bad_frame",  # lengths, codes or reserved bits of a frame that cannot be
    "bad_checksum",
    "too_large",
    "too_deep",
    "unknown_type",
    "unknown_version",
    "missing_field",
    "bad_id",
    "bad_timestamp",
    "not_finite",
    "bad_value",
    "future",  # event time too far after the time of receiving
)

CONTENT_JSON: Final = b"application/json"
CONTENT_FRAME: Final = b"application/vnd.field.frame"
CONTENT_NOTHING: Final = b"application/vnd.field.nothing"
"""Of a record without bytes that is not missing any: a restored log has it where an archive has a place only."""
RECORD_EVENTS_MAX: Final = 10_000
"""More elements in one array are no batch: two bytes each would make a rejection each."""

DETAIL_MAX: Final = 200
RECEIVED_DIGITS_MAX: Final = 15
"""Digits of the milliseconds until the year 9999; a longer header is none."""
_SPACE: Final = b" \t\r\n"
_SPACES: Final = (b" ", b"\t", b"\r", b"\n")
_pieces: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Rejection(msgspec.Struct, frozen=True):
    """Why bytes are no event: ``reason`` is one of REASONS, ``detail`` is for people (ASCII, at most 200).

    ``index`` is the place within the record, ``raw`` the bytes of this event alone (of the whole record when its
    parts cannot be told apart).
    """

    index: int
    reason: str
    detail: str
    raw: bytes


def read_record(
    value: bytes | None, received_ms: int, limits: Limits = LIMITS, content_type: bytes | None = None
) -> list[Event | Rejection]:
    """What is in a record's value: at least one item, by index, unless it is said to hold nothing; never raises.

    ``received_ms`` epoch milliseconds; ``content_type`` the header of that name, if there was one.
    """
    if content_type == CONTENT_NOTHING and not value:
        return []
    latest_ms = received_ms + limits.skew_ms_max
    try:
        if value is None:
            raise WireError("empty", "no value")
        form = _form(value, content_type)
        if form == b"{":
            return [_one(value, 0, latest_ms, limits)]
        if form == b"[":
            found = elements(value)
            return [_one(piece, index, latest_ms, limits) for index, piece in enumerate(found)]
        rows = decode_frame(value, limits, latest_ms)
    except WireError as error:
        return [_reject(0, error, value or b"")]
    return [row if isinstance(row, Event) else _reject(i, row.error, row.raw) for i, row in enumerate(rows)]


def read_element(piece: bytes, index: int, received_ms: int, limits: Limits = LIMITS) -> Event | Rejection:
    """What ``read_record`` says of one element of an array, or of an object alone."""
    return _one(piece, index, received_ms + limits.skew_ms_max, limits)


def received_at(header: bytes | None, appended_ms: int) -> int:
    """When an event was received (epoch ms): the ``received`` header of a copy, else the broker's append time.

    Nobody receives after the log: a later header is none, so it cannot let events of the future in.
    """
    if header is not None and header.isdigit() and len(header) <= RECEIVED_DIGITS_MAX:
        return min(int(header), appended_ms)
    return appended_ms


def _form(value: bytes, content_type: bytes | None) -> bytes:
    """The first byte that counts, one of ``{ [ 0xF1``; raises WireError."""
    first = value[:1]
    if first != b"{":
        first = value.lstrip(_SPACE)[:1] if first in _SPACES else first
        if not first:
            raise WireError("empty", "no bytes")
    if content_type is not None:
        _check_content_type(content_type, first == FIRST_BYTE)
    if first in (b"{", b"[") or first == FIRST_BYTE == value[:1]:
        return first
    diagnose.check_utf8(value)
    raise WireError("malformed_json", f"neither an object nor an array nor a frame: {value[:20]!r}")


def _check_content_type(content_type: bytes, is_frame: bool) -> None:
    name = content_type.split(b";")[0].strip().lower()
    if name not in (CONTENT_JSON, CONTENT_FRAME):
        raise WireError("content_type", f"unknown: {content_type[:80]!r}")
    if (name == CONTENT_FRAME) != is_frame:
        raise WireError("content_type", f"{name.decode()}, but the bytes are something else")


def elements(array: bytes) -> list[bytes]:
    """The raw elements of an array: by msgspec where all of it is JSON, by brackets and commas where it is not.

    Raises WireError: empty, too_large, and malformed_json when its brackets do not match.
    """
    found: Sequence[bytes | msgspec.Raw]
    try:
        found = _pieces(array)
    except (ValueError, RecursionError):
        found = diagnose.pieces(array, RECORD_EVENTS_MAX)
    if not found:
        raise WireError("empty", "an array of nothing")
    if len(found) > RECORD_EVENTS_MAX:
        raise WireError("too_large", f"more than {RECORD_EVENTS_MAX} events in one record")
    return [bytes(piece) for piece in found]


def _one(piece: bytes, index: int, latest_ms: int, limits: Limits) -> Event | Rejection:
    try:
        event = _event(piece, limits)
        if event.timestamp > latest_ms:
            raise WireError("future", f"{event.timestamp} is {event.timestamp - latest_ms} ms beyond what is allowed")
    except WireError as error:
        return _reject(index, error, piece)
    return event


def _event(piece: bytes, limits: Limits) -> Event:
    if len(piece) > limits.event_bytes_max:
        raise WireError("too_large", f"{len(piece)} bytes, at most {limits.event_bytes_max}")
    diagnose.check_utf8(piece)  # msgspec does not look into strings that it skips
    if diagnose.deeper_than(piece, limits.depth_max):
        raise WireError("too_deep", f"nested deeper than {limits.depth_max}")
    try:
        return envelope.build(envelope.decode(piece))
    except (ValueError, OverflowError, RecursionError, WireError):
        return diagnose.read(piece)


def _reject(index: int, error: WireError, raw: bytes) -> Rejection:
    detail = error.detail[:DETAIL_MAX].encode("ascii", "backslashreplace").decode()
    return Rejection(index, error.reason, detail[:DETAIL_MAX], raw)
