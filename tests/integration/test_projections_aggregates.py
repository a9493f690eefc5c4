"""The aggregate views against a computation by hand, on whichever edition there is."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from math import isclose

import psycopg
import pytest

from projections.migrate import edition as edition_of
from projections.migrate import migrate
from projections.raw import Raw
from projections.rows import resonance
from streams.events import OPTS, Event
from streams.fold.rules import DEFAULT_RULES
from tests.integration.projecting import apply, by_partition, database, rows
from tests.worlds import say

WIDTHS = {"consciousness_field_1min": 60, "consciousness_field_1h": 3_600, "consciousness_field_1d": 86_400}
COUNTS = {
    "breaths": "BREATH", "spirals": "SPIRAL", "blooms": "BLOOM", "touches": "TOUCH", "phrases": "SACRED_PHRASE",
    "fields": "FIELD", "entangles": "ENTANGLE", "releases": "RELEASE", "enters": "ENTER", "leaves": "LEAVE",
}  # fmt: skip


def some_events(seed: int, count: int = 600) -> list[Event]:
    """Three days of all types; one device opts out and never comes back."""
    chance = random.Random(seed)
    events = [say("gone", "OPT_OUT", -5 * 86_400)]
    for _ in range(count):
        device = chance.choice(["ana", "bea", "cyd", "gone"])
        kind = chance.choice(list(COUNTS.values()))
        room = "hall" if kind in ("ENTER", "LEAVE") or chance.random() < 0.5 else None
        events.append(
            say(
                device,
                kind,
                -chance.randrange(3 * 86_400),
                room=room,
                to="dan" if kind in ("ENTANGLE", "RELEASE") else None,
                intensity=chance.randrange(1001) / 1000,
                at=(chance.uniform(-50, 50), chance.uniform(-50, 50)) if chance.random() < 0.6 else None,
            )
        )
    return events


def by_hand(events: list[Event], width_s: int) -> dict[datetime, dict[str, object]]:
    buckets: dict[int, list[Event]] = {}
    for event in events:
        if event.type not in OPTS and event.device_id != "gone":
            buckets.setdefault(event.timestamp // 1000 // width_s * width_s, []).append(event)
    weights = DEFAULT_RULES.weights()
    out: dict[datetime, dict[str, object]] = {}
    for start, inside in buckets.items():
        felt = [value for event in inside if (value := resonance(event, weights)) is not None]
        spots = [(event.x, event.y) for event in inside if event.x is not None]
        kinds = Counter(event.type for event in inside)
        out[datetime.fromtimestamp(start, UTC)] = {
            "events": len(inside),
            "resonance_sum": sum(felt) if felt else None,
            "resonance_count": len(felt),
            "resonance": sum(felt) / len(felt) if felt else None,
            "active_nodes": len({event.device_id for event in inside}),
            "x": sum(x for x, _ in spots) / len(spots) if spots else None,
            "y": sum(y for _, y in spots) / len(spots) if spots else None,
            **{column: kinds[kind] for column, kind in COUNTS.items()},
        }
    return out


def stored(dsn: str, view: str) -> dict[datetime, dict[str, object]]:
    columns = ["events", "resonance_sum", "resonance_count", "resonance", "active_nodes", "x", "y", *COUNTS]
    plain = ", ".join({"x": "ST_X(centre)", "y": "ST_Y(centre)"}.get(column, column) for column in columns)
    found = rows(dsn, f"SELECT bucket, {plain} FROM {view}")
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in found}


def same(one: dict[datetime, dict[str, object]], other: dict[datetime, dict[str, object]]) -> None:
    assert one.keys() == other.keys()
    for bucket, expected in one.items():
        for column, value in expected.items():
            got = other[bucket][column]
            if isinstance(value, float):
                assert isinstance(got, float), (bucket, column)
                assert isclose(got, value, rel_tol=1e-9, abs_tol=1e-9), (bucket, column)
            else:
                assert got == value, (bucket, column)


def refresh(dsn: str, view: str, edition: str) -> None:
    """What the policy does within a minute: only the Community edition keeps anything that could be old."""
    if edition == "community":
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CALL refresh_continuous_aggregate(%s, NULL, NULL)", (view,))


@pytest.mark.parametrize("seed", range(2))
async def test_aggregates_equal_a_computation_by_hand_late_events_too(make_settings, edition: str, seed: int) -> None:
    settings = make_settings(partitions=2)
    events = some_events(seed)
    late = events[400:]
    async with database(settings) as pool:
        for part in (events[:400], late):
            for partition, records in by_partition(part, 2).items():
                if part is late:
                    records = [_moved(record, 1000) for record in records]
                await apply(Raw(settings), settings, pool, partition, records)
            for view in WIDTHS:
                refresh(settings.database_url, view, edition)
    for view, width_s in WIDTHS.items():
        same(by_hand(events, width_s), stored(settings.database_url, view))


def _moved(record, by: int):
    record.offset += by
    return record


@pytest.mark.usefixtures("community")
async def test_what_no_refresh_has_seen_shows_at_once(make_settings) -> None:
    settings = make_settings(partitions=1)
    events = some_events(7, 50)
    async with database(settings) as pool:
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            connection.execute("SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs")
        await apply(Raw(settings), settings, pool, 0, by_partition(events, 1)[0])
    for view, width_s in WIDTHS.items():
        same(by_hand(events, width_s), stored(settings.database_url, view))


@pytest.mark.usefixtures("community")
def test_community_has_native_aggregates_with_policies(postgres: str) -> None:
    migrate(postgres)
    native = rows(
        postgres, "SELECT view_name, materialized_only FROM timescaledb_information.continuous_aggregates ORDER BY 1"
    )
    assert native == [(view, False) for view in sorted(WIDTHS)]
    assert jobs(postgres) == {"policy_compression": 1, "policy_refresh_continuous_aggregate": 3}
    migrate(postgres, retention_days=30)
    assert jobs(postgres)["policy_retention"] == 1
    starts = rows(
        postgres,
        "SELECT config ->> 'start_offset' FROM timescaledb_information.jobs WHERE proc_name LIKE '%%refresh%%'",
    )
    assert starts == [("29 days",)] * 3  # outside of what retention takes
    migrate(postgres)
    assert "policy_retention" not in jobs(postgres)


@pytest.mark.usefixtures("community")
async def test_what_retention_has_dropped_is_not_erased_by_a_rebuild(make_settings) -> None:
    """Rows long past are aggregated, then dropped as retention does; a rebuild from a grown topic brings them again."""
    settings = make_settings(partitions=1, retention_days=30)
    events = some_events(3)
    async with database(settings) as pool:
        migrate(settings.database_url, retention_days=30)
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            connection.execute("SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs")
        await apply(Raw(settings), settings, pool, 0, by_partition(events, 1)[0])
        for view in WIDTHS:
            refresh(settings.database_url, view, "community")
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            connection.execute("SELECT drop_chunks('consciousness_events', interval '30 days')")
        assert rows(settings.database_url, "SELECT count(*) FROM consciousness_events") == [(0,)]
        before = {view: stored(settings.database_url, view) for view in WIDTHS}
        assert all(before.values())
        grown = replace(settings, events_topic=f"{settings.events_topic}.grown")
        await apply(Raw(grown), grown, pool, 0, by_partition(events[:100], 1)[0])  # some of it, as after a crash
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            for (job,) in connection.execute(
                "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name LIKE '%refresh%'"
            ).fetchall():
                connection.execute("CALL run_job(%s)", (job,))
    assert {view: stored(settings.database_url, view) for view in WIDTHS} == before


def jobs(dsn: str) -> dict[str, int]:
    return dict(
        rows(dsn, "SELECT proc_name, count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000 GROUP BY 1")
    )


@pytest.mark.usefixtures("community")
def test_plain_views_become_native_when_the_edition_does(postgres: str) -> None:
    migrate(postgres)
    with psycopg.connect(postgres, autocommit=True) as connection:
        for view in WIDTHS:
            connection.execute(f"DROP MATERIALIZED VIEW {view}".encode())
            connection.execute(f"CREATE VIEW {view} AS SELECT now() AS bucket".encode())
    migrate(postgres)
    assert len(rows(postgres, "SELECT FROM timescaledb_information.continuous_aggregates")) == 3


def test_apache_refuses_native_ones_and_gets_the_same_columns(postgres: str, edition: str) -> None:
    if edition != "apache":
        pytest.skip("needs the Apache edition")
    migrate(postgres, retention_days=30)
    assert edition_of(postgres) == "apache"
    with psycopg.connect(postgres) as connection, pytest.raises(psycopg.errors.FeatureNotSupported):
        connection.execute(
            "DO $$ BEGIN EXECUTE 'CREATE MATERIALIZED VIEW native WITH (timescaledb.continuous) AS '"
            " || field_aggregate_select(interval '1 minute') || ' WITH NO DATA'; END $$"
        )
    kinds = rows(postgres, "SELECT relname, relkind::text FROM pg_class WHERE relname LIKE 'consciousness_field_%%'")
    assert dict(kinds) == dict.fromkeys(WIDTHS, "v")


async def test_clusters_are_ten_at_most_and_hold_everybody_of_the_last_hour(make_settings) -> None:
    settings = make_settings(partitions=1)
    dsn = settings.database_url
    async with database(settings) as pool:
        assert rows(dsn, "SELECT * FROM consciousness_clusters") == []
        await apply(Raw(settings), settings, pool, 0, by_partition(some_events(3, 60), 1)[0])
    placed = rows(dsn, "SELECT count(*) FROM consciousness_events WHERE collective AND position IS NOT NULL")[0][0]
    assert rows(dsn, "SELECT * FROM consciousness_clusters") == []  # all of it is long ago
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE consciousness_events SET received = now() WHERE type = 'BREATH'")
        connection.execute(
            "WITH old AS (DELETE FROM consciousness_events RETURNING *) INSERT INTO consciousness_events"
            " SELECT id, routing_key, device_id, user_id, room_id, type, data, position, z, intensity, resonance,"
            " collective, now() - interval '1 minute', received, log_partition, log_offset, log_index FROM old"
        )
    found = rows(dsn, "SELECT cluster, events FROM consciousness_clusters")
    assert len(found) == 10
    assert sum(events for _, events in found) == placed
