"""What a listener may cost: slow and silent ones are let go with a reason, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from deploy.backend import Publisher
from streams.events import Event
from streams.settings import Settings
from tests.fixtures.gateway import Serving, serving
from tests.gateway.pushing import in_order, logged, publish, publisher, sse, ws, ws_url
from tests.integration.projecting import until
from tests.worlds import say


def large(count: int) -> list[Event]:
    """Some kilobytes each."""
    harmonics = [(n + 0.123456, -n - 0.654321, 1.5, 0.5, 1.0) for n in range(60)]
    return [say(f"dev-{n % 9}", "FIELD", n / 10, harmonics=harmonics, seq=n) for n in range(count)]


async def flood(log: Publisher, enough: Callable[[], Any]) -> int:
    """Publish until it is enough; how much that was."""
    published = 0
    while not enough():
        await publish(log, large(20))
        published += 20
        assert published < 6_000, "it is never enough"
    return published


class Deaf:
    """Asks for the stream (or a WebSocket) over a socket with a small buffer, and reads nothing until told."""

    def __init__(self, served: Serving, path: str = "/api/consciousness/stream?include=events", more: str = "") -> None:
        host, _, port = served.url.removeprefix("http://").partition(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.settimeout(30)
        self.socket.connect((host, int(port)))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{more}\r\n".encode())

    def rest(self) -> bytes:
        """All until the other side ends it."""
        found = b""
        try:
            while some := self.socket.recv(1 << 20):
                found += some
        except ConnectionResetError:
            pass
        self.socket.close()
        return found


async def test_who_is_slow_is_let_go_and_others_hear_all(settings: Settings) -> None:
    settings = replace(settings, push_queue_messages=40, push_queue_bytes=400_000)
    most = 0
    async with publisher(settings) as log, serving(settings) as served, sse(served, include="events") as ear:
        hub = served.gateway.hub
        ours = set(hub.listeners)
        deaf, late = Deaf(served), Deaf(served)
        await until(lambda: len(hub.listeners) == 3, "that all have come")
        theirs = hub.listeners - ours

        def all_slow() -> bool:
            nonlocal most
            most = max(most, *(listener.outbox.bytes for listener in theirs))
            assert all(len(listener.outbox) <= 40 for listener in theirs)
            return all(listener.reason for listener in theirs)

        published = await flood(log, all_slow)
        text = await asyncio.to_thread(late.rest)  # it begins to read before its line is cut
        assert text.endswith(b'event: bye\ndata: {"reason":"slow"}\n\n\r\n0\r\n\r\n')
        await until(lambda: hub.listeners == ours, "that they have gone")
        assert b"bye" not in await asyncio.to_thread(deaf.rest)
        await ear.hears(published)
        assert sorted(ear.heard) == await logged(settings)
        assert in_order(ear.heard)
    assert 0 < most <= 400_000


async def test_a_slow_socket_is_closed_with_its_reason(settings: Settings) -> None:
    settings = replace(settings, push_queue_messages=40, push_queue_bytes=400_000)
    async with (
        publisher(settings) as log,
        serving(settings) as served,
        connect(ws_url(served), max_size=None, max_queue=1) as slow,
    ):
        await slow.send(json.dumps({"type": "subscribe", "filters": {"include": ["events"]}}))
        hub = served.gateway.hub
        await until(lambda: len(hub.groups) == 1, "that it listens")
        (listener,) = hub.listeners
        await flood(log, lambda: listener.reason)
        messages: list[Any] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                messages.append(json.loads(await slow.recv()))
        assert messages[-1] == {"type": "bye", "reason": "slow"}
        assert (slow.close_code, slow.close_reason) == (1013, "slow")
        await until(lambda: not hub.listeners, "that it has gone")


async def test_a_line_says_that_it_is_open(settings: Settings) -> None:
    settings = replace(settings, push_heartbeat_s=0.2, push_stale_s=0.6)
    async with (
        publisher(settings) as log,
        serving(settings) as served,
        sse(served, include="events", types="BLOOM") as ear,
        ws(served, filters={"types": ["BLOOM"]}) as (other, connection),
    ):
        before = ear.id
        await publish(log, [say("ana", "BREATH", 1)])
        await ear.until(lambda: ear.beats >= 6 and ear.id != before, "heartbeats that know how far it is")
        await other.until(lambda: other.beats >= 6 and other.id == ear.id, "heartbeats")
        await connection.send(json.dumps({"type": "pong"}))
        assert len(served.gateway.hub.listeners) == 2
        assert not ear.messages


async def test_who_answers_no_ping_is_gone(settings: Settings) -> None:
    settings = replace(settings, push_heartbeat_s=0.2, push_stale_s=0.6)
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n"
    async with publisher(settings), serving(settings) as served:
        mute = Deaf(served, "/api/consciousness/ws", upgrade)
        await until(lambda: served.gateway.hub.listeners, "that it has come")
        await until(lambda: not served.gateway.hub.listeners, "that it has gone")
        assert b"keepalive ping timeout" in await asyncio.to_thread(mute.rest)


async def test_who_takes_nothing_is_gone(settings: Settings) -> None:
    """Its outbox is large enough for all of it: what counts is that it does not move."""
    settings = replace(settings, push_heartbeat_s=0.3, push_stale_s=1.0, push_queue_bytes=1 << 30)
    async with publisher(settings) as log, serving(settings) as served:
        deaf = Deaf(served)
        hub = served.gateway.hub
        await until(lambda: len(hub.groups) == 1, "that it has come")
        (listener,) = hub.listeners
        await flood(log, lambda: listener.outbox.bytes > 1_000_000)
        await until(lambda: not hub.listeners, "that it has gone")
        assert listener.reason == "stale"
        await asyncio.to_thread(deaf.rest)


async def test_goodbye_when_the_gateway_stops(settings: Settings) -> None:
    def said(of: Callable[[str], Any]) -> Any:
        return [one["reason"] for one in of("bye")]

    async with publisher(settings) as log, serving(settings) as served:
        slowly = {"from": "0", "speed": "0.001"}
        async with (
            sse(served, include="events") as ear,
            sse(served, include="events", **slowly) as past,
            ws(served) as (other, connection),
        ):
            await publish(log, [say("ana", "BLOOM", 1)])
            await ear.hears(1)
            served.server.should_exit = True
            await ear.until(ear.closed.is_set, "the end")
            await past.until(past.closed.is_set, "the end")
            await other.until(other.closed.is_set, "the end")
            assert said(ear.of) == said(past.of) == said(other.of) == ["stopping"]
            assert (connection.close_code, connection.close_reason) == (1001, "stopping")
