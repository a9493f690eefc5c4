"""Messages as they are pushed: encoded once, whoever hears them; and the events that they carry.

A message has two forms, one for Server-Sent Events and one for WebSocket, and each of them once more as it stands on
the wire; they are made when the first listener of that kind takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from projections.gateway.vectors import Log, Vector, render
from streams.entry import Entry, LogRecord, read_entry
from streams.events import OPTS, Event
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Limits
from streams.wire import to_plain

_encode: Final = msgspec.json.Encoder().encode

HEARTBEAT: Final = "heartbeat"
TEXT_FRAME: Final = 0x81
"""FIN and the opcode of text."""
OVERHEAD: Final = 200
"""Bytes that a message costs beside its body."""


class Heard(msgspec.Struct, gc=False):
    """An event of the log with its place in it; its JSON is made once. Thousands are kept: the collector need not look.

    The place is called ``log``: ``position`` is where the device is. ``again``: a copy of what was pushed already.
    """

    event: Event
    partition: int
    offset: int
    index: int
    received_ms: int
    again: bool = False
    made: bytes = b""

    @property
    def raw(self) -> bytes:
        if not self.made:
            place = {"partition": self.partition, "offset": self.offset, "index": self.index}
            self.made = _encode({**to_plain(self.event), "log": place, "received": self.received_ms})
        return self.made


class Batch(NamedTuple):
    """Whole records of the log in their order, and the positions after them."""

    heard: Sequence[Heard]
    after: Vector


class Message:
    """``kind`` names it, ``body`` is a JSON object, ``id`` are the positions after it (empty: it moves none)."""

    __slots__ = ("_chunk", "_frame", "_sse", "_text", "body", "id", "kind")

    def __init__(self, kind: str, body: bytes, id: str = "") -> None:
        self.kind = kind
        self.body = body
        self.id = id
        self._sse = b""
        self._text = ""
        self._chunk = b""
        self._frame = b""

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD

    @property
    def sse(self) -> bytes:
        """An id without data is remembered by the browser and is no event for the page."""
        if not self._sse:
            place = f"id: {self.id}\n".encode() if self.id else b""
            if self.kind == HEARTBEAT:
                self._sse = b": heartbeat\n%b\n" % place
            else:
                self._sse = b"%bevent: %b\ndata: %b\n\n" % (place, self.kind.encode(), self.body)
        return self._sse

    @property
    def text(self) -> str:
        if not self._text:
            head = f'{{"type":"{self.kind}"' + (f',"id":"{self.id}"' if self.id else "")
            rest = self.body[1:].decode()
            self._text = head + (rest if rest == "}" else f",{rest}")
        return self._text

    @property
    def chunk(self) -> bytes:
        """``sse`` in the chunked coding of HTTP/1.1 (RFC 9112, 7.1)."""
        if not self._chunk:
            self._chunk = b"%x\r\n%b\r\n" % (len(self.sse), self.sse)
        return self._chunk

    @property
    def frame(self) -> bytes:
        """``text`` as one frame of a server's WebSocket (RFC 6455, 5.2): whole, not masked."""
        if not self._frame:
            data = self.text.encode()
            size = len(data)
            if size < 126:
                head = bytes((TEXT_FRAME, size))
            elif size < 1 << 16:
                head = bytes((TEXT_FRAME, 126)) + size.to_bytes(2, "big")
            else:
                head = bytes((TEXT_FRAME, 127)) + size.to_bytes(8, "big")
            self._frame = head + data
        return self._frame


def message(kind: str, content: Mapping[str, Any], id: str = "") -> Message:
    """A message with this content."""
    return Message(kind, _encode(content), id)


def events_message(heard: Iterable[Heard], id: str) -> Message:
    """``events`` with these, from JSON that each of them has already."""
    return Message("events", b'{"events":[' + b",".join([one.raw for one in heard]) + b"]}", id)


def heartbeat(id: str) -> Message:
    """Says that the line is open, and how far its listener is."""
    return Message(HEARTBEAT, b"{}", id)


def bye(reason: str) -> Message:
    """The last message of a connection that we close."""
    return message("bye", {"reason": reason})


class Reading:
    """Records of the log -> what is heard of them."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)

    def entry(self, record: LogRecord, partition: int) -> Entry:
        """All that is folded of a record, OPT_* in every partition too."""
        return read_entry(record, partition, self._partitions, self._limits)

    def heard(self, entry: Entry, partition: int) -> list[Heard]:
        """Each event once: OPT_* stand in every partition and are heard from that of their key."""
        return [
            Heard(event, partition, entry.offset, index, entry.received_ms)
            for event, index in zip(entry.events, entry.indexes, strict=True)
            if event.type not in OPTS or partition_of(event.key, self._partitions) == partition
        ]


def id_of(log: Log | None, positions: Vector | None) -> str:
    return render(log, positions) if log and positions else ""
