"""The three real parts, as every other integration test gets them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis import Redis

from deploy.local import health, loopback, parts
from streams.settings import Settings


async def test_kafka_makes_a_topic(kafka: str, settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(settings.events_topic, num_partitions=3, replication_factor=1)])
        [described] = await admin.describe_topics([settings.events_topic])
    finally:
        await admin.close()
    assert len(described["partitions"]) == 3


def test_a_database_is_fresh_and_has_both_extensions(make_postgres: Callable[[], str]) -> None:
    for _ in range(2):
        with psycopg.connect(make_postgres(), autocommit=True) as database:
            assert database.execute("select to_regclass('mark')").fetchone() == (None,)
            database.execute("create table mark (at timestamptz not null, place geometry(Point, 4326))")
            database.execute("select create_hypertable('mark', 'at')")
            database.execute("insert into mark values (now(), st_setsrid(st_point(1, 2), 4326))")
            assert database.execute("select count(*), st_x(st_centroid(st_collect(place))) from mark").fetchone() == (
                1,
                1.0,
            )


@pytest.mark.parametrize("once", ["first", "second"])
def test_redis_is_empty(redis_url: str, once: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("mark", once)


def test_each_instance_is_another(make_settings: Callable[..., Settings]) -> None:
    one, two = make_settings(), make_settings(partitions=2)
    assert two.partitions == 2
    for name in ("generation", "events_topic", "changes_topic", "rejected_topic", "database_url", "home"):
        assert getattr(one, name) != getattr(two, name)


def test_the_parts_describe_themselves(parts_settings: Settings, edition: str) -> None:
    rows = {row["part"]: row for row in parts.describe(parts_settings)}
    assert set(rows) == set(parts.NAMES)
    assert all(row["up"] for row in rows.values())
    assert rows["postgres"]["version"].startswith("17.")
    assert rows["postgres"]["edition"] == edition
    assert int(rows["redis"]["version"].split(".")[0]) >= 7


def test_starting_again_leaves_what_runs_alone(parts_settings: Settings) -> None:
    before = [row["pid"] for row in parts.describe(parts_settings)]
    parts.start(parts_settings, durable=False, echo=lambda line: None)
    assert [row["pid"] for row in parts.describe(parts_settings)] == before


@pytest.mark.usefixtures("community")
def test_community_aggregates_are_licensed(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as database:
        database.execute("create table reading (at timestamptz not null, value float)")
        database.execute("select create_hypertable('reading', 'at')")
        database.execute(
            "create materialized view minutes with (timescaledb.continuous) as "
            "select time_bucket('1 minute', at) as minute, avg(value) from reading group by 1 with no data"
        )


def test_a_killed_postgres_comes_back_with_its_data(tmp_path: Path) -> None:
    settings = Settings(
        home=str(tmp_path), database_url=f"postgresql://me:a%20b@127.0.0.1:{loopback.free()}/mine", parts="local"
    )
    if parts.choose(replace(settings, parts="auto"))[0] != "local":
        pytest.skip("the parts are containers here")
    try:
        parts.start_part(settings, "postgres", echo=lambda line: None)
        with psycopg.connect(settings.database_url, autocommit=True) as database:
            database.execute("create table kept as select 42 as answer")
            assert parts.stop_part(settings, "postgres", signal.SIGKILL)
        assert not health.postgres(settings.database_url).up
        parts.start_part(settings, "postgres", echo=lambda line: None)
        with psycopg.connect(settings.database_url, autocommit=True) as database:
            assert database.execute("select answer from kept").fetchone() == (42,)
    finally:
        parts.clean(settings)
    assert not (tmp_path / "parts").exists()


def test_another_password_than_the_data_was_made_with_is_said_at_once(parts_settings: Settings) -> None:
    other = urlsplit(parts_settings.database_url)._replace(netloc="field:wrong@127.0.0.1:%d")
    address = other.geturl() % (urlsplit(parts_settings.database_url).port or 0)
    assert "password authentication failed" in health.postgres(address).problem
