"""The guards that stand in the statements themselves, behind those in memory: called directly, on real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import psycopg
import pytest

from projections.follow import Pool
from projections.generations import enter
from projections.migrate import migrate
from projections.positions import Connection, Moved, Position, Positions
from projections.queries import query
from projections.raw import Raw
from projections.state import State
from streams.changes import Changes, SessionRow, encode
from streams.events import Event
from streams.settings import Settings
from streams.wire import encode_event
from tests.integration.projecting import database, record, rows
from tests.workers import LIMIT_S
from tests.worlds import say

SESSION = {
    "room_id": "hall", "opened": 1_000, "last": 2_000, "final": False, "present": 1, "seated": 1, "devices": 1,
    "blooms": 0, "phrases": 0, "participants": [], "coherence": None, "resonance": None, "partition": 0, "shard": 3,
}  # fmt: skip
PAIR = {
    "routing_key": "hall", "low": "ana", "high": "bea", "established": 1, "explicit": False, "kind": None,
    "intensity": None, "last": 2, "partition": 0, "shard": 3,
}  # fmt: skip
STORED = {
    "sessions": "SELECT position, extract(epoch FROM last)::bigint FROM room64_sessions ORDER BY room_id",
    "pairs": "SELECT position, extract(epoch FROM last)::bigint FROM entanglements ORDER BY high",
}


@pytest.fixture
def dsn(postgres: str) -> str:
    migrate(postgres)
    enter(Settings(database_url=postgres))
    return postgres


def run(dsn: str, name: str, *given: dict[str, Any]) -> int:
    """One statement with rows; how many it wrote."""
    with psycopg.connect(dsn) as connection:
        parameters = {"generation": "live", "rows": msgspec.json.encode(list(given)).decode()}
        return connection.execute(query(name), parameters).rowcount


def stored(dsn: str, table: str, position: int, **over: Any) -> None:
    plain = SESSION if table == "sessions" else PAIR
    run(dsn, f"{table}_upsert", plain | {"position": position} | over)


@pytest.mark.parametrize(("table", "unit"), [("sessions", 1_000), ("pairs", 1)])
def test_an_upsert_never_goes_behind_a_position(dsn: str, table: str, unit: int) -> None:
    stored(dsn, table, 10, last=50 * unit)
    stored(dsn, table, 9, last=60 * unit)
    assert rows(dsn, STORED[table]) == [(10, 50)]
    stored(dsn, table, 10, last=70 * unit)
    assert rows(dsn, STORED[table]) == [(10, 70)]


@pytest.mark.parametrize("table", ["sessions", "pairs"])
def test_a_removal_takes_no_newer_row(dsn: str, table: str) -> None:
    plain = SESSION if table == "sessions" else PAIR
    stored(dsn, table, 10)
    assert run(dsn, f"{table}_remove", plain | {"position": 9}) == 0
    assert run(dsn, f"{table}_remove", plain | {"position": 10}) == 1
    assert rows(dsn, STORED[table]) == []


@pytest.mark.parametrize(("table", "name"), [("sessions", "room_id"), ("pairs", "high")])
def test_a_sweep_takes_what_is_older_in_its_shard_and_nothing_else(dsn: str, table: str, name: str) -> None:
    for number, (position, over) in enumerate(
        [(9, {}), (10, {}), (11, {}), (9, {"shard": 4}), (9, {"partition": 1}), (9, {"final": True})]
    ):
        stored(dsn, table, position, **{name: f"x{number}"} | over)
    swept = run(dsn, f"{table}_sweep", {"partition": 0, "shard": 3, "position": 10})
    column = "room_id FROM room64_sessions" if table == "sessions" else "high FROM entanglements"
    left = [found for (found,) in rows(dsn, f"SELECT {column} ORDER BY 1")]
    assert left == (["x1", "x2", "x3", "x4", "x5"] if table == "sessions" else ["x1", "x2", "x3", "x4"])
    assert swept == 6 - len(left)


def test_the_position_of_a_shard_never_goes_down(dsn: str) -> None:
    for position, writer, kept in ((10, "1-a", (10, "1-a")), (9, "2-b", (10, "1-a")), (10, "3-c", (10, "3-c"))):
        run(dsn, "shards_store", {"partition": 0, "shard": 3, "position": position, "writer": writer})
        assert rows(dsn, "SELECT position, writer FROM shard_positions") == [kept]


def test_a_node_never_goes_back_in_any_of_its_partitions(dsn: str) -> None:
    def store(position: dict[str, int]) -> int:
        row = {"node_id": "field", "state": {}, "resonance": 0.5, "active_nodes": 1, "watermark": None}
        return run(dsn, "states_upsert", row | {"position": position})

    assert store({"0": 10, "1": 5}) == 1
    assert [store(behind) for behind in ({"0": 11, "1": 4}, {"0": 11}, {"1": 9})] == [0, 0, 0]
    assert rows(dsn, "SELECT position FROM consciousness_states") == [({"0": 10, "1": 5},)]
    assert [store(ahead) for ahead in ({"0": 10, "1": 5}, {"0": 11, "1": 5, "2": 0})] == [1, 1]


def test_a_sample_is_taken_once(dsn: str) -> None:
    row = {"timestamp": 1_000, "node_id": "field", "resonance": 0.5, "active_nodes": 1, "position": {"0": 1}}
    assert [run(dsn, "samples_insert", given) for given in (row, row | {"resonance": 0.9})] == [1, 0]


async def test_a_position_moves_only_from_where_it_was_read(postgres: str) -> None:
    positions = Positions("raw", "live")
    async with database(Settings(database_url=postgres)) as pool, pool.connection() as connection:
        assert await positions.load(connection, 0) == Position(-1, -1)
        await positions.advance(connection, 0, -1, Position(10, 8))
        for expected in (-1, 9, 11):
            with pytest.raises(Moved):
                await positions.advance(connection, 0, expected, Position(20, 20))
        await positions.advance(connection, 0, 10, Position(12, -1))  # records that say nothing about the input
        assert await positions.load(connection, 0) == Position(12, 8)
        for other in (Positions("state", "live"), Positions("raw", "next")):
            assert await other.load(connection, 0) == Position(-1, -1)


Write = Callable[[Connection], Awaitable[int]]


def raw(settings: Settings, event: Event, offset: int) -> Write:
    (batch,) = Raw(settings).prepare(0, [record(encode_event(event), offset)])
    return lambda connection: Raw(settings).write(connection, 0, batch)


def session(settings: Settings) -> Write:
    """A session in which ana is present."""
    row = SessionRow("hall", 1_000, 2_000, False, 2, 2, 2, 0, 0, [("ana", 1_000, True), ("bea", 1_000, True)])
    change = encode(Changes(0, 0, 5, "1-a", 1, "1-x", False, [row], [], [], []))
    (batch,) = State(settings).prepare(0, [record(change, 0)])
    return lambda connection: State(settings).write(connection, 0, batch)


async def at_once(pool: Pool, first: Write, second: Write) -> bool:
    """The second transaction begins while the first is open; whether it had to wait for its end."""

    async def transact(connection: Connection) -> None:
        async with connection.transaction():
            await second(connection)

    async with pool.connection() as one, pool.connection() as two, pool.connection() as watching:
        async with one.transaction():  # or the two would meet where the first rows of a hypertable make its chunk
            await raw(Settings(partitions=1), say("zoe", "BREATH", 0, seq=0), 0)(one)
        async with one.transaction():
            await first(one)
            other = asyncio.create_task(transact(two))
            waits = await waiting(watching, other)
        await other
        return waits


async def waiting(connection: Connection, other: asyncio.Task[None]) -> bool:
    """Until the other waits for a lock (True) or is through (False)."""
    sql = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE NOT granted"
    async with asyncio.timeout(LIMIT_S):
        while not other.done():
            cursor = await connection.execute(
                f"{sql} AND locktype = 'advisory' AND datname = current_database()".encode()
            )
            if await cursor.fetchone() != (0,):
                return True
    return False


@pytest.fixture
def one_partition(make_settings) -> Settings:
    return make_settings(partitions=1)


@pytest.mark.parametrize("out_first", [False, True])
async def test_an_event_and_an_opt_out_at_once(one_partition: Settings, out_first: bool) -> None:
    """One of the two transactions has to see the other's row: the event never counts."""
    event = raw(one_partition, say("ana", "BREATH", 10, room="hall", seq=1), 0)
    out = raw(one_partition, say("ana", "OPT_OUT", 5), 1)
    async with database(one_partition) as pool:
        assert await at_once(pool, *((out, event) if out_first else (event, out)))
    found = rows(
        one_partition.database_url,
        "SELECT collective FROM consciousness_events WHERE type = 'BREATH' AND device_id = 'ana'",
    )
    assert found == [(False,)]


@pytest.mark.parametrize("out_first", [False, True])
async def test_a_session_and_an_opt_out_at_once(one_partition: Settings, out_first: bool) -> None:
    out = raw(one_partition, say("ana", "OPT_OUT", 5), 0)
    sat = session(one_partition)
    async with database(one_partition) as pool:
        assert await at_once(pool, *((out, sat) if out_first else (sat, out)))
    found = rows(one_partition.database_url, "SELECT participants FROM room64_sessions")
    assert found == [([["bea", 1_000, True]],)]


async def test_events_do_not_wait_for_each_other(one_partition: Settings) -> None:
    writes: Sequence[Write] = [raw(one_partition, say(who, "BREATH", 1, room="hall"), 0) for who in ("ana", "bea")]
    async with database(one_partition) as pool:
        assert not await at_once(pool, *writes)
        assert not await at_once(pool, session(one_partition), writes[0])
