"""Waiting for a part that does not answer: longer each time, cut short when the process is to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from streams import metrics
from streams.settings import Settings

log = logging.getLogger(__name__)

FIRST_S: Final = 0.2
LONGEST_S: Final = 5.0


def log_of(settings: Settings) -> str:
    """The part that keeps log and state."""
    return "sqlite" if settings.parts == "embedded" else "kafka"


class Backoff:
    """One for each thing that is tried again. ``part`` (kafka, postgres, redis, sqlite) names the metric."""

    def __init__(self, part: str, stop: asyncio.Event) -> None:
        self._part = part
        self._stop = stop
        self._delay_s = 0.0

    def answered(self) -> None:
        """The part answers: the next wait is a short one again."""
        if self._delay_s:
            log.info("%s answers again", self._part)
        self._delay_s = 0.0
        metrics.PART_UP.labels(self._part).set(1)

    async def failed(self, error: BaseException) -> None:
        """Log the first failure and every one at the longest delay; wait."""
        metrics.PART_UP.labels(self._part).set(0)
        if self._delay_s in (0.0, LONGEST_S):
            log.warning("%s does not answer, trying again: %r", self._part, error)
        self._delay_s = min(LONGEST_S, self._delay_s * 2 or FIRST_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._delay_s)
