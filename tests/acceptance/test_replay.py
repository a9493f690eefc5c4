"""Replay as an operator does it: plan, run, verify, switch, undo, drop; on the real parts, with processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

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
    stack.field("wait")


def same(stack: Stack, *generations: str) -> bool:
    found = [stack.json("digest", "--generation", name) for name in generations]
    return all(one == found[0] for one in found)


def rows(stack: Stack, sql: str) -> list[Any]:
    with psycopg.connect(stack.settings.database_url) as connection:
        return connection.execute(sql).fetchall()
