"""Trend: does something rise or fall over time, and how fast? Pure."""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

POINTS_MIN: Final = 4
POINTS_MAX: Final = 500
"""All pairs are looked at."""
SIGNIFICANT: Final = 0.01
HOUR_MS: Final = 3_600_000


class Trend(msgspec.Struct, frozen=True):
    """``slope``: by the hour; ``tau`` -1..1: pairs that rise less pairs that fall, by all pairs.

    ``p_value``: how often values in random order would have a trend as clear, up or down.
    """

    direction: Literal["rising", "falling", "none"]
    slope: float
    tau: float
    p_value: float
    points: int


def trend(times: Integers, values: Floats) -> Trend | None:
    """The trend of values at strictly rising times; None for fewer than ``POINTS_MIN``.

    Mann, "Nonparametric tests against trend", 1945, and Kendall, "Rank correlation methods", 1975: S = pairs of points
    that rise less those that fall; without a trend S is about normal with variance (n(n-1)(2n+5) - sum over groups of
    equal values t(t-1)(2t+5)) / 18, and z is S, one nearer to 0, by its deviation. The slope is that of Sen, "Estimates
    of the regression coefficient based on Kendall's tau", 1968: the median of the slopes of all pairs. The values are
    taken to be independent of each other: where each drags the next along, the p value is too small.
    """
    n = len(times)
    if n < POINTS_MIN:
        return None
    if n > POINTS_MAX or n != len(values) or np.any(np.diff(times) <= 0):
        raise ValueError(f"{POINTS_MAX} values at most, at rising times")
    earlier, later = np.triu_indices(n, 1)
    rises = values[later] - values[earlier]
    s = int(np.sign(rises).sum())
    slope = float(np.median(rises / (times[later] - times[earlier]))) * HOUR_MS
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    z = (s - math.copysign(1, s)) / math.sqrt(variance) if s else 0.0
    p_value = math.erfc(abs(z) / math.sqrt(2))
    clear = p_value < SIGNIFICANT
    direction: Literal["rising", "falling", "none"] = "none" if not clear else "rising" if s > 0 else "falling"
    return Trend(direction, slope, s / len(rises), p_value, n)


def means(times: Integers, values: Floats, start: int, end: int, buckets: int) -> tuple[Integers, Integers, Floats]:
    """(middles, counts, mean values) of equal buckets of ``start``..``end`` (ms, inclusive); NaN is the mean of none.

    Buckets of one length: a last one that is shorter would count less, and look like a fall.
    """
    width = max(1.0, (end - start) / buckets)
    place = np.clip(((times - start) / width).astype(np.int64), 0, buckets - 1)
    counts = np.bincount(place, minlength=buckets)
    sums = np.bincount(place, values, minlength=buckets)
    middles = (start + (np.arange(buckets) + 0.5) * width).astype(np.int64)
    return middles, counts, np.divide(sums, counts, out=np.full(buckets, np.nan), where=counts > 0)
