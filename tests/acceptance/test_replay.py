"""Replay as an operator does it: plan, run, verify, switch, undo, drop; on the real parts, with processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from redis import Redis

from deploy.replay.switching import NotEqual
from projections import membership
from projections.hot import Names
from streams import topics
from streams.settings import Settings
from tests.acceptance.stack import Stack, until

FLEET = (
    "--devices", "40", "--rate", "2000", "--late", "0.02", "--duplicates", "0.02", "--opts", "0.01",
    "--malformed", "0.01",
)  # fmt: skip


@pytest.fixture
def stack(make_settings: Callable[..., Settings]) -> Iterator[Stack]:
    with Stack(make_settings(session_timeout_s=6)) as one:
        publish(one, 1)
        yield one


def publish(stack: Stack, seed: int) -> None:
    stack.field("simulate", *FLEET, "--seed", str(seed), "--duration", "2")
    stack.field("wait")


def seen(stack: Stack) -> str:
    return next(one["name"] for one in stack.json("replay", "list") if one["current"])


def test_a_rebuild_is_planned_run_proven_switched_to_and_undone(stack: Stack) -> None:
    live = stack.settings.generation
    g2 = f"{live}-g2"
    plan = stack.json("replay", "plan")
    assert plan["records"] == sum(end + 1 for end in stack.json("status")["end"].values())
    assert plan["switchable"]
    assert [one["name"] for one in stack.json("replay", "list")] == [live]

    said = stack.field("replay", "run", "--name", g2)
    assert ": equal" in said
    assert "follows the log beside" in said
    publish(stack, 2)
    stack.field("wait", "--generation", g2)
    found = stack.json("replay", "verify", g2, "--tiers")
    assert found["verdict"]["equal"]
    assert all(check["equal"] for check in found["tiers"]), found["tiers"]
    assert {check["tier"] for check in found["tiers"]} >= {
        "entanglements",
        "room64_sessions",
        "Redis",
        "consciousness_events",
    }

    assert raw_members(stack) == 1, "raw rows are shared: one of the two projectors writes them"
    assert "readers see" in stack.field("replay", "drop", live, code=2)
    before = stack.json("digest")
    stack.field("replay", "switch", g2)
    assert seen(stack) == g2
    assert stack.json("digest")["tables"] == before["tables"]
    publish(stack, 3)  # both follow, so undo loses nothing
    until(lambda: same(stack, live, g2), "both are where the log is")
    stack.field("replay", "undo")
    assert seen(stack) == live
    stack.field("replay", "drop", g2)
    assert [one["name"] for one in stack.json("replay", "list")] == [live]
    assert rows(stack, f"SELECT count(*) FROM entanglements_all WHERE generation = '{g2}'") == [(0,)]
    assert stack.process(f"worker@{g2}") is None
    assert left_of(stack, g2) == []
    stack.field("wait")

    leftover = f"field-{g2}-changes"
    asyncio.run(topics.create(replace(stack.settings, changes_topic=leftover), only=[leftover]))
    assert leftover in stack.field("replay", "run", "--name", g2, code=2)


def raw_members(stack: Stack) -> int:
    """Projectors that share the partitions of the raw projection."""

    async def ask() -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=stack.settings.kafka_brokers)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([membership.group(stack.settings.events_topic, "raw")])
            return len(answer.groups[0][5])
        finally:
            await admin.close()

    return asyncio.run(ask())


def left_of(stack: Stack, name: str) -> list[str]:
    """Topics and Redis keys of a generation that was dropped."""

    async def ask() -> set[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=stack.settings.kafka_brokers)
        await admin.start()
        try:
            return set(await admin.list_topics())
        finally:
            await admin.close()

    with Redis(port=stack.settings.redis_port) as redis:
        keys = [key.decode() for key in redis.keys(f"{name}:*")]
    return [topic for topic in asyncio.run(ask()) if name in topic] + keys


def same(stack: Stack, *generations: str) -> bool:
    found = [stack.json("digest", "--generation", name) for name in generations]
    return all(one == found[0] for one in found)


def rows(stack: Stack, sql: str) -> list[Any]:
    with psycopg.connect(stack.settings.database_url) as connection:
        return connection.execute(sql).fetchall()


SPOILED = {
    "room64_sessions": "UPDATE room64_sessions_all SET devices = devices + 1 WHERE generation = '{name}' AND NOT final",
    "entanglements": "DELETE FROM entanglements_all WHERE generation = '{name}'",
    "consciousness_states": "UPDATE consciousness_states_all SET state = jsonb_set(state, '{{rooms_open}}', '99')"
    " WHERE generation = '{name}' AND node_id = 'field'",
    "consciousness_events": "UPDATE consciousness_events SET data = '{{}}' WHERE type = 'BREATH'",
    "opt-outs and collective": "UPDATE consciousness_events SET collective = NOT collective"
    " WHERE device_id IN (SELECT device_id FROM opt_toggles)",
}
"""What is changed in a store by hand, by the check that must see it."""


def test_every_store_that_differs_is_named_and_nobody_switches_to_it(stack: Stack) -> None:
    name = f"{stack.settings.generation}-spoiled"
    stack.field("replay", "run", "--name", name)
    stack.field("wait", "--generation", name)
    assert stack.field("replay", "verify", name, "--tiers")
    for role in (f"projector@{name}", f"publisher@{name}", "projector"):  # who would write it anew
        process = stack.process(role)
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
    try:
        with Redis(port=stack.settings.redis_port) as redis:
            redis.hset(Names.of(name).entanglements, "nobody|else", "{}")
            redis.set(Names.of(name).current, redis.get(Names.of(name).current) or b"{}", ex=300)
        for statement in SPOILED.values():
            with psycopg.connect(stack.settings.database_url) as connection:
                connection.execute(statement.format(name=name).encode())
        found = stack.json("replay", "verify", name, "--tiers", code=NotEqual.exit_code)
        assert found["verdict"]["equal"], "the fold is as it was"
        assert {check["tier"] for check in found["tiers"] if not check["equal"]} >= {*SPOILED, "Redis, entanglements"}
        stack.field("replay", "verify", name, code=NotEqual.exit_code)  # without --tiers: what was found stays
        said = stack.field("replay", "switch", name, code=NotEqual.exit_code)
        assert "entanglements" in said
    finally:
        for role in (f"projector@{name}", f"publisher@{name}", "projector"):
            process = stack.process(role)
            assert process is not None
            os.kill(process.pid, signal.SIGCONT)
