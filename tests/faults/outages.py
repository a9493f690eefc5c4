"""The faults of parts and lines, each done to a stack under load. Seeds choose order and moments; ``Form`` how long.

Every function returns when the fault is over and measured; whether anything was lost the caller compares.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import redis
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy import positions
from deploy.local import loopback, parts
from projections.hot import Names
from streams.errors import PartUnavailable
from tests.acceptance.stack import until
from tests.faults.brokers import NODES
from tests.faults.figures import measured, refused
from tests.faults.losable import Losable

DRAINED_S: Final = 60
RIGHT_S: Final = 30
_OURS: Final = "application_name = 'field projections'"


@dataclass(frozen=True)
class Form:
    """How long things last (s), and how much is going on meanwhile (events a second)."""

    postgres_s: float = 20.0
    short_s: float = 2.0
    line_s: float = 1.5
    rate: float = 60.0


SHORT: Final = Form()
LONG: Final = Form(postgres_s=360.0, short_s=30.0, line_s=20.0, rate=100.0)


def chosen() -> Form:
    """``FAULTS=long`` in the environment asks for the long form."""
    return LONG if os.environ.get("FAULTS") == "long" else SHORT


def brokers_killed(stack: Losable, form: Form) -> None:
    """kill -9 each of the three in turn, and start it again."""
    for node in stack.chance.sample(NODES, len(NODES)):
        until(lambda: in_sync(stack), "all replicas are in sync")
        time.sleep(stack.chance.uniform(0.2, form.short_s))
        stack.brokers.kill(node)
        measured(f"Kafka: broker {node} killed, the log is in every tier again", stack.reached(), DRAINED_S)
        stack.brokers.restart(node)
    until(lambda: in_sync(stack), "all replicas are in sync")


def in_sync(stack: Losable) -> bool:
    """Whether every partition of every topic has all its replicas."""

    async def look() -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=stack.brokers.bootstrap())
        try:
            await admin.start()
            found = await admin.describe_topics()
        finally:
            await admin.close()
        return all(len(part["isr"]) == len(NODES) for topic in found for part in topic["partitions"])

    try:
        return asyncio.run(look())
    except (KafkaError, OSError):  # a broker that is just starting
        return False


def postgres_stopped(stack: Losable, form: Form, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Stopped at once (as by a crash) in the middle of a transaction of the raw projector; the rest goes on."""
    began = time.monotonic()
    with _database(stack) as connection:
        connection.autocommit = False
        connection.execute("LOCK TABLE consciousness_events IN ACCESS EXCLUSIVE MODE")
        until(lambda: _waiting(stack), "the raw projector is in the middle of a transaction")
        assert parts.stop_part(stack.settings, "postgres", signal.SIGQUIT)
    meanwhile()
    hot_again(stack)
    time.sleep(max(0.0, began + form.postgres_s - time.monotonic()))
    parts.start_part(stack.settings, "postgres", durable=False)
    measured(f"PostgreSQL stopped {form.postgres_s:g} s: drained", stack.reached(), DRAINED_S)


def backends_killed(stack: Losable, form: Form) -> None:
    """Every connection of the projector, again and again."""
    killed, end = 0, time.monotonic() + form.short_s
    with _database(stack) as connection:
        while time.monotonic() < end:
            cursor = connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OURS}")
            killed += cursor.rowcount
            time.sleep(stack.chance.uniform(0.01, 0.3))
    assert killed, "nobody was connected"
    measured(f"PostgreSQL: {killed} backends killed: drained", stack.reached(), DRAINED_S)


def postgres_read_only(stack: Losable, form: Form) -> None:
    """All writing stopped, for connections that are there and for new ones."""
    before = len(stack.log("projector"))
    _read_only(stack, True)
    time.sleep(form.short_s / 2)
    with _database(stack) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OURS}")
    time.sleep(form.short_s / 2)
    _read_only(stack, False)
    measured("PostgreSQL read-only: drained", stack.reached(), DRAINED_S)
    assert "ReadOnlySqlTransaction" in stack.log("projector")[before:], "the projector did not notice"


def disk_full(stack: Losable, form: Form) -> None:
    """Not a byte left for PostgreSQL."""
    if not stack.full_disk.possible:
        refused("PostgreSQL's disk full: this machine does not allow to mount a small file system")
        return
    before = len(stack.log("projector"))
    stack.full_disk.fill()
    until(lambda: "DiskFull" in stack.log("projector")[before:], "the projector notices that the disk is full")
    time.sleep(form.short_s)
    stack.full_disk.empty()
    parts.start_part(stack.settings, "postgres", durable=False)  # where it could not go on without its log
    measured("PostgreSQL's disk full: drained", stack.reached(), DRAINED_S)


def redis_killed(stack: Losable, form: Form) -> None:
    assert parts.stop_part(stack.settings, "redis", signal.SIGKILL)
    time.sleep(form.short_s)
    parts.start_part(stack.settings, "redis", durable=False)
    measured("Redis killed: snapshot again", hot_again(stack), RIGHT_S)


def redis_flushed(stack: Losable, form: Form) -> None:
    with _redis(stack) as client:
        client.flushall()
    measured("Redis flushed: snapshot again", hot_again(stack), RIGHT_S)


