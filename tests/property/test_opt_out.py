"""Who opts out is gone, whenever the word arrives: also later than L, where order is no longer promised."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from streams.fold import digest as digests
from streams.fold.rules import Rules
from tests.property.adapter import Field, play
from tests.property.profile import law
from tests.property.strategies import DEVICES, World, split, worlds
from tests.worlds import START_S, say

KEY_COLUMNS = {"resonance": 0, "rooms": 0, "entanglements": 0, "particles": 3, "quantum_fields": 3}
"""Where the routing key stands: it may be called like a device, and an empty place keeps it."""


def leave_for_good(field: Field, world: World, device: str, behind_ms: int) -> int:
    """The device opts out, long before or after the watermark, and says nothing more. Returns the toggle's time."""
    latest = [e.timestamp for e in world.made if e.device_id == device and e.type == "OPT_IN"]
    when = max([world.watermark - behind_ms, *(at + 1 for at in latest)])
    field.publish([say(device, "OPT_OUT", when / 1000 - START_S)])
    return when


@law
@given(worlds(honest=False), st.sampled_from(DEVICES), st.sampled_from((0, 5_000, 10_001, 60_000, 3_600_000)))
def test_nothing_of_a_device_is_left(world: World, device: str, behind_ms: int) -> None:
    rules = Rules(**world.rules)
    field = play(split(world.arrivals, [4]), rules)
    field.checkpoint()
    leave_for_good(field, world, device, behind_ms)
    tables = digests.tables(field.values(), rules)
    for table, key_column in KEY_COLUMNS.items():
        for row in tables[table]:
            rest = row[:key_column] + row[key_column + 1 :]
            assert json.dumps(device) not in json.dumps(rest), (table, row)


@law
@given(worlds(honest=False), st.sampled_from(DEVICES), st.sampled_from((0, 10_001, 3_600_000)), st.integers(1, 5))
def test_batching_of_a_very_late_opt_out_changes_nothing(world: World, device: str, behind_ms: int, size: int) -> None:
    rules = Rules(**world.rules)
    one, many = play(split(world.arrivals, [1]), rules), play(split(world.arrivals, [size]), rules, shards=1)
    middle = Field(rules)
    for events in split(world.arrivals, [size]):
        middle.publish(events)
        middle.checkpoint()
        middle.restart()
    fields = (one, many, middle)
    whens = {leave_for_good(field, world, device, behind_ms) for field in fields}
    assert len(whens) == 1
    digest, *others = (field.digest() for field in fields)
    for table in ("resonance", "rooms", "entanglements", "sequences"):
        assert all(other[table] == digest[table] for other in others)
