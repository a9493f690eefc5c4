"""Events to a publisher at the times when they are due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final, Protocol

from streams.events import Event
from streams.simulate import Item

LINGER_S: Final = 0.02
"""Real-time events leave at most this much later than they are due: few big sends instead of many small ones."""


class Publishing(Protocol):
    """What takes the events."""

    async def publish(self, event: Event) -> None: ...
    async def publish_line(self, line: bytes) -> None: ...
    async def push(self) -> None: ...


async def play(publisher: Publishing, items: Iterable[Item], speed: float) -> None:
    """Publish items when they are due: ``at`` runs ``speed`` times as fast as the clock, ``inf`` is at once."""
    begun = time.monotonic()
    first: int | None = None
    for at, event in items:
        first = at if first is None else first
        wait = begun + (at - first) / 1000 / speed - time.monotonic()
        if wait > 0:
            await publisher.push()
            await asyncio.sleep(max(wait, LINGER_S))
        await (publisher.publish(event) if isinstance(event, Event) else publisher.publish_line(event))
