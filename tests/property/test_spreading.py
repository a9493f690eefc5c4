"""Law 4: workers, shards and partitions change nothing in the merged field."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.fold.rules import Rules
from tests.property.adapter import differences, plain_reading, plain_tables, play
from tests.property.profile import law
from tests.property.strategies import World, split, worlds


@law
@given(worlds(honest=False), st.integers(1, 4), st.integers(1, 8), st.sampled_from((0, 30_001, 241_000)))
def test_any_number_of_partitions_and_shards_reads_the_same(
    world: World, partitions: int, shards: int, after: int
) -> None:
    rules = Rules(**world.rules)
    at = world.watermark + after
    records = split(world.arrivals, [3])
    one, many = play(records, rules, 1, 1), play(records, rules, partitions, shards)
    assert not differences(plain_tables(many.values(), rules), plain_tables(one.values(), rules))
    assert not differences(plain_reading(many.views(), at, rules), plain_reading(one.views(), at, rules))


@law
@given(worlds(honest=False), st.integers(1, 4), st.integers(1, 8))
def test_digests_of_what_belongs_to_one_key_are_the_same(world: World, partitions: int, shards: int) -> None:
    """particles and quantum_fields are cut by shard, opt_outs stand in each shard: those have the test above."""
    rules = Rules(**world.rules)
    records = split(world.arrivals, [3])
    one, many = play(records, rules, 1, 1).digest(), play(records, rules, partitions, shards).digest()
    for table in ("resonance", "rooms", "entanglements", "sequences"):
        assert many[table] == one[table], table
