"""Patterns in what is stored: rhythm, bursts, synchrony, frequent sequences, trend. Pure.

Each is a known method; definition and source stand at its function. Times are epoch milliseconds. ``EVENTS_MAX`` bounds
what each of them is given; who has more gives the newest, and says so.
"""

from typing import Final

from projections.patterns.bursts import Burst, bursts
from projections.patterns.rhythm import Rhythm, rhythm
from projections.patterns.sequences import Sequences, sequences
from projections.patterns.synchrony import Breath, Synchrony, synchrony
from projections.patterns.trend import Trend, means, trend

__all__ = [
    "EVENTS_MAX", "Breath", "Burst", "Rhythm", "Sequences", "Synchrony", "Trend",
    "bursts", "means", "rhythm", "sequences", "synchrony", "trend",
]  # fmt: skip

EVENTS_MAX: Final = 20_000
"""All patterns of so many take about a second of one core."""
