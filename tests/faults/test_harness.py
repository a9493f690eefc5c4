"""The harness itself: whatever is broken on purpose, it sees."""

from __future__ import annotations

import json

import psycopg

from projections.hot import Names
from streams import topics
from tests.faults import tiers
from tests.faults.compare import compare
from tests.faults.measures import note
from tests.faults.processes import Proc
from tests.faults.scenarios import Place
from tests.faults.scenarios.broken import breaks_are_caught
from tests.faults.stream import Recipe, make, publish

TAMPERED = {
    "events": "DELETE FROM consciousness_events WHERE type = 'BLOOM'",
    "sessions": "UPDATE room64_sessions SET last = last + interval '1 ms'",
    "pairs": "UPDATE entanglements SET last = last - interval '1 s' WHERE last IS NOT NULL",
    "states": "UPDATE consciousness_states SET state = state || '{\"active_nodes\": 0}' WHERE node_id = 'field'",
}


async def test_every_break_is_caught(place: Place) -> None:
    note("breaks of the harness", **await breaks_are_caught(place))


async def test_every_tier_is_looked_at(place: Place) -> None:
    """What somebody changes in the database or in Redis, the comparer names by tier."""
    settings = place.settings(checkpoint_ms=100, session_timeout_s=6, publish_ms=100, hot_s=600)
    await topics.create(settings)
    await publish(settings, make(Recipe(place.seed, 1_500, malformed=0.01), settings.partitions).records)
    with Proc(settings, "worker"), Proc(settings, "projector"), Proc(settings, "publisher"):
        report = await compare(settings)
    assert report.difference == 0, str(report)
    assert all(report.rows.values()), f"a tier without rows proves nothing: {report.rows}"
    for tier, sql in TAMPERED.items():
        with psycopg.connect(settings.database_url) as connection:
            connection.execute(sql.encode())
        assert (await compare(settings)).of(tier), tier
    names = Names.of(settings.generation)
    with tiers.client(settings) as redis:
        redis.hset(names.entanglements, "nobody|noone", json.dumps({"established": 1, "strength": 1.0, "living": True}))
        field = json.loads(redis.get(names.current))
        redis.set(names.current, json.dumps(field | {"global_resonance": 0.123}))
    report = await compare(settings)
    assert (report.of("redis_pairs"), report.of("redis")) == (1, 1)
    assert report.of("minutes"), "a row is missing in its minute, too"
