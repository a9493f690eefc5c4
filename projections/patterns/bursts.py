"""Bursts: stretches in which more happens than elsewhere. Pure."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

RATIO: Final = 2.0
"""A burst happens at twice the mean rate at least: less is not noticed in a room."""
COST: Final = 2.0
"""With 1, as in the paper, about one burst is found in moments at random; with 2 about one in n such sets."""
BURSTS_MAX: Final = 100


class Burst(msgspec.Struct, frozen=True):
    """From its first to its last event (ms). ``rate``: events in it by those that the mean rate would bring.

    ``weight``: by how much (natural logarithm) its gaps speak for the high rate.
    """

    start: int
    end: int
    events: int
    rate: float
    weight: float


def bursts(times: Integers) -> list[Burst]:
    """The bursts, at most the ``BURSTS_MAX`` weightiest, in order of time; none when all happens at once.

    The automaton of two states of Kleinberg, "Bursty and hierarchical structure in streams", 2002: gaps between events
    are exponential with the mean rate a, or in a burst with RATIO x a; to enter a burst costs COST x ln(number of
    gaps), to leave it nothing; the sequence of states with the least cost (sum of -ln density, and entries) is found
    by dynamic programming, O(n). It begins outside.
    """
    moments = np.sort(times)
    gaps = np.diff(moments).astype(np.float64)
    count = len(gaps)
    if count < 2 or moments[-1] == moments[0]:
        return []
    mean = float(gaps.mean())
    gains = math.log(RATIO) - (RATIO - 1) * gaps / mean
    found = []
    for first, last in _stretches(_states(gains.tolist(), COST * math.log(count))):
        start, end = int(moments[first]), int(moments[last])
        expected = (end - start) / mean
        rate = (last - first) / expected if expected else float(last - first)
        found.append(Burst(start, end, last - first + 1, rate, float(gains[first:last].sum())))
    found = sorted(found, key=lambda burst: -burst.weight)[:BURSTS_MAX]
    return sorted(found, key=lambda burst: burst.start)


def _states(gains: list[float], entry: float) -> list[bool]:
    """For each gap: is it in a burst? ``gains``: what being in one saves there."""
    outside, inside = 0.0, -math.inf  # what is saved at best up to here, by the state of the last gap
    entered: list[bool] = []  # the best way inside at this gap comes from outside
    left: list[bool] = []
    for gain in gains:
        enters, leaves = outside - entry >= inside, inside > outside
        entered.append(enters)
        left.append(leaves)
        outside, inside = max(outside, inside), gain + (outside - entry if enters else inside)
    states = [False] * len(gains)
    state = inside > outside
    for place in range(len(gains) - 1, -1, -1):
        states[place] = state
        state = not entered[place] if state else left[place]
    return states


def _stretches(states: list[bool]) -> list[tuple[int, int]]:
    """(first event, last event) of every run of gaps inside."""
    found, start = [], None
    for place, state in enumerate([*states, False]):
        if state and start is None:
            start = place
        elif not state and start is not None:
            found.append((start, place))
            start = None
    return found
