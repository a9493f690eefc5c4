"""``field migrate`` on a real Kafka and PostgreSQL: all that a new version needs, once; and one line when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy import cli
from deploy.local import loopback
from projections.migrate import migrations
from streams import topics
from streams.errors import SchemaError
from streams.settings import Settings, exports


@pytest.fixture
def ours(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = make_settings()
    enter(settings, monkeypatch)
    return settings


def enter(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in exports(settings, secrets=True).items():
        monkeypatch.setenv(name, value)


async def found(settings: Settings) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        return set(await topics.partition_counts(admin))
    finally:
        await admin.close()


def test_it_makes_what_is_missing_and_says_so_and_then_nothing(
    ours: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["migrate"]) == 0
    said = capsys.readouterr().out
    assert ours.events_topic in said
    assert f"{len(migrations()):03d}" in said
    assert set(topics.configs(ours)) <= asyncio.run(found(ours))
    with psycopg.connect(ours.database_url) as connection:
        assert connection.execute("SELECT max(version) FROM schema_migrations").fetchone() == (len(migrations()),)
        assert connection.execute("SELECT name FROM generations").fetchall() == [(ours.generation,)]
    assert cli.main(["migrate"]) == 0
    assert capsys.readouterr().out.count("none") == 2


def test_a_database_of_a_newer_version_stops_the_roll_out(ours: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate"]) == 0
    with psycopg.connect(ours.database_url) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (%s, 'later', '')", [len(migrations()) + 1])
    assert cli.main(["migrate"]) == SchemaError.exit_code
    assert "later" in capsys.readouterr().err


def test_a_part_that_stays_away_is_one_line(
    ours: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"postgresql://field:field@127.0.0.1:{loopback.free()}/field"
    enter(replace(ours, database_url=away), monkeypatch)
    assert cli.main(["migrate", "--timeout", "1"]) == 7
    said = capsys.readouterr()
    assert "topics created" in said.out
    assert said.err.startswith("field: ")
    assert said.err.count("\n") == 1
