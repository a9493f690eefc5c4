"""The independent verifier against the fold: equal digests of every world, in every form of its records."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import wire
from streams.events import OPTS, Event
from streams.fold import digest as digests
from streams.fold.rules import Rules
from tests.property.adapter import Field, play
from tests.property.profile import law
from tests.property.strategies import ROW_BYTES, World, made, split, worlds
from tests.verifying import verified

WIRES: tuple[Callable[[list[Event]], bytes], ...] = (wire.encode_batch, wire.encode_frame)


def differing(played: Field, rules: dict[str, int], form: Callable[[list[Event]], bytes]) -> str:
    """The rows that only one of the two has; empty when the digests are equal."""
    logs = [[form(list(share)) for share in records if share] for records in played.records]
    rows, ours = verified(logs, rules)
    values = played.values()
    theirs = digests.digest(values, played.rules)
    if ours == theirs:
        return ""
    told = [f"{table}: digests differ" for table in theirs if ours[table] != theirs[table]]
    for table, fold_rows in digests.tables(values, played.rules).items():
        verifier_rows = {json.dumps(row, sort_keys=True) for row in rows[table]}
        plain = {json.dumps(row, sort_keys=True) for row in fold_rows}
        told += [f"{table}: only the verifier has {row}" for row in sorted(verifier_rows - plain)]
        told += [f"{table}: only the fold has {row}" for row in sorted(plain - verifier_rows)]
    return "\n".join(told)


@law
@given(worlds(honest=False), st.sampled_from(WIRES), st.sampled_from((1, 3)))
def test_the_verifier_has_the_digests_of_the_fold(
    world: World, form: Callable[[list[Event]], bytes], partitions: int
) -> None:
    played = play(split(world.arrivals, [3]), Rules(**world.rules), partitions)
    assert not differing(played, world.rules, form)


@law
@given(worlds(honest=False), st.integers(0, 2**20))
def test_toggles_that_come_after_what_they_are_about(world: World, seed: int) -> None:
    """OPT_OUT and OPT_IN are never late: both fold the same of what was final by then."""
    chance, arrivals = Random(seed), list(world.arrivals)
    for event in [event for event in arrivals if event.type in OPTS]:
        at = arrivals.index(event)
        del arrivals[at]
        arrivals.insert(chance.randint(at, len(arrivals)), event)
    played = play(split(arrivals, [1, 2]), Rules(**world.rules), 2)
    assert not differing(played, world.rules, wire.encode_batch)


OTHER = {"weight_bloom": 6, "silence_ms": 5_000, "seats": 1, "echo_window_s": 5, "lateness_ms": 500, "particles": 3}


@pytest.mark.parametrize("name", OTHER)
def test_another_constant_is_another_digest(name: str) -> None:
    """So the laws above can fail."""
    source = Random(1)
    for _ in range(100):
        world = made(source.randbytes(8), [source.randbytes(ROW_BYTES) for _ in range(60)], {}, False)
        if differing(play([world.arrivals], Rules()), {name: OTHER[name]}, wire.encode_batch):
            return
    raise AssertionError(f"nobody saw {name}")
