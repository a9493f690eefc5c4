"""Events -> bytes, and frames back: the forms that a record's value may have.

Pure. ``validate.read_record`` reads all of them; it is the only way in for bytes that somebody else wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streams import events as ev
from streams.columns import BadRow, decode_frame, encode_frame
from streams.errors import WireError

__all__ = ["BadRow", "decode_frame", "encode_batch", "encode_event", "encode_frame", "to_plain"]

_encode = msgspec.json.Encoder().encode


def to_plain(event: ev.Event) -> dict[str, Any]:
    """The JSON envelope, version 1, as plain objects; what is absent or a default is left out."""
    plain: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "device_id": event.device_id,
        "timestamp": event.timestamp,
    }
    if event.user_id is not None:
        plain["user_id"] = event.user_id
    if event.room_id is not None:
        plain["room_id"] = event.room_id
    if event.seq is not None:
        plain["seq"] = event.seq
    if event.epoch:
        plain["epoch"] = event.epoch
    if event.intensity or event.type in ev.WEIGHED:
        plain["intensity"] = event.intensity / ev.MILLION
    if event.x is not None:
        plain["position"] = {"x": event.x, "y": event.y} | ({} if event.z is None else {"z": event.z})
    if event.type in ev.DATA_CLASSES and (data := msgspec.to_builtins(event.data)):
        plain["data"] = data
    plain["v"] = 1
    return plain


def encode_event(event: ev.Event) -> bytes:
    """One JSON object; ``read_record`` gives the equal event back."""
    return _encode(to_plain(event))


def encode_batch(events: Sequence[ev.Event]) -> bytes:
    """A JSON array; raises WireError (empty) for none at all."""
    if not events:
        raise WireError("empty", "a batch holds at least one event")
    return _encode([to_plain(event) for event in events])
