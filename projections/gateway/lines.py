"""uvicorn's connections with what a long answer needs: to be told that the server stops, to be cut, and a short way.

The short way: what is pushed to hundreds is ready for the wire, and goes there without a task, a copy and five calls
for each of them, as long as the line takes it at once.

A reader that takes nothing keeps what is already in the transport's buffer for as long as the connection is open, and
``close`` would wait for that to be taken: only ``cut`` ends it.
"""

from __future__ import annotations

from asyncio import BaseProtocol, BaseTransport, Transport
from collections.abc import Callable
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any, Final, cast

from starlette.requests import HTTPConnection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

EXTENSION: Final = "field.line"
SEND_BYTES: Final = 262_144
"""What the system keeps for a reader that takes nothing; left alone it grows to megabytes for each."""


class Line:
    """One connection. ``on_stop`` is called when the server is to end."""

    def __init__(self, transport: Transport | None = None) -> None:
        self._transport = transport
        self.paused = False
        """Its buffer is full: whoever writes has to wait."""
        self.on_stop: Callable[[], object] | None = None

    def write(self, data: bytes) -> bool:
        """Bytes of an answer that is under way, as they stand on the wire; whether the line takes them now."""
        if self.paused or self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        return True

    def stop(self) -> None:
        """The server ends; whoever answers over this line should say goodbye."""
        if self.on_stop is not None:
            self.on_stop()

    def cut(self) -> None:
        """At once, with all that was not taken."""
        if self._transport is not None:
            self._transport.abort()


def line_of(connection: HTTPConnection) -> Line:
    """The line of a request or WebSocket; one that cannot be cut, where another server serves."""
    found: Any = connection.scope.get("extensions", {}).get(EXTENSION)
    return found if isinstance(found, Line) else Line()


class _Pausing(BaseProtocol):
    """Tells the line when its buffer is full; stands before a protocol of uvicorn's."""

    line: Line

    def pause_writing(self) -> None:
        self.line.paused = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self.line.paused = False
        super().resume_writing()


class HttpLine(_Pausing, HttpToolsProtocol):
    """HTTP/1.1."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        self.line = Line(self.transport)
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BYTES)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = cast(Any, {EXTENSION: self.line})

    def shutdown(self) -> None:
        super().shutdown()
        self.line.stop()


class WebSocketLine(_Pausing, WebSocketsSansIOProtocol):
    """WebSocket. The application closes it when the server stops, so that its last message can say why."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.line = Line(self.transport)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # not when the handshake was refused
            self.scope["extensions"][EXTENSION] = cast(Any, self.line)

    def shutdown(self) -> None:
        if self.handshake_complete and not self.close_sent and self.line.on_stop is not None:
            self.line.stop()
        else:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.line.cut()
