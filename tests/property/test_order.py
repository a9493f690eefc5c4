"""Law 5: order changes nothing while nothing is L or more, or 64 numbers, out of its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.fold.rules import Rules
from tests.property.adapter import play
from tests.property.profile import law
from tests.property.strategies import World, split, worlds


@law
@given(worlds(honest=True), st.sampled_from((1, 2, 7, 60)))
def test_order_of_arrival_changes_nothing(world: World, size: int) -> None:
    rules = Rules(**world.rules)
    assert play(split(world.others, [size]), rules).digest() == play(split(world.arrivals, [1]), rules).digest()


@law
@given(worlds(honest=True), st.permutations(("a", "b", "c", "d", "e", "f")))
def test_order_between_keys_changes_nothing(world: World, turns: tuple[str, ...]) -> None:
    """Keys are on their own: one may be read to its end before another one begins."""
    rules = Rules(**world.rules)
    opts = [event for event in world.arrivals if event.type.startswith("OPT_")]
    others = [event for event in world.arrivals if not event.type.startswith("OPT_")]
    by_key = sorted(others, key=lambda event: (sum(map(ord, event.key)) + turns.index("a")) % 7)
    assert play(split(opts + by_key, [3]), rules).digest() == play(split(world.arrivals, [3]), rules).digest()
