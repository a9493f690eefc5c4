"""``field doctor`` on real servers: each fault is caused, found, and the advice says how it is mended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.doctor import log
from deploy.doctor.examine import examine
from deploy.doctor.findings import Finding
from deploy.positions import hot
from projections.migrate import migrate
from streams import topics
from streams.settings import Settings

Found = dict[str, list[Finding]]


async def found(settings: Settings) -> Found:
    """Findings by check."""
    out: Found = {}
    for one in await examine(settings):
        out.setdefault(one.check, []).append(one)
    return out


def states(it: Found, check: str) -> set[str]:
    return {one.state for one in it[check]}


async def alter(settings: Settings, topic: str, **config: str) -> None:
    """Returns when the broker has heard of it: the controller answers before."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        named = {name.replace("_", "."): value for name, value in config.items()}
        for answer in await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, named)]):
            assert [one[:2] for one in answer.resources if one[0]] == []
    finally:
        await admin.close()
    async with asyncio.timeout(60):
        while True:
            told = await log.ask(settings)
            if named.items() <= dict(told.topics[topic].config if topic in told.topics else {}).items():
                return


async def test_a_stack_that_is_well(settings: Settings) -> None:
    await topics.create(settings)
    migrate(settings.database_url)
    it = await found(settings)
    assert {check for check in it if states(it, check) == {"bad"}} == set()
    for check in ("brokers", "topics exist", "partitions", "copies", "topic settings", "schema", "edition", "hot"):
        assert states(it, check) == {"ok"}, it[check]
    (group,) = it["worker group"]
    assert (group.state, "nobody folds" in group.what) == ("warn", True)


async def test_topics_that_are_missing_or_of_other_partitions(settings: Settings) -> None:
    it = await found(settings)
    assert (states(it, "topics exist"), states(it, "schema")) == ({"bad"}, {"bad"})
    assert settings.events_topic in it["topics exist"][0].what
    await topics.create(settings)
    it = await found(replace(settings, partitions=settings.partitions + 1))
    assert {one.state for one in it["partitions"]} == {"bad"}
    assert f"FIELD_PARTITIONS={settings.partitions}" in it["partitions"][0].advice


async def test_topics_that_lose_events_or_mistake_their_time(settings: Settings) -> None:
    await topics.create(settings)
    await alter(settings, settings.events_topic, retention_ms="3600000", message_timestamp_type="CreateTime")
    await alter(settings, topics.changelog_topic(settings), cleanup_policy="delete", max_message_bytes="1000000")
    it = await found(settings)
    wrong = {one.what.split(" is ")[0]: one for one in it["topic settings"]}
    kept = topics.changelog_topic(settings)
    for key in (f"{settings.events_topic}: retention.ms", f"{kept}: cleanup.policy", f"{kept}: max.message.bytes"):
        assert wrong[key].state == "bad", wrong
        assert "kafka-configs.sh" in wrong[key].advice
    assert "field archive verify" not in wrong[f"{settings.events_topic}: retention.ms"].advice
    it = await found(replace(settings, archive="somewhere"))
    assert any("field archive verify" in one.advice for one in it["topic settings"])
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers)
    await producer.start()
    try:
        ahead = int((time.time() + 600) * 1000)
        await producer.send_and_wait(settings.events_topic, b"{}", key=b"k", timestamp_ms=ahead)
    finally:
        await producer.stop()
    it = await found(settings)
    assert states(it, "broker clock") == {"bad"}


async def test_more_copies_than_there_are(settings: Settings) -> None:
    await topics.create(settings)
    it = await found(replace(settings, replication=3, instance="a"))
    assert (states(it, "brokers"), states(it, "copies")) == ({"bad"}, {"warn"})
    assert "kafka-reassign-partitions.sh" in it["copies"][0].advice
    assert any("min.insync.replicas" in one.what for one in it["topic settings"])


async def test_a_database_that_is_not_ours(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        migrate(settings.database_url)
        connection.execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'later', '')")
    it = await found(settings)
    assert (states(it, "schema"), "newer version" in it["schema"][0].advice) == ({"bad"}, True)
    wrong = settings.database_url.replace("field:field@", "field:wrong9@")
    it = await found(replace(settings, database_url=wrong))
    assert (states(it, "database"), "DATABASE_URL" in it["database"][0].advice) == ({"bad"}, True)
    assert "wrong9" not in it["database"][0].what


async def test_redis_that_forgets(settings: Settings) -> None:
    with hot(settings) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            it = await found(settings)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert (states(it, "memory"), "volatile-ttl" in it["memory"][0].advice) == ({"bad"}, True)


@pytest.mark.usefixtures("community")
async def test_policies_of_the_community_edition(make_settings: Callable[..., Settings]) -> None:
    keeps = make_settings(retention_days=9)
    migrate(keeps.database_url, retention_days=9)
    it = await found(keeps)
    assert (states(it, "retention"), states(it, "policies")) == ({"ok"}, {"ok"})
    it = await found(replace(keeps, retention_days=30))
    assert states(it, "retention") == {"warn"}
    with psycopg.connect(keeps.database_url, autocommit=True) as connection:
        connection.execute("SELECT remove_retention_policy('consciousness_events')")
        connection.execute("SELECT add_retention_policy('consciousness_events', interval '2 days')")
    it = await found(keeps)
    assert "bad" in states(it, "retention")
