"""The definition itself keeps laws 3 and 5: else no fold of it could."""

from __future__ import annotations

from hypothesis import given

from tests.oracle import Constants, Oracle, tables
from tests.property.profile import law
from tests.property.strategies import World, worlds


@law
@given(worlds(honest=True))
def test_order_and_second_delivery_change_nothing_in_the_oracle(world: World) -> None:
    constants = Constants(**world.rules)
    wanted = tables(Oracle.of(world.arrivals, constants))
    assert tables(Oracle.of(world.others, constants)) == wanted
    assert tables(Oracle.of(world.arrivals + world.others, constants)) == wanted
