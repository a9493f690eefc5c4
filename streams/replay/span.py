"""Which part of the log a replay folds, and how people write a place in it.

Pure. A POSITION is ``0:41,1:7`` (partition:offset, the last record that counts); a TIME is RFC 3339 or epoch ms.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from streams.errors import InputError
from streams.events import OPTS, Event

_POSITION: Final = re.compile(r"[0-9]{1,9}:(-1|[0-9]{1,18})([,\s]+[0-9]{1,9}:(-1|[0-9]{1,18}))*")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of the log: offsets from ``first`` to ``last`` by partition (both count; those that are not named: all of
    it), event times ``since_ms``..``until_ms``, one room or one device.
    """

    first: dict[int, int] = {}
    last: dict[int, int] = {}
    since_ms: int | None = None
    until_ms: int | None = None
    room: str | None = None
    device: str | None = None

    @property
    def whole(self) -> bool:
        """All of the log: only then can the result take the place of the live state."""
        return self == Span()

    def admits(self, event: Event) -> bool:
        """Whether an event is folded. Opting out concerns every room, so it is narrowed by device and time only."""
        if self.since_ms is not None and event.timestamp < self.since_ms:
            return False
        if self.until_ms is not None and event.timestamp > self.until_ms:
            return False
        if self.device is not None and self.device not in (event.device_id, event.target):
            return False
        return self.room is None or event.room_id == self.room or event.type in OPTS


def span(
    since: str | None = None, until: str | None = None, room: str | None = None, device: str | None = None
) -> Span:
    """Of a command's words; ``since`` and ``until`` are POSITION or TIME. Raises InputError."""
    lower, upper = _place(since, "--from"), _place(until, "--until")
    return Span(
        first=lower if isinstance(lower, dict) else {},
        last=upper if isinstance(upper, dict) else {},
        since_ms=lower if isinstance(lower, int) else None,
        until_ms=upper if isinstance(upper, int) else None,
        room=room,
        device=device,
    )


def position(text: str, option: str) -> dict[int, int] | None:
    """A POSITION as offsets by partition, -1 for nothing of it; None for text that is none.

    Raises InputError, which names the option, when a partition is named twice.
    """
    if not _POSITION.fullmatch(text.strip()):
        return None
    pairs = [part.split(":") for part in re.split(r"[,\s]+", text.strip())]
    found = {int(partition): int(offset) for partition, offset in pairs}
    if len(found) != len(pairs):
        raise InputError(f"{option} {text!r} names a partition twice")
    return found


def moment(text: str, option: str) -> int:
    """A TIME, RFC 3339 or epoch milliseconds, as epoch ms; raises InputError that names the option."""
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} {text!r} is neither RFC 3339 nor epoch milliseconds") from None
    if found.tzinfo is None:
        raise InputError(f"{option} {text!r} has no offset; end it with Z or +01:00")
    return (found - _EPOCH) // timedelta(milliseconds=1)


def _place(text: str | None, option: str) -> dict[int, int] | int | None:
    if text is None:
        return None
    found = position(text, option)
    return moment(text, option) if found is None else found
