"""What the tests of the push share: a log, its listeners, and what the log says they should have heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from deploy import backend
from streams import topics
from streams.embedded.store import Store
from streams.events import OPTS, Event
from streams.settings import Settings
from streams.table import partition_of
from tests.fixtures.gateway import Serving

LIMIT_S = 60.0
"""A bound on hanging, never a performance check."""
Heard = list[tuple[int, int, int, str]]
"""(partition, offset, index, id)"""


@contextlib.asynccontextmanager
async def publisher(settings: Settings) -> AsyncIterator[backend.Publisher]:
    """The log is there, and it writes to it."""
    if settings.parts == "embedded":
        Store(settings, create=True).close()
    else:
        await topics.create(settings)
    async with backend.of(settings).publisher("json") as found:
        yield found


async def publish(to: backend.Publisher, events: Sequence[Event]) -> None:
    """On the log when this returns."""
    for event in events:
        await to.publish(event)
    await to.flush()


async def logged(settings: Settings) -> Heard:
    """All events of the log, each once, by partition and place."""
    found: Heard = []
    async with backend.of(settings).log() as history:
        for partition, (first, end) in sorted((await history.bounds()).items()):
            async for entries in history.entries(partition, first, end):
                found += [
                    (partition, entry.offset, index, event.id)
                    for entry in entries
                    for event, index in zip(entry.events, entry.indexes, strict=True)
                    if event.type not in OPTS or partition_of(event.key, settings.partitions) == partition
                ]
    return found


def heard_in(messages: Sequence[dict[str, Any]]) -> Heard:
    """Events of messages, in the order of hearing."""
    return [
        (event["log"]["partition"], event["log"]["offset"], event["log"]["index"], event["id"])
        for message in messages
        if message["type"] == "events"
        for event in message["events"]
    ]


def in_order(heard: Heard) -> bool:
    """Whether places only rise within each partition."""
    last: dict[int, tuple[int, int]] = {}
    for partition, offset, index, _ in heard:
        if last.get(partition, (-1, -1)) >= (offset, index):
            return False
        last[partition] = offset, index
    return True


class Ear:
    """A listener: ``messages`` as they came (``type``, and ``id`` where there was one), until ``closed``."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.id = ""
        self.beats = 0
        self.closed = asyncio.Event()
        self._news = asyncio.Event()

    def take(self, message: dict[str, Any]) -> None:
        self.id = message.get("id") or self.id
        if message["type"] == "heartbeat":
            self.beats += 1
        else:
            self.messages.append(message)
        self._news.set()

    @property
    def heard(self) -> Heard:
        return heard_in(self.messages)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    async def until(self, true: Callable[[], Any], what: Callable[[], str] | str) -> None:
        """Wait for messages until it is true."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while not true():
                    self._news.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), 0.2)
        except TimeoutError:
            raise AssertionError(
                f"never heard: {what() if callable(what) else what}; last {str(self.messages[-1:])[:300]}"
            ) from None

    async def hears(self, count: int) -> None:
        """Wait until so many events were heard."""
        await self.until(lambda: len(self.heard) >= count, lambda: f"{count} events, only {len(self.heard)}")


@contextlib.asynccontextmanager
async def sse(served: Serving, *, last_id: str = "", **query: Any) -> AsyncIterator[Ear]:
    """Listens over SSE while the block lasts; it has joined what comes when the block begins."""
    ear = Ear()
    headers = {"Last-Event-ID": last_id} if last_id else {}
    timeout = httpx.Timeout(10, read=None)

    async def listen(client: httpx.AsyncClient) -> None:
        try:
            async with client.stream("GET", "/api/consciousness/stream", params=query, headers=headers) as response:
                assert response.status_code == 200, await response.aread()
                assert response.headers["content-type"].startswith("text/event-stream")
                kind, data, place = "", "", ""
                async for line in response.aiter_lines():
                    if not line:
                        if data:
                            ear.take({"type": kind, "id": place, **json.loads(data)})
                        elif place:
                            ear.take({"type": "heartbeat", "id": place})
                        kind, data, place = "", "", ""
                    elif line.startswith("event: "):
                        kind = line[7:]
                    elif line.startswith("data: "):
                        data = line[6:]
                    elif line.startswith("id: "):
                        place = line[4:]
        finally:
            ear.closed.set()

    async with httpx.AsyncClient(base_url=served.url, timeout=timeout) as client:
        task = asyncio.create_task(listen(client))
        try:
            await ear.until(lambda: ear.id or task.done(), "the first positions")
            yield ear
        finally:
            if not task.done():
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def ws_url(served: Serving) -> str:
    return served.url.replace("http://", "ws://") + "/api/consciousness/ws"


@contextlib.asynccontextmanager
async def ws(served: Serving, **subscribe: Any) -> AsyncIterator[tuple[Ear, ClientConnection]]:
    """Subscribes over a WebSocket while the block lasts."""
    ear = Ear()

    async def listen(connection: ClientConnection) -> None:
        async for text in connection:
            ear.take(json.loads(text))
        ear.closed.set()

    async with connect(ws_url(served), max_size=None) as connection:
        task = asyncio.create_task(listen(connection))
        await connection.send(json.dumps({"type": "subscribe", **subscribe}))
        try:
            await ear.until(lambda: ear.id or ear.messages or task.done(), "the first positions")
            yield ear, connection
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
