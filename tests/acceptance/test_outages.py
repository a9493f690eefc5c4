"""A whole stack loses Redis, then PostgreSQL, while devices go on: nothing is lost, and all of it comes back."""

from __future__ import annotations

import signal

import psycopg
from redis import Redis

from deploy.local import parts
from projections.hot import Names
from tests.acceptance.stack import Stack, until

DEVICES, RATE, SECONDS = "40", "400", "4"
EVENTS = int(RATE) * int(SECONDS)


def test_devices_go_on_while_redis_and_postgres_are_away(own_stack: Stack) -> None:
    stack = own_stack
    publish(stack, seed=1)
    stack.field("wait")
    assert parts.stop_part(stack.settings, "redis", signal.SIGKILL)
    publish(stack, seed=2)
    until(lambda: rows(stack) == 2 * EVENTS, "the database goes on without Redis")
    assert "redis" in stack.field("wait", "--timeout", "1", code=1).lower()
    assert "it is up already" in stack.field("up"), "which starts the part that is down"
    stack.field("wait")
    assert snapshot(stack), "the snapshot is back by itself"

    assert parts.stop_part(stack.settings, "postgres", signal.SIGKILL)
    publish(stack, seed=3)
    until(lambda: folded(stack) == ends(stack), "the fold goes on without PostgreSQL")
    assert snapshot(stack), "and so does the snapshot"
    stack.field("wait", "--timeout", "1", code=1)
    parts.start_part(stack.settings, "postgres")
    stack.field("wait")
    assert rows(stack) == 3 * EVENTS


def publish(stack: Stack, seed: int) -> None:
    stack.field("simulate", "--devices", DEVICES, "--rate", RATE, "--seed", str(seed), "--duration", SECONDS)


def rows(stack: Stack) -> int:
    with psycopg.connect(stack.settings.database_url) as connection:
        (found,) = connection.execute("SELECT count(*) FROM consciousness_events").fetchone() or (0,)
    return int(found)


def snapshot(stack: Stack) -> bool:
    with Redis(port=stack.settings.redis_port) as redis:
        return bool(redis.exists(Names.of(stack.settings.generation).current))


def folded(stack: Stack) -> dict[str, int]:
    return {number: offset for number, offset in stack.json("digest")["positions"].items() if offset >= 0}


def ends(stack: Stack) -> dict[str, int]:
    """Last offset of the log by partition."""
    return {number: end for number, end in stack.json("status")["end"].items() if end >= 0}
