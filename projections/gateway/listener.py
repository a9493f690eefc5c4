"""One connection that is pushed to: its outbox, how far it is, and how it is let go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from projections.gateway.filters import Filters
from projections.gateway.lines import Line
from projections.gateway.outbox import Outbox
from projections.gateway.pushed import Message, bye, heartbeat
from streams import metrics
from streams.settings import Settings

log = logging.getLogger(__name__)

GRACE_S: Final = 3.0
"""For the last message; a line that does not take it is cut."""


class Listener:
    """``filters`` are those of its group, None while it is in none: it hears the past, or nothing yet."""

    def __init__(self, settings: Settings, line: Line) -> None:
        self.outbox = Outbox(settings.push_queue_messages, settings.push_queue_bytes)
        self.filters: Filters | None = None
        self.id = ""
        """Positions of the last message put; used while it hears the past."""
        self.reason = ""
        self._settings = settings
        self._line = line
        self._put_s = time.monotonic()
        self._sending_s: float | None = None
        self._ready: Callable[[Message], bytes] | None = None
        self._cutting: asyncio.TimerHandle | None = None
        line.on_stop = self._stop

    def hear(self, message: Message) -> None:
        """Onto the line, or into the outbox; when that is full, the listener is let go."""
        if self._at_once(message) or self.outbox.put(message):
            self._put_s = time.monotonic()
        else:
            self.drop("slow")

    def _at_once(self, message: Message) -> bool:
        """Whether it went the short way: nothing is before it, and the line takes it."""
        if self._ready is None or self._sending_s is not None or len(self.outbox) or self.outbox.ended:
            return False
        return self._line.write(self._ready(message))

    async def give(self, message: Message) -> None:
        """The same for the past, which waits for its listener."""
        await self.outbox.give(message)
        self._put_s = time.monotonic()
        self.id = message.id or self.id

    async def send_all(
        self, send: Callable[[list[Message]], Awaitable[None]], ready: Callable[[Message], bytes]
    ) -> None:
        """Hand on what comes until the end: by ``send``, or as ``ready`` for the line where that takes it at once."""
        self._ready = ready
        try:
            while messages := await self.outbox.take():
                self._sending_s = time.monotonic()
                await send(messages)
                self._sending_s = None
        finally:
            if self._cutting is not None:
                self._cutting.cancel()

    def drop(self, reason: str) -> None:
        """Say why, and end; ``slow``, ``stopping``, ``gap`` (the log lost something), ``stale``."""
        if self.outbox.ended:
            return
        self.reason = reason
        metrics.PUSH_DROPPED.labels(reason).inc()
        self.outbox.end(bye(reason))
        self._cutting = asyncio.get_running_loop().call_later(GRACE_S, self._line.cut)

    def gone(self) -> None:
        """It has left by itself."""
        self.outbox.end()

    def tick(self, now: float, joined_id: str) -> None:
        """A heartbeat when it heard nothing for long; the end when it has taken nothing for long."""
        if self._sending_s is not None and now - self._sending_s > self._settings.push_stale_s:
            self.drop("stale")
        elif now - self._put_s >= self._settings.push_heartbeat_s and not len(self.outbox):
            self.hear(heartbeat(joined_id if self.filters is not None else self.id))

    def _stop(self) -> None:
        self.drop("stopping")
