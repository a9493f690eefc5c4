"""The dominant rhythm of moments: how often what happens comes back. Pure."""

from __future__ import annotations

import itertools
import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

EVENTS_MIN: Final = 8
CYCLES_MIN: Final = 5
"""What came back less often is no rhythm yet."""
PERIOD_MS_MIN: Final = 500
"""Nobody moves faster, and nobody's clock is much finer."""
SIGNIFICANT: Final = 0.01
BINS_MAX: Final = 1 << 16
"""At least eight bins a period where there are that many: the shortest loses a hundredth of its power."""

_BIN_MS_MIN: Final = PERIOD_MS_MIN / 8
_BINS_A_PERIOD_MIN: Final = 4
_OVERSAMPLING: Final = 4
_BLOCK: Final = 16 * _OVERSAMPLING
_AS_STRONG: Final = 0.8


class Rhythm(msgspec.Struct, frozen=True):
    """``strength`` 0..1: length of the mean of all moments as angles of the period; ``cycles``: periods in the span.

    ``p_value``: how often moments without any rhythm would show one as strong, somewhere.
    """

    period_ms: float
    strength: float
    p_value: float
    significant: bool
    cycles: float
    events: int


def rhythm(times: Integers) -> Rhythm | None:
    """The period that the moments keep best; None for too few, or for a span too short for any.

    The periodogram of a point process (Bartlett, "The spectral analysis of point processes", 1963): power at frequency
    f = |sum of e^(2 pi i f t)|^2 / n, the mean rate taken away, on a grid of frequencies by FFT of counts. Moments that
    keep no rhythm have exponentially distributed power with mean 1 at every frequency; those that come in bursts have
    more of it at low ones, so power is measured in units of its local level (median / ln 2, 1 at least) as in Israel
    and Stella, "A new technique for the detection of periodic signals in colored power spectra", 1996. The p value is
    that of the highest of all powers looked at. A pulse is as strong at all multiples of its frequency: of the peaks
    with at least 0.8 of the highest power the slowest counts. Periods from half a second (or four bins of a long span)
    to a fifth of the span; the best one is refined on the moments themselves.
    """
    n = len(times)
    if n < EVENTS_MIN:
        return None
    moments = (times - times.min()).astype(np.float64)
    span = float(moments.max())
    width = max(span / BINS_MAX, _BIN_MS_MIN)
    shortest = max(float(PERIOD_MS_MIN), _BINS_A_PERIOD_MIN * width)
    if span < CYCLES_MIN * shortest:
        return None
    bins = math.ceil(span / width)
    counts = np.bincount(np.minimum((moments / width).astype(np.int64), bins - 1), minlength=bins)
    size = _OVERSAMPLING * bins
    first, last = math.ceil(CYCLES_MIN * size * width / span), math.floor(size * width / shortest)
    if last - first < 2:
        return None
    spectrum = np.fft.rfft(counts - n / bins, size)[first : last + 1]
    power = np.abs(spectrum) ** 2 / n
    power /= _level(power)
    best = _slowest_peak(power)
    p_value = -math.expm1(len(power) * math.log1p(-math.exp(-max(float(power[best]), 1e-9))))
    frequency, strength = _refined(moments, (first + best) / (size * width), 0.5 / span)
    return Rhythm(1 / frequency, strength, p_value, p_value < SIGNIFICANT, span * frequency, n)


def _level(power: Floats) -> Floats:
    """Local level of noise, from medians of blocks that grow with frequency."""
    edges, width = [0], _BLOCK
    while edges[-1] < len(power):
        rest = len(power) - edges[-1]
        edges.append(edges[-1] + (width if rest >= 2 * width else rest))
        width = width * 3 // 2
    blocks = list(itertools.pairwise(edges))
    medians = [float(np.median(power[low:high])) for low, high in blocks]
    level = np.interp(np.arange(len(power)), [(low + high) / 2 for low, high in blocks], medians)
    return np.maximum(level / math.log(2), 1.0)


def _slowest_peak(power: Floats) -> int:
    padded = np.concatenate(([0.0], power, [0.0]))
    peaks = (power >= padded[:-2]) & (power >= padded[2:]) & (power >= _AS_STRONG * power.max())
    return int(np.argmax(peaks))


def _refined(moments: Floats, frequency: float, reach: float) -> tuple[float, float]:
    """The best frequency nearby, and the strength there."""
    strength = 0.0
    for _ in range(3):
        near = frequency + np.linspace(-reach, reach, 17)
        strengths = [abs(np.exp(2j * np.pi * one * moments).mean()) for one in near]
        best = int(np.argmax(strengths))
        frequency, strength, reach = float(near[best]), float(strengths[best]), reach / 8
    return frequency, strength
