"""A TCP proxy between two programs whose line can be made slow, cut, or left open with nobody at the other end.

    pass       bytes go through
    latency    every piece arrives ``latency_ms`` later, in order
    cut        connections are reset, new ones too
    half_open  new connections are accepted, nothing goes through, nobody is told

A connection that was half open once stays so when the line is mended, as after a peer that lost its power: the two
ends find out by their own timeouts or never. Both ends stay open, so a server keeps what it holds for that client.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Literal

Mode = Literal["pass", "latency", "cut", "half_open"]
MODES: Final[tuple[Mode, ...]] = ("pass", "latency", "cut", "half_open")
PIECE: Final = 64 * 1024
WAITING_MAX: Final = 256
"""Pieces on their way in one direction: then the proxy stops reading, as a full pipe would."""
CALL_S: Final = 10.0


class _Pair:
    """One connection through the proxy; ``dead`` once nothing goes through it any more."""

    def __init__(self) -> None:
        self.dead = False
        self.writers: list[asyncio.StreamWriter] = []

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Link:
    """One line to ``target`` (a port of this machine); clients connect to ``port``."""

    def __init__(self, name: str, target: int, run: Callable[[Coroutine[Any, Any, Any]], Future[Any]]) -> None:
        self.name = name
        self.target = target
        self.port = 0
        self.mode: Mode = "pass"
        self.latency_ms = 0
        self.accepted = 0
        self.swallowed = 0  # bytes
        self._run = run
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None

    def set(self, mode: Mode, latency_ms: int = 50) -> None:
        """From now on; returns when it holds."""
        self._run(self._set(mode, latency_ms)).result(CALL_S)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for pair in set(self._pairs):
            pair.abort()

    async def _set(self, mode: Mode, latency_ms: int) -> None:
        self.mode, self.latency_ms = mode, latency_ms
        for pair in set(self._pairs):
            if mode == "cut":
                pair.abort()
            elif mode == "half_open":
                pair.dead = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.mode == "cut":
            writer.transport.abort()
            return
        pair = _Pair()
        pair.writers.append(writer)
        self._pairs.add(pair)
        try:
            if self.mode == "half_open":
                pair.dead = True
                await self._swallow(reader)
                return
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.target)
            pair.writers.append(back_writer)
            await asyncio.gather(self._pump(pair, reader, back_writer), self._pump(pair, back_reader, writer))
        except OSError:
            return  # nobody behind the line: the client sees its connection end
        finally:
            self._pairs.discard(pair)
            pair.abort()

    async def _pump(self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_MAX)
        deliver = asyncio.create_task(self._deliver(pair, queue, writer))
        try:
            while data := await reader.read(PIECE):
                delay_s = self.latency_ms / 1_000 if self.mode == "latency" else 0.0
                await queue.put((loop.time() + delay_s, data))
            await queue.put((loop.time(), b""))
            await deliver
        except OSError:
            return
        finally:
            deliver.cancel()
            if not pair.dead:  # the other end is told; of a dead pair nobody is
                pair.abort()

    async def _deliver(
        self, pair: _Pair, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if not data:
                return
            if pair.dead:
                self.swallowed += len(data)
                continue
            writer.write(data)
            await writer.drain()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(PIECE):
            self.swallowed += len(data)


class Proxy:
    """Links by name, in a thread with a loop of its own: a busy test does not slow them, and may block."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close()).result(CALL_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    def link(self, name: str, target: int) -> Link:
        """A new line that passes; its port is there at once."""
        link = self.links[name] = Link(name, target, self._call)
        self._call(link.open()).result(CALL_S)
        return link

    def set(self, mode: Mode, *names: str, latency_ms: int = 50) -> None:
        """All links whose name begins with one of ``names``; without names every one."""
        for name, link in self.links.items():
            if not names or name.startswith(names):
                link.set(mode, latency_ms)

    async def _close(self) -> None:
        for link in self.links.values():
            await link.close()
        ours = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)
