"""The fold against the oracle: all tables, and readings at several T."""

from __future__ import annotations

import dataclasses

from hypothesis import given

from streams.fold.rules import Rules
from tests.oracle import Constants, Oracle
from tests.property.adapter import against_oracle, play
from tests.property.profile import law
from tests.property.strategies import World, split, worlds

AFTER_MS = (0, 1, 30_000, 30_001, 241_000, 300_001, 601_000)
"""How long after the watermark the field is read."""


@law
@given(worlds(honest=False))
def test_fold_equals_the_oracle(world: World) -> None:
    oracle = Oracle.of(world.arrivals, Constants(**world.rules))
    played = play(split(world.arrivals, [3]), Rules(**world.rules))
    assert not against_oracle(played, oracle, [world.watermark + after for after in AFTER_MS])


def test_constants_written_twice_are_the_same() -> None:
    assert dataclasses.asdict(Constants()) == dataclasses.asdict(Rules())
