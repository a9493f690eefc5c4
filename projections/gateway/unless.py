"""Work that is given up when a part is told to end, and work that must not be cut in two.

A store that does not answer must not hold a gateway up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work comes to; None, and the work is given up, when ``stop`` is set before."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Work that goes to its end even when who waits for it is cancelled, who then waits for that.

    So for a client's start: aiokafka 0.14 loses the connection that it has just made when it is cancelled meanwhile.
    """
    working = asyncio.create_task(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.gather(working, return_exceptions=True)
        raise
