"""From every older schema to the newest, twice, at the same time; and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from projections.migrate import Migration, migrate, migrations
from streams.errors import SchemaError, SettingError

NEWEST = len(migrations())


def structure(dsn: str) -> list[tuple[object, ...]]:
    """All columns, indexes and functions that are ours."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT 'column', table_name, column_name || ' ' || data_type FROM information_schema.columns"
            " WHERE table_schema = 'public'"
            " UNION ALL SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " UNION ALL SELECT 'function', proname, md5(prosrc) FROM pg_proc WHERE proname LIKE 'field\\_%%'"
            " ORDER BY 1, 2, 3",
            (),
        ).fetchall()


def test_a_fresh_database_gets_everything_once(postgres: str) -> None:
    assert migrate(postgres) == list(range(1, NEWEST + 1))
    assert migrate(postgres) == []


@pytest.mark.parametrize("older", range(1, NEWEST))
def test_an_older_schema_becomes_the_newest_and_keeps_its_rows(make_postgres, older: int) -> None:
    fresh, aged = make_postgres(), make_postgres()
    migrate(fresh)
    migrate(aged, known=migrations()[:older])
    with psycopg.connect(aged) as connection:
        connection.execute(
            "INSERT INTO consciousness_events (id, routing_key, device_id, type, data, intensity, collective,"
            " timestamp, received, log_partition, log_offset, log_index) VALUES (gen_random_uuid(), 'hall', 'ana',"
            " 'ENTER', '{}', 0, true, now(), now(), 0, 0, 0)"
        )
    assert migrate(aged) == list(range(older + 1, NEWEST + 1))
    assert structure(aged) == structure(fresh)
    with psycopg.connect(aged) as connection:
        assert connection.execute("SELECT sum(events) FROM consciousness_field_1min").fetchone() == (1,)


def test_processes_that_start_together_migrate_once(postgres: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        applied = list(pool.map(lambda _: migrate(postgres), range(6)))
    assert sorted(applied) == [[]] * 5 + [list(range(1, NEWEST + 1))]


def test_a_changed_migration_is_refused(postgres: str) -> None:
    migrate(postgres)
    known = migrations()
    known[1] = known[1]._replace(sql=known[1].sql + "-- harmless\n")
    with pytest.raises(SchemaError, match=r"002_state was changed"):
        migrate(postgres, known=known)


def test_a_newer_schema_is_refused(postgres: str) -> None:
    newer = Migration(NEWEST + 1, "tomorrow", "CREATE TABLE tomorrow ()")
    migrate(postgres, known=[*migrations(), newer])
    with pytest.raises(SchemaError, match="start a newer version"):
        migrate(postgres)


def test_a_newer_schema_that_only_adds_lets_the_version_before_go_on(postgres: str) -> None:
    adds = Migration(NEWEST + 1, "adds_tomorrow", "CREATE TABLE tomorrow ()")
    assert migrate(postgres, known=[*migrations(), adds])[-1] == NEWEST + 1
    assert migrate(postgres) == []
    changes = Migration(NEWEST + 2, "tomorrow_changes", "ALTER TABLE tomorrow RENAME TO yesterday")
    migrate(postgres, known=[*migrations(), adds, changes])
    with pytest.raises(SchemaError, match="tomorrow_changes"):
        migrate(postgres)


def test_a_failing_migration_leaves_nothing(postgres: str) -> None:
    broken = Migration(NEWEST + 1, "broken", "CREATE TABLE half (); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(postgres, known=[*migrations(), broken])
    assert migrate(postgres) == []
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_one_without_a_transaction_may_do_what_transactions_refuse(postgres: str) -> None:
    outside = Migration(
        NEWEST + 1,
        "vacuum",
        "-- no transaction\nVACUUM projection_positions;\nCREATE INDEX CONCURRENTLY IF NOT EXISTS later"
        " ON projection_positions (updated);\n",
    )
    assert migrate(postgres, known=[*migrations(), outside])[-1] == outside.version


def test_a_retention_that_refreshes_would_meet_is_refused(postgres: str) -> None:
    with pytest.raises(SettingError, match="FIELD_RETENTION_DAYS"):
        migrate(postgres, retention_days=6)


def test_times_are_exact_in_every_year(postgres: str) -> None:
    migrate(postgres)
    with psycopg.connect(postgres) as connection:
        for ms in (0, 1, 1_700_000_000_123, 253_402_300_799_999):
            row = connection.execute("SELECT extract(epoch FROM field_time(%s)) * 1000", (ms,)).fetchone()
            assert row is not None
            assert row[0] == ms
