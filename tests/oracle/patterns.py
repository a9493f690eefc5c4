"""Patterns by the words of their definitions, by trying everything: for small inputs only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def least_cost(gaps: Sequence[float], ratio: float, entry: float) -> float:
    """Cost of the best sequence of states (Kleinberg's two-state automaton), of all there are."""
    rates = (len(gaps) / sum(gaps), ratio * len(gaps) / sum(gaps))
    return min(cost(gaps, states, rates, entry) for states in itertools.product((0, 1), repeat=len(gaps)))


def cost(gaps: Sequence[float], states: Sequence[int], rates: tuple[float, float], entry: float) -> float:
    total, before = 0.0, 0
    for gap, state in zip(gaps, states, strict=True):
        total += rates[state] * gap - math.log(rates[state]) + (entry if state > before else 0.0)
        before = state
    return total


def frequent(
    histories: Sequence[Sequence[tuple[int, str]]], length_max: int, reach: int, gap: int, least: int
) -> dict[tuple[str, ...], tuple[int, int]]:
    """(histories, events at which it can end) of every sequence of 2..length_max that so many histories show.

    A history is (time, type) in order; a step goes to one of the next ``reach`` events, at most ``gap`` later.
    """
    seen: dict[tuple[str, ...], set[tuple[int, int]]] = {}
    for number, history in enumerate(histories):
        paths = [(place,) for place in range(len(history))]
        for _ in range(length_max - 1):
            paths = [
                (*path, place)
                for path in paths
                for place in range(path[-1] + 1, min(len(history), path[-1] + reach + 1))
                if history[place][0] - history[path[-1]][0] <= gap
            ]
            for path in paths:
                types = tuple(history[place][1] for place in path)
                seen.setdefault(types, set()).add((number, path[-1]))
    shown = {types: (len({number for number, _ in ends}), len(ends)) for types, ends in seen.items()}
    return {types: counts for types, counts in shown.items() if counts[0] >= least}


def mann_kendall(times: Sequence[float], values: Sequence[float]) -> tuple[int, float, float]:
    """(S, its variance, Sen's slope)."""
    pairs = list(itertools.combinations(range(len(values)), 2))
    s = sum((values[j] > values[i]) - (values[j] < values[i]) for i, j in pairs)
    n = len(values)
    ties = [values.count(value) for value in set(values)] if isinstance(values, list) else []
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18
    slopes = sorted((values[j] - values[i]) / (times[j] - times[i]) for i, j in pairs)
    half = len(slopes) // 2
    slope = slopes[half] if len(slopes) % 2 else (slopes[half - 1] + slopes[half]) / 2
    return s, variance, slope
