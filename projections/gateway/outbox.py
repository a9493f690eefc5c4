"""What waits for one listener: bounded by messages and by bytes. Who does not keep up is told so and let go."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from projections.gateway.pushed import Message

TAKE_BYTES: Final = 64 * 1024
"""What is taken counts no more here, and is copied into the line's own buffer."""


class Outbox:
    """One taker; ``put`` never waits, ``give`` does. After ``end`` nothing but its last message comes out."""

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self._waiting: deque[Message] = deque(maxlen=messages_max + 1)
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.bytes = 0
        self.ended = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> bool:
        """Whether it was taken: not when it would be too much. A message alone may be of any size."""
        if self.ended:
            return True
        if self._waiting and not self._fits(message):
            return False
        self._append(message)
        return True

    async def give(self, message: Message) -> None:
        """Take it as soon as there is room; history waits for its reader instead of losing it."""
        while not self.ended and self._waiting and not self._fits(message):
            self._room.clear()
            await self._room.wait()
        if not self.ended:
            self._append(message)

    async def take(self) -> list[Message]:
        """What waits, at least one message and about TAKE_BYTES at most; empty after the end."""
        while not self._waiting:
            if self.ended:
                return []
            self._news.clear()
            await self._news.wait()
        taken = [self._waiting.popleft()]
        size = taken[0].size
        while self._waiting and size + self._waiting[0].size <= TAKE_BYTES:
            taken.append(self._waiting.popleft())
            size += taken[-1].size
        self.bytes -= size
        self._room.set()
        return taken

    def end(self, last: Message | None = None) -> None:
        """Forget what waits; ``last`` is the only thing that still comes out."""
        if self.ended:
            return
        self._clear()
        if last is not None:
            self._append(last)
        self.ended = True
        self._news.set()

    def _fits(self, message: Message) -> bool:
        return len(self._waiting) < self._messages_max and self.bytes + message.size <= self._bytes_max

    def _append(self, message: Message) -> None:
        self._waiting.append(message)
        self.bytes += message.size
        self._news.set()

    def _clear(self) -> None:
        self._waiting.clear()
        self.bytes = 0
        self._room.set()