def redis_full(stack: Losable, form: Form) -> None:
    """Out of memory, and nothing may be evicted."""
    with _redis(stack) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        _refuses(client, redis.exceptions.OutOfMemoryError)
        time.sleep(form.short_s)
        client.config_set("maxmemory", "0")
    measured("Redis out of memory: snapshot again", hot_again(stack), RIGHT_S)


def redis_read_only(stack: Losable, form: Form) -> None:
    """The replica of a master that is not there."""
    with _redis(stack) as client:
        client.replicaof("127.0.0.1", loopback.free())
        _refuses(client, redis.exceptions.ReadOnlyError)
        time.sleep(form.short_s)
        client.replicaof("NO", "ONE")
    measured("Redis read-only: snapshot again", hot_again(stack), RIGHT_S)


def redis_busy(stack: Losable, form: Form) -> None:
    """Somebody's script does not end."""
    with _redis(stack) as client:
        client.config_set("busy-reply-threshold", "100")
        endless = threading.Thread(target=_endless, args=(stack,))
        endless.start()
        time.sleep(form.short_s)
        _refuses(client, redis.exceptions.ResponseError)
        client.script_kill()
        endless.join()
    measured("Redis busy: snapshot again", hot_again(stack), RIGHT_S)


POSTGRES: Final = (backends_killed, postgres_read_only, disk_full)
REDIS: Final = (redis_killed, redis_flushed, redis_full, redis_read_only, redis_busy)


def lines_slow(stack: Losable, form: Form) -> None:
    stack.proxy.set("latency", latency_ms=stack.chance.randrange(50, 150))
    time.sleep(2 * form.line_s)
    stack.proxy.set("pass")


def lines_cut(stack: Losable, form: Form) -> None:
    """One pair after the other, in an order of the seed; then all at once."""
    for pair in [*stack.chance.sample(pairs(stack), len(pairs(stack))), ""]:
        stack.proxy.set("cut", pair)
        time.sleep(form.line_s)
        stack.proxy.set("pass")
    measured("lines cut: the log is in every tier again", stack.reached(), DRAINED_S)


def lines_half_open(stack: Losable, form: Form) -> None:
    """All at once: nobody is told, and no connection of before ever works again."""
    stack.proxy.set("half_open")
    time.sleep(2 * form.line_s)
    stack.proxy.set("pass")
    measured("lines half open: the log is in every tier again", _talks_again(stack), DRAINED_S)


def each_half_open(stack: Losable, form: Form) -> None:
    """One pair after the other (long: every one waits for its own timeouts)."""
    for pair in stack.chance.sample(pairs(stack), len(pairs(stack))):
        stack.proxy.set("half_open", pair)
        time.sleep(form.line_s)
        stack.proxy.set("pass")
        measured(f"{pair} half open: the log is in every tier again", _talks_again(stack), DRAINED_S)


def pairs(stack: Losable) -> list[str]:
    """Every pair of programs that talk to each other; the links to the three brokers of Kafka are one."""
    return sorted({name.removesuffix("-1").removesuffix("-2").removesuffix("-3") for name in stack.proxy.links})


def hot_again(stack: Losable) -> float:
    """Seconds until Redis has a whole snapshot that reflects the log as it was when asked."""
    began = time.monotonic()
    names = Names.of(stack.settings.generation)

    async def ends() -> dict[int, int]:
        async with positions.LogWatch(stack.settings) as log:
            return await log.ends()

    targets = asyncio.run(ends())

    def whole() -> bool:
        try:
            at = positions.of_redis(stack.settings)
            with _redis(stack) as client:
                there = client.exists(names.position, names.at, names.current, names.entanglements, names.stream)
        except (PartUnavailable, redis.RedisError):
            return False
        return there == 5 and not positions.behind("redis", at, targets)

    until(whole, "the snapshot is right again")
    return time.monotonic() - began


def _talks_again(stack: Losable) -> float:
    """Seconds until the fleet has an acknowledgement again and all of the log is in every tier."""
    began = time.monotonic()
    fleet = stack.fleet
    assert fleet is not None
    before = len(fleet.acknowledged)
    until(lambda: len(fleet.acknowledged) > before, "the fleet's events are acknowledged again")
    stack.reached()
    return time.monotonic() - began


def _waiting(stack: Losable) -> bool:
    with _database(stack) as connection:
        sql = f"SELECT 1 FROM pg_stat_activity WHERE {_OURS} AND wait_event_type = 'Lock' AND state = 'active'"
        return connection.execute(sql).fetchone() is not None


def _read_only(stack: Losable, on: bool) -> None:
    with _database(stack) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def _database(stack: Losable) -> Iterator[psycopg.Connection[Any]]:
    """A connection that may write even where that is off by default; however it ends."""
    options = "-c default_transaction_read_only=off"
    connection = psycopg.connect(stack.settings.database_url, autocommit=True, options=options)
    try:
        yield connection
    finally:
        connection.close()


def _redis(stack: Losable) -> redis.Redis:
    return redis.Redis(port=stack.settings.redis_port, socket_timeout=10)


def _refuses(client: redis.Redis, kind: type[Exception]) -> None:
    try:
        client.set("tests:probe", "x")
    except kind:
        return
    raise AssertionError(f"Redis still writes, {kind.__name__} was expected")


def _endless(stack: Losable) -> None:
    with _redis(stack) as client:
        client.connection_pool.connection_kwargs["socket_timeout"] = None
        try:
            client.eval("while true do end", 0)
        except redis.RedisError:
            return
