"""What a run gives, whether it counts, and what several runs come to. Pure."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from typing import Any

MEASURES = (
    "events_per_s",
    "committed_per_s",
    "cpu_s_per_million",
    "rss_mb",
    "changelog_rows_per_event",
    "changelog_bytes_per_event",
    "checkpoint_bytes_per_event",
    "other_bytes_per_event",
)
SUM_TOLERANCE = 1e-9
SHARE_MIN = 0.6
"""Of the events that must have been folded by all processes together; what is measured is that share."""


@dataclass
class Run:
    """One run of one row. Times count from the first to the last event; ``committed`` until all of it is durable.

    ``cpu_s`` of all its processes in that time, ``rss_mb`` their highest, added. ``count``: events in the state that it
    ended with, ``sum_r`` the sum of the simple fold. ``changelog``: payload of what it wrote into Kafka to recover from
    (rows, bytes), ``checkpoint_bytes`` of files, ``other_bytes`` what else it wrote. None: does not apply.
    """

    events: int
    wall_s: float
    cpu_s: float
    count: int
    rss_mb: float = 0.0
    load_average: float = 0.0
    sum_r: float | None = None
    committed_s: float | None = None
    changelog_rows: int | None = None
    changelog_bytes: int | None = None
    checkpoint_bytes: int | None = None
    other_bytes: int | None = None
    problem: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def measures(self) -> dict[str, float | None]:
        """``MEASURES`` of this run."""

        def each(value: float | None) -> float | None:
            return None if value is None else value / self.events

        return {
            "events_per_s": self.events / self.wall_s,
            "committed_per_s": self.events / self.committed_s if self.committed_s else None,
            "cpu_s_per_million": self.cpu_s / self.events * 1e6,
            "rss_mb": self.rss_mb,
            "changelog_rows_per_event": each(self.changelog_rows),
            "changelog_bytes_per_event": each(self.changelog_bytes),
            "checkpoint_bytes_per_event": each(self.checkpoint_bytes),
            "other_bytes_per_event": each(self.other_bytes),
        }

    def plain(self) -> dict[str, Any]:
        return asdict(self) | (self.measures() if not self.problem else {})


def failed(problem: str, load_average: float) -> Run:
    """A run that gave no figures."""
    return Run(0, 0.0, 0.0, 0, load_average=load_average, problem=problem)


def problem(run: Run, events: int, expected_sum: float | None) -> str:
    """Why a run is INVALID, empty if it is not: every event is in the state once, and the fold is right."""
    if run.problem:
        return run.problem
    if run.events != events:
        return f"{run.events:,} events processed of {events:,}"
    if run.count != events:
        return f"{run.count:,} events in the state of {events:,}"
    known = run.sum_r is not None and expected_sum is not None
    if known and not math.isclose(run.sum_r or 0.0, expected_sum or 0.0, rel_tol=SUM_TOLERANCE):
        return f"the sum of r is {run.sum_r:.9f}, not {expected_sum:.9f}"
    if (share := run.details.get("measured_share", 1.0)) < SHARE_MIN:
        return f"only {share:.0%} was folded by all processes together: it takes more events"
    if not (run.wall_s > 0 and math.isfinite(run.wall_s)):
        return "no time was measured: it takes more events"
    return ""


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summaries(runs: Sequence[Run]) -> dict[str, dict[str, float] | None]:
    """``MEASURES`` over the runs that count; None where none of them has it."""
    measured = [run.measures() for run in runs if not run.problem]
    found: dict[str, dict[str, float] | None] = {}
    for name in MEASURES:
        values = [value for one in measured if (value := one[name]) is not None]
        found[name] = summary(values) if values else None
    return found


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Nearest rank; None for no values."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return {"p50": at(0.5), "p99": at(0.99)}


def delays_ms(
    steps: Sequence[tuple[float, int]], numbers: Sequence[int] | None, sent_s: Callable[[int], float], since: int
) -> list[float]:
    """How long after it was sent each event from ``since`` on was first seen to be done.

    ``steps``: at this time (s) so many were done, as looked at from outside. ``numbers``: the events of a partition in
    the order of its log, rising; None: all events in order. ``sent_s``: when event n was sent.
    """
    found: list[float] = []
    done = 0
    start = since if numbers is None else bisect_right(numbers, since - 1)
    for at, now in steps:
        for place in range(max(done, start), now):
            number = place if numbers is None else numbers[place]
            found.append((at - sent_s(number)) * 1000)
        done = max(done, now)
    return found


def by_name(text: str) -> list[tuple[str, str, float]]:
    """A page of metrics: name, labels as they stand, value."""
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name, _, labels = series.partition("{")
            found.append((name, labels.rstrip("}"), float(value)))
    return found


def total(page: Sequence[tuple[str, str, float]], name: str, labels: str = "") -> float:
    """The sum of a metric over the series whose labels contain that text; 0 for none."""
    return sum(value for one, found, value in page if one == name and labels in found)


def best(rows: Sequence[Mapping[str, Any]], patterns: Sequence[str]) -> float | None:
    """The highest median of events/s among the valid rows with such names; None for none."""
    found = [
        row["figures"]["events_per_s"]["median"]
        for row in rows
        if row["valid"] and any(fnmatch(row["name"], pattern) for pattern in patterns)
    ]
    return max(found, default=None)
