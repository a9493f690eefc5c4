"""Work that is done by a few at a time while others wait, and no more of these than can be told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from projections.gateway.problems import Problem


class Turns:
    """At most ``at_once`` at work and ``waiting`` in line; whoever comes then is told to come again."""

    def __init__(self, what: str, at_once: int, waiting: int) -> None:
        self._what = what
        self._places = at_once + waiting
        self._turn = asyncio.Semaphore(at_once)
        self._taken = 0

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """One turn; raises Problem (503) at once when the line is full."""
        if self._taken >= self._places:
            raise Problem(503, "busy", f"{self._places} {self._what} are asked for already", retry_after_s=1)
        self._taken += 1
        try:
            async with self._turn:
                yield
        finally:
            self._taken -= 1
