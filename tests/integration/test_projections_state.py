"""``field.changes`` into rows, on real PostgreSQL: step by step is all at once, and late writers change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from projections.samples import Sampler
from projections.state import State
from projections.views import Views
from streams.changes import Changes, decode, encode, parts
from streams.errors import ProjectionError
from streams.fold.partition import PartitionFold
from streams.settings import Settings
from tests.integration.folded import FakeFollower, checkpoints, lively
from tests.integration.projecting import apply, database, record, rows
from tests.worlds import START_S, say

PAIRS = (
    "SELECT routing_key, low, high, established, explicit, kind, intensity, last, partition, shard"
    " FROM entanglements ORDER BY 1, 2, 3"
)
SESSIONS = (
    "SELECT room_id, opened, last, present, seated, devices, blooms, phrases, participants, coherence, resonance"
    " FROM room64_sessions WHERE NOT final ORDER BY 1, 2"
)


def values(settings: Settings, events: list[Any], every: int) -> list[bytes]:
    found = []
    for checkpoint in checkpoints(settings, 0, events, every):
        found += [value for _, value in checkpoint.changes] + [checkpoint.marker]
    return found


async def projected(settings: Settings, written: list[bytes]) -> tuple[list[Any], list[Any]]:
    records = [record(value, offset) for offset, value in enumerate(written)]
    async with database(settings) as pool:
        await apply(State(settings), settings, pool, 0, records)
    return rows(settings.database_url, PAIRS), rows(settings.database_url, SESSIONS)


@pytest.mark.parametrize("seed", range(3))
async def test_step_by_step_is_all_at_once(make_settings, seed: int) -> None:
    events = lively(seed, 300)
    steps, whole = make_settings(project_events=20), make_settings()
    assert await projected(steps, values(steps, events, 9)) == await projected(whole, values(whole, events, 10_000))
    assert rows(steps.database_url, "SELECT input_position FROM projection_positions") == [(299,)]
    assert rows(whole.database_url, "SELECT count(*) > 3 FROM entanglements WHERE established IS NOT NULL") == [(True,)]


async def test_a_late_writer_changes_nothing(make_settings) -> None:
    events = lively(5, 200)
    calm, troubled = make_settings(), make_settings()
    written = values(calm, events, 20)
    zombie = values(calm, events[:90], 7)
    assert await projected(calm, written) == await projected(troubled, written + zombie)


async def test_a_full_picture_sweeps_what_is_not_in_it(make_settings) -> None:
    settings = make_settings(project_events=1)  # they are in the database when the full picture comes
    events = lively(6, 200)
    fold = PartitionFold(0, settings.shards, settings.rules)
    fold.fold(500, events)
    full = fold.checkpoint("2-0", full=True)
    room = events[0].room_id  # strangers were there before, who are in no picture any more
    stray = [say("xav", "TOUCH", second, to="yan", room=room) for second in range(-900, -850, 10)]
    written = values(settings, stray, 50) + [value for _, value in full.changes]
    other, before = make_settings(), make_settings()
    assert [len(found) for found in await projected(before, values(before, stray, 50))] == [1, 1]
    assert await projected(settings, written) == await projected(other, values(other, events, 10_000))


async def test_a_picture_in_parts_is_the_picture(make_settings) -> None:
    """Each part in a transaction of its own; what stood there before goes with the last one."""
    whole, divided = make_settings(project_events=1), make_settings(project_events=1)
    events, stray = lively(7, 200), [say("xav", "TOUCH", second, to="yan", room="hall") for second in range(0, 50, 10)]
    fold = PartitionFold(0, whole.shards, whole.rules)
    fold.fold(500, events)
    full = fold.checkpoint("2-0", full=True)
    written = values(whole, stray, 50) + [value for _, value in full.changes]
    in_parts = [encode(part) for value in written for part in cut(value)]
    assert len(in_parts) > 2 * len(written)
    assert await projected(divided, in_parts) == await projected(whole, written)


def cut(value: bytes) -> list[Any]:
    """A record of field.changes in parts of one row."""
    found = decode(value)
    return parts(found, 1) if isinstance(found, Changes) else [found]


async def test_bytes_of_another_version_stop_the_projector(make_settings) -> None:
    settings = make_settings()
    with pytest.raises(ProjectionError, match="same version of worker and projector"):
        await projected(settings, [b'{"record": "tomorrow"}'])


async def test_states_and_samples_follow_whole_checkpoints(make_settings) -> None:
    settings = make_settings()
    views, follower = Views(settings), FakeFollower()
    views._follower = follower
    first, second = checkpoints(settings, 0, lively(1, 40), 20)
    now = (START_S + 10) * 1000

    def take(records: list[tuple[bytes, bytes]]) -> None:
        for partition, shard in follower.take(records):
            views._waiting.setdefault(partition, set()).add(shard)

    async with database(settings) as pool:
        sampler = Sampler(settings, views, pool)
        take(first.records)
        assert await sampler.sample(now) == 2
        assert await sampler.sample(now + 1) == 0  # nothing new to say
        before = rows(settings.database_url, "SELECT node_id, position, resonance, active_nodes FROM resonance_samples")
        take(second.records[:-1])  # its position has not come yet
        assert await sampler.sample(now + 2) == 0
        take(second.records[-1:])
        assert await sampler.sample(now + 3) == 2
    states = rows(settings.database_url, "SELECT node_id, position, resonance FROM consciousness_states ORDER BY 1")
    assert [(node, position) for node, position, _ in states] == [("0", {"0": 39}), ("field", {"0": 39})]
    assert [(node, position) for node, position, _, _ in before] == [("0", {"0": 19}), ("field", {"0": 19})]
    assert before[0][2] != states[0][2]


async def test_a_clock_that_is_ahead_does_not_stop_the_samples(make_settings) -> None:
    """Readings are at the clock's time then; each sample stands at the time when it was taken."""
    settings = make_settings()
    views, follower = Views(settings), FakeFollower()
    views._follower = follower
    events = [say("ana", "BLOOM", 60, room="hall"), *(say("bea", "BLOOM", 55 + n, room="hall") for n in range(3))]
    now = START_S * 1000
    async with database(settings) as pool:
        sampler = Sampler(settings, views, pool)
        for turn, step in enumerate(checkpoints(settings, 0, events, 1)):
            for partition, shard in follower.take(step.records):
                views._waiting.setdefault(partition, set()).add(shard)
            assert await sampler.sample(now + 1_000 * turn) == 2
    sampled = "SELECT extract(epoch FROM timestamp)::bigint, position FROM resonance_samples WHERE node_id = 'field'"
    assert rows(settings.database_url, sampled + " ORDER BY 1") == [(START_S + turn, {"0": turn}) for turn in range(4)]
    at = rows(settings.database_url, "SELECT (state ->> 'at')::bigint FROM consciousness_states")
    assert at == [((START_S + 60) * 1000,)] * 2
