"""The short way to a line: the same as the long one for who listens, and bounded for who does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import replace
from typing import Any

import httpx
from websockets.asyncio.client import connect

from projections.gateway.listener import Listener
from streams.settings import Settings
from tests.fixtures.gateway import serving
from tests.gateway.pushing import heard_in, in_order, logged, publish, publisher, ws_url
from tests.gateway.test_push_limits import Deaf, large
from tests.integration.projecting import until

HIGH_WATER = 65_536
"""Of asyncio's transports; above it nothing is written."""
MESSAGE_BYTES = 256 * 1024
"""Of a message at most here, as it stands on the wire."""
DATA = re.compile(rb"event: events\ndata: (.*)\n\n")


def unchunked(raw: bytes) -> bytes:
    """The body of an answer in the chunked coding."""
    body, at = b"", raw.index(b"\r\n\r\n") + 4
    while (end := raw.find(b"\r\n", at)) > 0:
        size = int(raw[at:end], 16)
        body += raw[end + 2 : end + 2 + size]
        at = end + 4 + size
        if not size:
            break
    return body


def kept(listener: Listener) -> int:
    """Bytes that a listener costs beside what the system keeps for its socket."""
    transport: Any = listener._line._transport
    return listener.outbox.bytes + int(transport.get_write_buffer_size())


async def test_who_stops_for_a_while_hears_all_in_order(settings: Settings) -> None:
    """Some of it went the short way, some waited in the outbox, then the short way again."""
    settings = replace(settings, push_queue_messages=100_000, push_queue_bytes=1 << 28)  # the system takes megabytes
    async with (
        publisher(settings) as log,
        serving(settings) as served,
        connect(ws_url(served), max_size=None, max_queue=1, ping_interval=None) as socket,
    ):
        hub = served.gateway.hub
        await until(lambda: hub.positions is not None, "the end of the log")
        await socket.send(json.dumps({"type": "subscribe", "filters": {"include": ["events"]}}))
        stream = Deaf(served)
        await until(lambda: sum(one.filters is not None for one in hub.listeners) == 2, "that both listen")
        published = 0
        while not all(len(one.outbox) for one in hub.listeners):
            await publish(log, large(20))
            published += 20
            assert published < 6_000, "the line takes all of it"
        messages: list[dict[str, Any]] = []
        text = bytearray()

        async def read_stream() -> None:
            stream.socket.setblocking(False)
            while some := await asyncio.get_running_loop().sock_recv(stream.socket, 1 << 20):
                text.extend(some)

        async def read_socket() -> None:
            async for one in socket:
                messages.append(json.loads(one))

        readers = [asyncio.create_task(read_stream()), asyncio.create_task(read_socket())]
        await until(lambda: not any(len(one.outbox) for one in hub.listeners), "that they have caught up")
        await publish(log, large(20))
        published += 20
        await until(lambda: len(heard_in(messages)) >= published, "the socket")
        await until(lambda: text.count(b'"received":') >= published, "the stream")
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        stream.socket.close()
        expected = await logged(settings)
        said = [{"type": "events", **json.loads(one)} for one in DATA.findall(unchunked(bytes(text)))]
        for heard in (heard_in(messages), heard_in(said)):
            assert in_order(heard)
            assert sorted(heard) == expected


async def test_what_many_who_take_nothing_cost_is_bounded(settings: Settings) -> None:
    """Ten of forty: each at most its outbox and its line's buffer, until it is let go; who reads loses nothing."""
    settings = replace(settings, push_queue_messages=40, push_queue_bytes=400_000)
    async with publisher(settings) as log, serving(settings) as served, contextlib.AsyncExitStack() as stack:
        hub = served.gateway.hub
        await until(lambda: hub.positions is not None, "the end of the log")
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=30)))
        counts = [0] * 30

        async def read(number: int) -> None:
            async with client.stream("GET", f"{served.url}/api/consciousness/stream?include=events") as answer:
                async for text in answer.aiter_lines():
                    counts[number] += text.count('"received":')

        readers = [asyncio.create_task(read(number)) for number in range(30)]
        await until(lambda: sum(one.filters is not None for one in hub.listeners) == 30, "who read")
        ours = set(hub.listeners)
        deaf = [Deaf(served) for _ in range(10)]
        await until(lambda: sum(one.filters is not None for one in hub.listeners) == 40, "who do not")
        theirs = hub.listeners - ours
        published, most = 0, 0
        while not all(one.reason for one in theirs):
            await publish(log, large(20))
            published += 20
            most = max(most, *(kept(one) for one in theirs if not one.reason), 0) if theirs else most
            assert published < 6_000, "nobody is let go"
        assert {one.reason for one in theirs} == {"slow"}
        assert HIGH_WATER < most <= settings.push_queue_bytes + HIGH_WATER + MESSAGE_BYTES
        await until(lambda: hub.listeners == ours, "that they have gone")
        await until(lambda: all(count == published for count in counts), "that who reads has heard all")
        await until(lambda: not any(kept(one) for one in ours), "that nothing is kept for who reads")
        for one in deaf:
            one.socket.close()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
