"""What a process answers beside its metrics: is it alive, is it ready, and if not, what it waits for.

``/health/live``   200; 503 when the event loop has not come by for FIELD_STALL_S although it was asked to
``/health/ready``  200 when the process does its work; 503 with the reason while it starts, recovers or waits for a part
``/health``        both, as JSON, always 200

A worker that recovers for minutes is alive and not ready; one whose loop stands still is neither. The gateway answers
``/api/health/live`` and ``/api/health/ready`` on the port that it serves, from the very loop that serves.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from streams.settings import Settings

Waits = Callable[[], str]
"""What the process waits for before it does its work; empty: for nothing. Called by the thread that answers."""
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

STATUS: Final = {True: "200 OK", False: "503 Service Unavailable"}


class Health:
    """Asks the event loop, when somebody asks us: a probe every few seconds is what makes it look."""

    def __init__(self, role: str, stall_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._role = role
        self._stall_s = stall_s
        self._clock = clock
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waits: Waits = lambda: "starts"
        self._asked_at: float | None = None

    def watch(self, loop: asyncio.AbstractEventLoop, waits: Waits) -> None:
        """From now on ``loop`` is asked whether it comes by, and ``waits`` whether the work is done."""
        with self._lock:
            self._loop, self._waits, self._asked_at = loop, waits, None

    def alive(self) -> bool:
        """Whether the loop has answered what it was asked ``stall_s`` ago; asks it once more when it has."""
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                return True  # it starts, or has stopped and ends
            now = self._clock()
            if self._asked_at is None:
                self._asked_at = now
                self._loop.call_soon_threadsafe(self._answered)
            return now - self._asked_at < self._stall_s

    def waits_for(self) -> str:
        """Why it is not ready; empty when it is."""
        return self._waits()

    def beside(self, metrics: Any) -> Wsgi:
        """An application that answers the paths above, and ``metrics`` (another one) the rest."""

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path not in ("/health", "/health/live", "/health/ready"):
                found: Iterable[bytes] = metrics(environ, start)
                return found
            alive, waits = self.alive(), self.waits_for()
            well = {"/health/live": alive, "/health/ready": alive and not waits}.get(path, True)
            told = {"role": self._role, "alive": alive, "ready": alive and not waits, "waits_for": waits}
            body = json.dumps(told).encode() + b"\n"
            start(STATUS[well], [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
            return [body]

        return answer

    def _answered(self) -> None:
        with self._lock:
            self._asked_at = None


def of(role: str, settings: Settings) -> Health:
    """The health of a process that begins now."""
    return Health(role, settings.stall_s)
