"""Bad input of every kind among good: the state is the oracle's, the dead letters are exactly what was injected."""

from __future__ import annotations

from tests.faults.measures import note
from tests.faults.scenarios import Place
from tests.faults.scenarios.bad_input import bad_input


async def test_bad_input_is_put_aside_and_nothing_else(place: Place) -> None:
    note("bad input", **await bad_input(place))
