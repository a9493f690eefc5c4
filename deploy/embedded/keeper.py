"""The run of an embedded field, in this process: the fold in a thread, gateway and fleet in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from deploy import pacing
from projections.embedded.build import build
from projections.gateway.app import create_app
from projections.gateway.run import NO_KEY, Guest, config, listen
from streams import metrics, simulate
from streams.embedded.driver import Driver
from streams.embedded.publisher import SqlitePublisher
from streams.errors import FieldError
from streams.settings import Settings


class InProcess:
    """``say`` gets lines for people; ``ended`` is called when driver, gateway or fleet have ended by themselves.

    ``start`` raises what ``Driver`` raises and PartUnavailable where a port is taken; ``stop`` makes a last checkpoint,
    or raises what has ended it before.
    """

    def __init__(
        self, settings: Settings, fleet: simulate.Fleet | None, say: Callable[[str], None], ended: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._say = say
        self._ended = ended
        self._stop = threading.Event()
        self._failed = False
        self._driver: Driver | None = None
        self._folding: asyncio.Task[None] | None = None
        self._gateway: Guest | None = None
        self._serving: asyncio.Task[None] | None = None
        self._feeding: asyncio.Task[None] | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()

        def say(line: str) -> None:
            loop.call_soon_threadsafe(self._say, line)

        self._driver = driver = await asyncio.to_thread(Driver, self._settings, say)
        with contextlib.ExitStack() as undo:
            undo.callback(driver.close)
            listening = undo.enter_context(listen(self._settings))
            metrics.serve("worker", self._settings)
            undo.pop_all()
        if not self._settings.gateway_key:
            self._say(NO_KEY)
        self._folding = asyncio.create_task(asyncio.to_thread(driver.run, self._stop), name="fold")
        self._folding.add_done_callback(self._over)
        self._gateway = Guest(config(create_app(build(self._settings), self._broken), self._settings))
        self._serving = asyncio.create_task(self._gateway.serve([listening]), name="gateway")
        self._serving.add_done_callback(self._over)
        try:
            await self._gateway.until_started(self._serving)
        except BaseException:
            self._stop.set()  # else its thread would go on for ever
            raise
        if self._fleet is not None:
            self._feeding = asyncio.create_task(self._feed(self._fleet), name="fleet")
            self._feeding.add_done_callback(self._over)

    async def stop(self) -> None:
        """Who publishes first: so the last checkpoint holds what was acknowledged."""
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait((self._feeding,))
        assert self._gateway is not None
        assert self._serving is not None
        self._gateway.should_exit = True
        await asyncio.wait((self._serving,))
        self._stop.set()
        assert self._folding is not None
        assert self._driver is not None
        await asyncio.wait((self._folding,))
        self._driver.close()
        for task in (self._folding, self._serving, self._feeding):
            if task is not None and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if self._failed:
            raise FieldError("a part of the gateway has ended; the lines above say why")

    async def revive(self) -> None:
        """Nothing stays down beside this process itself."""

    def _broken(self) -> None:
        self._failed = True
        self._ended()

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._ended()

    async def _feed(self, fleet: simulate.Fleet) -> None:
        async with SqlitePublisher(self._settings) as publisher:
            try:
                await pacing.play(publisher, simulate.items(fleet), 1.0)
            finally:
                await publisher.flush()
