"""Is the worker alive? Lag, and for ``stall_s`` nothing recovered, folded or committed: leave, somebody starts anew.

``Watchdog`` looks at the work, from a task of the event loop; ``Pulse`` looks at the loop, from a thread of its own.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

from streams.errors import StalledError
from streams.settings import Settings

LOOKS: Final = 10
"""So many looks in a row without a beat make ``stall_s``. Looks and not time: a process that slept is not stuck."""


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


class Pulse:
    """Within ``with``, a thread calls ``leave`` with a StalledError when nobody has called ``beat`` for ``stall_s``.

    To be made and used by the thread of the event loop.
    """

    def __init__(self, settings: Settings, leave: Callable[[StalledError], object]) -> None:
        self._settings = settings
        self._leave = leave
        self._beaten = True
        self._missed = 0
        self._loop_thread = threading.get_ident()
        self._over = threading.Event()

    def beat(self) -> None:
        """The loop has come by."""
        self._beaten = True

    def __enter__(self) -> Pulse:
        threading.Thread(target=self._run, name="pulse", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def look(self) -> StalledError | None:
        """One look of LOOKS in ``stall_s``; the error when that was the last one."""
        self._missed = 0 if self._beaten else self._missed + 1
        self._beaten = False
        if self._missed < LOOKS:
            return None
        return StalledError(
            f"the event loop stands still for {self._settings.stall_s} s, {_place(self._loop_thread)}; leaving, "
            "start again (FIELD_STALL_S)",
            topic=self._settings.events_topic,
            partition=-1,
        )

    def _run(self) -> None:
        while not self._over.wait(self._settings.stall_s / LOOKS):
            error = self.look()
            if error is not None:
                self._leave(error)
                return


class CommitAge:
    """How long something has been waiting for a commit: since it began to wait, or since the last commit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    def seconds(self, waiting: bool, committed_at: float) -> float:
        """To be called from time to time; ``committed_at`` is the clock's time of the last commit."""
        if not waiting:
            self._since = None
            return 0.0
        if self._since is None:
            self._since = self._clock()
        return self._clock() - max(self._since, committed_at)


def _place(thread: int) -> str:
    frame: FrameType | None = sys._current_frames().get(thread)
    if frame is None:
        return "its thread is gone"
    return f"in {frame.f_code.co_name} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
