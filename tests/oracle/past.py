"""The recorded conference at moments of the past, counted row by row straight from its file.

A row is two targeted touches of intensity one half (weight 2) in hall (i + j) mod 8: see ``contacts``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from tests.oracle.contacts import third_within

SILENCE_S, FADED_S, SEATS, HALLS, SLOTS, REST = 300, 240, 64, 8, 60, 10
Row = tuple[int, int, int]


class Conference:
    """All that was said so far."""

    def __init__(self) -> None:
        self.weights: Counter[int] = Counter()
        """slot of ten seconds -> weight of the touches in it"""
        self.heard: dict[str, dict[str, int]] = defaultdict(dict)
        """hall -> badge -> last second"""
        self.seconds: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.established: dict[tuple[str, str], int] = {}

    def hear(self, row: Row) -> None:
        t, i, j = row
        badges = (f"badge-{i}", f"badge-{j}")
        self.weights[t // 10] += 4
        self.heard[f"hall-{(i + j) % HALLS}"].update(dict.fromkeys(badges, t))
        pair = (min(badges), max(badges))
        if self.seconds[pair][-1:] != [t]:
            self.seconds[pair].append(t)
        third = third_within(self.seconds[pair][-3:], 60)
        if third is not None:
            self.established.setdefault(pair, third)

    def read(self, at: int) -> dict[str, Any]:
        """What everybody must see at ``at`` ms."""
        felt = weight = 0.0
        for slot, touched in self.weights.items():
            age = at // 10_000 - slot
            if 0 <= age < SLOTS:
                felt += 0.5 ** (age / 6) * touched * 0.5
                weight += 0.5 ** (age / 6) * touched
        near = {hall: {b for b, t in badges.items() if self._near(t, at)} for hall, badges in self.heard.items()}
        return {
            "global_resonance": (REST * 0.5 + felt) / (REST + weight),
            "active_nodes": len({badge for badges in near.values() for badge in badges}),
            "rooms": {hall: (len(badges), min(len(badges), SEATS)) for hall, badges in near.items() if badges},
            "pairs": {
                pair: (second, self.seconds[pair][-1], at / 1000 - self.seconds[pair][-1] <= FADED_S)
                for pair, second in self.established.items()
            },
        }

    @staticmethod
    def _near(t: int, at: int) -> bool:
        return at - t * 1000 <= SILENCE_S * 1000


def moments(rows: Iterable[Row], wanted: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(moment in ms, what was to be seen at it) for each moment, rising; ``rows`` rising by time."""
    conference, rest = Conference(), sorted(rows, reverse=True)
    for at in sorted(set(wanted)):
        while rest and rest[-1][0] * 1000 <= at:
            conference.hear(rest.pop())
        yield at, conference.read(at)
