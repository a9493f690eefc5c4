"""What the Python programs of the peers share: their settings, and the line that they end with."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable

BROKER = os.environ["BROKER"]
TOPIC = os.environ["TOPIC"]
RUN_ID = os.environ["RUN_ID"]
FOLDER = os.environ["FOLDER"]
EVENTS = int(os.environ["EVENTS"])
PACED = os.environ.get("PACED") == "1"

Device = tuple[int, float, float, float, int]
"""The simple fold: count, r, last x and y, last time (epoch ms)."""


def folded(device: Device | None, event: dict) -> Device:
    """One event more."""
    count, r = (device[0], device[1]) if device else (0, 0.0)
    place = event["position"]
    return count + 1, 0.9 * r + 0.1 * event["intensity"], place["x"], place["y"], event["timestamp"]


class Watch:
    """First and last event, and in a paced run how late the events of the second half are folded."""

    def __init__(self) -> None:
        self.seen = 0
        self.late: list[float] = []
        self.begun = self.ended = self.cpu_begun = self.cpu_ended = 0.0

    def event(self, timestamp: int) -> bool:
        """Count one; True for the last."""
        self.seen = number = self.seen + 1
        if number == 1:
            self.begin()
        if PACED and number > EVENTS // 2 and number % 16 == 0:
            self.late.append(time.time() * 1000 - timestamp)
        if number == EVENTS:
            self.end()
            return True
        return False

    def begin(self) -> None:
        self.cpu_begun, self.begun = time.process_time(), time.perf_counter()
        if PACED:
            say("READY")

    def end(self) -> None:
        self.ended, self.cpu_ended = time.perf_counter(), time.process_time()

    def report(self, devices: Iterable[Device] | None = None, *, committed: bool = False, **more: object) -> None:
        """Print the line; ``devices`` is the state, the proof that it holds every event; None: there is none."""
        result: dict[str, object] = {
            "events": self.seen,
            "wall_s": self.ended - self.begun,
            "cpu_s": self.cpu_ended - self.cpu_begun,
            "count": self.seen,
            "sum_r": None,
            "committed_s": time.perf_counter() - self.begun if committed else None,
        } | more
        if devices is not None:
            rows = list(devices)
            result |= {"count": sum(row[0] for row in rows), "sum_r": sum(row[1] for row in rows)}
        if self.late:
            ordered = sorted(self.late)
            result["folded_ms"] = {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100]}
        say("RESULT " + json.dumps(result))


def say(line: str) -> None:
    """A line on the true stdout: some engines put a log in the place of ``sys.stdout``."""
    os.write(1, (line + "\n").encode())
