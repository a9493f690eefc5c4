"""The patterns of a number of rows, as they are answered. What each is stands in ``projections/patterns``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from projections import patterns
from projections.patterns import EVENTS_MAX, Breath, Burst, Rhythm, Sequences, Synchrony, Trend
from streams.events import BREATH, WEIGHED

KINDS: Final = ("rhythm", "bursts", "synchrony", "sequences", "trend")
BUCKETS: Final = (10, 100)
EVENTS_A_BUCKET: Final = 10
"""So many on the average, where that is possible: counts of fewer are mostly chance."""


class Row(NamedTuple):
    """A row of ``archaeology_patterns``."""

    at: int
    type: str
    device: str
    room: str | None
    intensity: float
    phase: float | None
    rate: float | None


class Window(NamedTuple):
    """The time looked at (ms); ``since`` None: from the first row on."""

    since: int | None
    until: int


class Trends(msgspec.Struct, frozen=True):
    """Over equal buckets: events a minute, and the mean intensity of what has one. null: too few for a trend."""

    bucket_ms: float | None
    events: Trend | None
    intensity: Trend | None


class Patterns(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of the kinds that were asked for; null: too little for one.

    ``cut``: there were more, and these are the newest ``events``; ``first`` and ``last`` of them (ms).
    """

    events: int
    cut: bool
    first: int | None
    last: int | None
    rhythm: Rhythm | UnsetType | None = UNSET
    bursts: list[Burst] | UnsetType = UNSET
    synchrony: Synchrony | UnsetType = UNSET
    sequences: Sequences | UnsetType = UNSET
    trend: Trends | UnsetType = UNSET


def encoded(rows: Sequence[Row], window: Window, kinds: Sequence[str]) -> bytes:
    """``Patterns`` as JSON."""
    return msgspec.json.encode(found(rows, window, kinds))


def found(rows: Sequence[Row], window: Window, kinds: Sequence[str]) -> Patterns:
    """Patterns of rows, newest first; of more than ``EVENTS_MAX`` the newest count."""
    cut = len(rows) > EVENTS_MAX
    rows = rows[:EVENTS_MAX][::-1]
    times = np.array([row.at for row in rows], dtype=np.int64)
    answer = Patterns(len(rows), cut, rows[0].at if rows else None, rows[-1].at if rows else None)
    if "rhythm" in kinds:
        answer = _with(answer, rhythm=patterns.rhythm(times))
    if "bursts" in kinds:
        answer = _with(answer, bursts=patterns.bursts(times))
    if "synchrony" in kinds:
        breaths = (
            Breath(row.at, row.room, row.device, row.phase, row.rate)
            for row in rows
            if row.type == BREATH and row.room is not None and row.phase is not None
        )
        answer = _with(answer, synchrony=patterns.synchrony(breaths))
    if "sequences" in kinds:
        sequences = patterns.sequences(times, [row.device for row in rows], [row.type for row in rows])
        answer = _with(answer, sequences=sequences)
    if "trend" in kinds:
        since = times[0] if rows and (cut or window.since is None) else window.since or 0
        answer = _with(answer, trend=trends(rows, int(since), window.until))
    return answer


def trends(rows: Sequence[Row], since: int, until: int) -> Trends:
    """Of rows in ``since``..``until``; with fewer than two events a bucket there is none."""
    buckets = min(BUCKETS[1], max(BUCKETS[0], len(rows) // EVENTS_A_BUCKET))
    if len(rows) < 2 * BUCKETS[0] or until - since < buckets:
        return Trends(None, None, None)
    times = np.array([row.at for row in rows], dtype=np.int64)
    middles, counts, _ = patterns.means(times, np.zeros(len(times)), since, until, buckets)
    bucket_ms = (until - since) / buckets
    felt = [(row.at, row.intensity) for row in rows if row.type in WEIGHED]
    intensity = None
    if felt:
        when, strong = np.array([at for at, _ in felt], dtype=np.int64), np.array([one for _, one in felt])
        _, heard, averages = patterns.means(when, strong, since, until, buckets)
        intensity = patterns.trend(middles[heard > 0], averages[heard > 0])
    return Trends(bucket_ms, patterns.trend(middles, counts.astype(np.float64) * (60_000 / bucket_ms)), intensity)


def _with(answer: Patterns, **more: Rhythm | list[Burst] | Synchrony | Sequences | Trends | None) -> Patterns:
    return msgspec.structs.replace(answer, **more)
