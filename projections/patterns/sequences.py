"""Frequent sequences: what people do after what. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

LENGTH_MAX: Final = 5
GAP_MS: Final = 30_000
"""As long as a breath counts for its room: what follows later is no answer any more."""
REACH: Final = 3
"""Two other events may stand between: a gesture among breaths goes on."""
ONE_IN: Final = 10
"""Of the devices that one has to show it; two at least."""
SEQUENCES_MAX: Final = 100
PREFIXES_MAX: Final = 200
"""Kept of each length; bounds the work, and only where more are frequent than anybody reads."""


class FrequentSequence(msgspec.Struct, frozen=True):
    """Types in order, the devices that showed it, their share of all, and at how many events it came to its end."""

    types: list[str]
    devices: int
    share: float
    times: int


class Sequences(msgspec.Struct, frozen=True):
    """Shown by the most devices first. ``complete``: there are no other frequent ones."""

    found: list[FrequentSequence]
    devices: int
    complete: bool


def sequences(times: Integers, devices: Sequence[str], types: Sequence[str]) -> Sequences:
    """Sequences of two to five types that a tenth of the devices show, two devices at least.

    PrefixSpan (Pei et al., "PrefixSpan: mining sequential patterns efficiently by prefix-projected pattern growth",
    2001) with the time constraints of Srikant and Agrawal, "Mining sequential patterns: generalizations and performance
    improvements", 1996: each step is one of the device's next three events, and at most 30 s later. A prefix is
    projected to all events at which it can end, since the constraints make the first of them too few. Of each length
    the 200 most shown prefixes grow on.
    """
    names, device = np.unique(np.array(devices, dtype=np.str_), return_inverse=True)
    alphabet, kind = np.unique(np.array(types, dtype=np.str_), return_inverse=True)
    order = np.lexsort((np.arange(len(times)), times, device))
    at, device, kind = times[order], device[order], kind[order]
    least = max(2, -(-len(names) // ONE_IN))
    steps = [(device[n:] == device[:-n]) & (at[n:] - at[:-n] <= GAP_MS) for n in range(1, min(REACH, len(at) - 1) + 1)]
    found: list[_Frequent] = []
    grown = _Grown(kind, device, len(alphabet), len(names), least)
    level = grown.by((), np.ones(len(at), dtype=bool))
    complete = True
    for _ in range(LENGTH_MAX - 1):
        longer: list[_Prefix] = []
        for (_, _, prefix), reached in level:
            longer += grown.by(prefix, _next(reached & (kind == prefix[-1]), steps))
        longer.sort(key=lambda one: _rank(one[0]))
        complete = complete and len(longer) <= PREFIXES_MAX
        level = longer[:PREFIXES_MAX]
        found += [frequent for frequent, _ in level]
    found.sort(key=_rank)
    best = [
        FrequentSequence([str(alphabet[one]) for one in prefix], shown, shown / len(names), ended)
        for shown, ended, prefix in found[:SEQUENCES_MAX]
    ]
    return Sequences(best, len(names), complete and len(found) <= SEQUENCES_MAX)


_Frequent = tuple[int, int, tuple[int, ...]]
"""(devices, times, types)"""
_Prefix = tuple[_Frequent, Booleans]
"""With the events at which it ends, and others of other types: what its shorter prefix can be followed by."""


def _rank(one: _Frequent) -> tuple[int, int, tuple[int, ...]]:
    return -one[0], -one[1], one[2]


class _Grown(NamedTuple):
    """Events as columns, ordered by device and time; ``least``: devices that make a sequence frequent."""

    kind: Integers
    device: Integers
    kinds: int
    devices: int
    least: int

    def by(self, prefix: tuple[int, ...], reached: Booleans) -> list[_Prefix]:
        """The prefix with one type more, for each type with which it is still frequent."""
        codes = self.kind[reached] * self.devices + self.device[reached]
        table = np.bincount(codes, minlength=self.kinds * self.devices).reshape(self.kinds, self.devices)
        shown, times = np.count_nonzero(table, axis=1).tolist(), table.sum(axis=1).tolist()
        enough = [kind for kind in range(self.kinds) if shown[kind] >= self.least]
        return [((shown[kind], times[kind], (*prefix, kind)), reached) for kind in enough]


def _next(ends: Booleans, steps: list[Booleans]) -> Booleans:
    """Events that can follow one of ``ends``."""
    reached = np.zeros(len(ends), dtype=bool)
    for n, allowed in enumerate(steps, 1):
        reached[n:] |= ends[:-n] & allowed
    return reached
