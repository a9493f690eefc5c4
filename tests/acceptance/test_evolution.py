"""State evolves: another version of the fold, another number of partitions; by replay, with proof, without a gap."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from deploy.replay.switching import NotEqual
from streams import topics
from streams.fold.rules import DEFAULT_RULES
from streams.settings import Settings
from tests.acceptance.stack import Stack, until
from tests.golden.write import DIGESTS, FOLDER, SHARDS, read_log

OLD_VERSION = "1-cb04a5c3a2b0"
REFUSED = 4


def golden_shards() -> list[tuple[bytes, bytes]]:
    """The changelog of the golden log as version 1 of the fold wrote it."""
    lines = map(json.loads, (FOLDER / "shards-1.jsonl").read_text().splitlines())
    return [(line["key"].encode(), base64.b64decode(line["base64"])) for line in lines]


async def write_old_state(settings: Settings) -> None:
    """The golden log, and what version 1 made of it."""
    await topics.create(settings)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers, max_request_size=8 << 20) as producer:
        for record in read_log():
            received = ("received", b"%d" % record.received)
            await producer.send_and_wait(settings.events_topic, record.value, partition=0, headers=[received])
        for key, value in golden_shards():
            await producer.send_and_wait(topics.changelog_topic(settings), value, key=key, partition=0)


def test_another_fold_is_refused_replayed_proven_and_switched_to(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=1, shards=SHARDS, session_timeout_s=6)
    golden = json.loads(DIGESTS.read_text())
    assert golden["fold_version"] == DEFAULT_RULES.version != OLD_VERSION
    asyncio.run(write_old_state(settings))
    stack, name = Stack(settings), f"{settings.generation}-v2"
    try:
        assert stack.run("up").returncode in (0, REFUSED)  # it may answer before it knows what it recovers
        until(lambda: refusal(stack) is not None, "the worker refuses")
        assert "field replay run" in str(refusal(stack))
        assert OLD_VERSION in (stack.home / "logs" / "worker.log").read_text()
        until(lambda: bool(stack.json("replay", "list")), "the projector has made the generation known")
        said = stack.field("replay", "run", "--name", name)
        assert ": equal" in said
        verdict = next(one for one in stack.json("replay", "list") if one["name"] == name)["verdict"]
        assert verdict["fold_versions"] == {settings.generation: OLD_VERSION, name: DEFAULT_RULES.version}
        until(lambda: stack.run("replay", "switch", name).returncode == 0, "its rows are where the state is")
        stack.field("wait")
        assert stack.json("digest")["tables"] == golden["digests"]
        stack.field("replay", "drop", settings.generation)
        assert [one["name"] for one in stack.json("replay", "list")] == [name]
        until(lambda: stack.process("worker") is not None, "the processes of the settings write it now")
        stack.field("simulate", "--devices", "20", "--rate", "500", "--duration", "1")
        stack.field("wait")
        assert all(check["equal"] for check in stack.json("replay", "verify")["tiers"])
    finally:
        stack.field("down")


def test_a_topic_grows_by_archive_and_replay(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    with Stack(make_settings(session_timeout_s=6)) as stack:
        live, name, folder = stack.settings.generation, f"{stack.settings.generation}-wide", str(tmp_path / "archive")
        fleet = ("simulate", "--devices", "60", "--rate", "3000", "--opts", "0.01", "--late", "0.02")
        stack.field(*fleet, "--seed", "1", "--duration", "2")
        stack.field("wait")
        wide = {
            "FIELD_EVENTS_TOPIC": f"{live}.events.16", "FIELD_REJECTED_TOPIC": f"{live}.rejected.16",
            "FIELD_PARTITIONS": "16",
        }  # fmt: skip
        stack.field("archive", "--all", "--to", folder)
        stack.field("publish", "--archive", folder, **wide)
        before = stack.json("digest")
        assert ": equal" in stack.field("replay", "run", "--name", name, **wide)
        # what was published meanwhile moves in the same way, and is proven in the same way
        stack.field(*fleet, "--seed", "2", "--duration", "1")
        stack.field("wait")
        assert stack.run("replay", "verify", name).returncode == NotEqual.exit_code
        stack.field("archive", "--all", "--to", folder)
        stack.field("publish", "--archive", folder, **wide)
        until(lambda: stack.run("replay", "verify", name).returncode == 0, "both hold the same")
        until(lambda: stack.run("replay", "switch", name).returncode == 0, "its rows are where the state is")
        found = stack.json("digest")
        assert len(found["positions"]) == 16
        assert len(before["positions"]) == 4
        assert found["tables"] == stack.json("digest", "--generation", live)["tables"]
        stack.field(*fleet, "--seed", "3", "--duration", "1")  # to the topic that readers see
        stack.field("wait")
        assert max(stack.json("digest")["positions"].values()) > max(found["positions"].values())
        assert all(check["equal"] for check in stack.json("replay", "verify")["tiers"])
        assert rows(stack, "SELECT count(*) = count(DISTINCT (timestamp, id, routing_key)) FROM consciousness_events")


def refusal(stack: Stack) -> str | None:
    """What is advised where the worker has refused."""
    roles = stack.json("status")["processes"]
    return next((role["advice"] for role in roles if (role["role"], role["exit_code"]) == ("worker", REFUSED)), None)


def rows(stack: Stack, sql: str) -> Any:
    with psycopg.connect(stack.settings.database_url) as connection:
        return (connection.execute(sql).fetchone() or (False,))[0]


@pytest.mark.parametrize("version", ["1"])
def test_shards_of_every_earlier_version_are_kept(version: str) -> None:
    assert (FOLDER / f"shards-{version}.jsonl").exists()
    assert int(DEFAULT_RULES.version.partition("-")[0]) == int(version) + 1, "keep shards of the version before"
