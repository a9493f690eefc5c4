"""Is the worker alive? Lag, and for ``stall_s`` nothing recovered, folded or committed: leave, somebody starts anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from streams.errors import StalledError
from streams.settings import Settings


class Watchdog:
    """``look`` from time to time with what has happened so far."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._progress: Any = None
        self._since = clock()
        self._lag_then = 0

    def look(self, progress: Any, lags: Mapping[int, int]) -> None:
        """``progress`` is anything that changes with every step forward, ``lags`` records by partition.

        Raises StalledError when it did not change for ``stall_s`` although there was work, which did not shrink.
        """
        lag = sum(lags.values())
        if progress != self._progress or lag == 0 or lag < self._lag_then:
            self._progress, self._since, self._lag_then = progress, self._clock(), lag
            return
        silent_s = self._clock() - self._since
        if silent_s >= self._settings.stall_s:
            raise StalledError(
                f"{lag} records wait and nothing was folded or committed for {silent_s:.0f} s; leaving, start again",
                topic=self._settings.events_topic,
                partition=max(lags, key=lambda partition: lags[partition]),
            )
