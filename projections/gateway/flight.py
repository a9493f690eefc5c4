"""One load at a time, however many ask for it; and a store that has just failed is left alone for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")
REST_S: Final = 1.0
"""A store that did not answer is asked again after this: else every reader would wait for it."""


class Flight(Generic[T]):
    """Whoever comes while a load is under way gets its outcome."""

    def __init__(self, load: Callable[[], Awaitable[T]]) -> None:
        self._load = load
        self._task: asyncio.Task[T] | None = None

    def join(self) -> asyncio.Task[T]:
        """The load under way, or a new one. Await it shielded: others do, too."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
            self._task.add_done_callback(_heard)
        return self._task

    def stop(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> T:
        return await self._load()


class Rest:
    """Whether a store may be asked."""

    def __init__(self) -> None:
        self._until_s = 0.0

    @property
    def resting(self) -> bool:
        return time.monotonic() < self._until_s

    def failed(self) -> None:
        self._until_s = time.monotonic() + REST_S

    def answered(self) -> None:
        self._until_s = 0.0


def _heard(task: asyncio.Task[T]) -> None:
    """Its error may have nobody left to hear it."""
    if not task.cancelled():
        task.exception()
