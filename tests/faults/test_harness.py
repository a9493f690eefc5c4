"""The harness itself: whatever is broken on purpose, it sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import psycopg
import pytest

from projections.hot import Names
from streams import topics
from streams.settings import Settings
from tests.faults import tiers
from tests.faults.breaks import NAMES
from tests.faults.compare import FOLD, Report, Unsettled, compare
from tests.faults.figures import note
from tests.faults.processes import Proc
from tests.faults.stream import Recipe, Stream, make, publish

DIES_AT = {"early-ack": "changes-written:1", "last-offset": "changes-sent:1"}
"""Where the worker is killed on its first way; elsewhere after a whole checkpoint."""
AT_ONCE = 3
TAMPERED = {
    "events": "DELETE FROM consciousness_events WHERE id = (SELECT id FROM consciousness_events LIMIT 1)",
    "sessions": "UPDATE room64_sessions SET last = last + interval '1 ms'",
    "pairs": "UPDATE entanglements SET last = last - interval '1 s' WHERE last IS NOT NULL",
    "states": "UPDATE consciousness_states SET state = state || '{\"active_nodes\": 0}' WHERE node_id = 'field'",
}


async def trial(make_settings: Callable[..., Settings], seed: int, broken: str | None) -> int:
    """Half a stream, a worker that dies, the other half, its successor: the difference; all breaks get the same."""
    # commits come every half a second, the first checkpoint well after that: what commits too much has done so
    settings = make_settings(checkpoint_ms=1_500, poll_records=50, session_timeout_s=6, instance="only")
    await topics.create(settings)
    stream = make(Recipe(seed, 3_000, duplicates=0.03), settings.partitions)
    words = [f"break={words_of(broken, stream)}"] if broken else []
    half = len(stream.records) // 2
    await publish(settings, stream.records[:half])
    with Proc(settings, "worker", *words, f"point={DIES_AT.get(broken or '', 'position-written:1')}") as first:
        assert await first.ended() == -9, first.tail()
    await publish(settings, stream.records[half:])
    with Proc(settings, "worker", *words) as second:
        try:
            report = await compare(settings, FOLD, limit_s=45)
        except Unsettled:
            assert second.running, second.tail()
            return -1
    return report.difference


def words_of(broken: str, stream: Stream) -> str:
    """The break with what it needs: the id of an event that comes once, in its place and in time."""
    if broken != "drop":
        return broken
    ids = [json.loads(r.value)["id"] for r in stream.records if r.value.startswith(b"{") and b'"BREATH"' in r.value]
    return f"drop:{next(one for one in ids[100:] if ids.count(one) == 1)}"


async def test_every_break_is_caught(make_settings: Callable[..., Settings], seed: int) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(broken: str | None) -> int:
        async with limit:
            return await trial(make_settings, seed, broken)

    found = await asyncio.gather(*(one(broken) for broken in (None, *NAMES)))
    unbroken, differences = found[0], dict(zip(NAMES, found[1:], strict=True))
    note("breaks of the harness", unbroken=unbroken, **{name.replace("-", "_"): n for name, n in differences.items()})
    assert unbroken == 0
    assert all(differences.values()), f"not caught: {[name for name, count in differences.items() if not count]}"


@pytest.mark.timeout(200)
async def test_every_tier_is_looked_at(make_settings: Callable[..., Settings], seed: int) -> None:
    """What somebody changes in the database or in Redis, the comparer names by tier."""
    settings = make_settings(checkpoint_ms=100, session_timeout_s=6, publish_ms=100, hot_s=600)
    await topics.create(settings)
    await publish(settings, make(Recipe(seed, 1_500, malformed=0.01), settings.partitions).records)
    with Proc(settings, "worker"), Proc(settings, "projector"), Proc(settings, "publisher"):
        report = await compare(settings)
    assert report.difference == 0, str(report)
    assert all(report.rows.values()), f"a tier without rows proves nothing: {report.rows}"
    for tier, sql in TAMPERED.items():
        with psycopg.connect(settings.database_url) as connection:
            connection.execute(sql.encode())
        assert caught(await compare(settings), tier), tier
    names = Names.of(settings.generation)
    with tiers.client(settings) as redis:
        redis.hset(names.entanglements, "nobody|noone", json.dumps({"established": 1, "strength": 1.0, "living": True}))
        field = json.loads(redis.get(names.current))
        redis.set(names.current, json.dumps(field | {"global_resonance": 0.123}))
    report = await compare(settings)
    assert (report.of("redis_pairs"), report.of("redis")) == (1, 1)
    assert report.of("minutes"), "a row is missing in its minute, too"


def caught(report: Report, tier: str) -> bool:
    return report.of(tier) > 0
