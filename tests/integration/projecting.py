"""What the tests of projections share: records without Kafka, a database with the schema, a door to a part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import psycopg

from projections import raw
from projections.follow import Pool, Projection
from projections.generations import enter
from projections.migrate import migrate
from projections.pool import make_pool
from projections.positions import Position, Positions
from streams.events import Event
from streams.settings import Settings
from streams.table import partition_of
from streams.wire import encode_event

RECEIVED = 1_700_100_000_000


def record(value: bytes, offset: int, *, partition: int = 0, headers: Sequence[tuple[str, bytes]] = ()) -> Any:
    """What aiokafka would give."""
    return SimpleNamespace(
        topic="t", partition=partition, offset=offset, timestamp=RECEIVED, value=value, headers=tuple(headers)
    )


def by_partition(events: Sequence[Event], partitions: int) -> dict[int, list[Any]]:
    """One JSON record for each event, each on its own partition."""
    out: dict[int, list[Any]] = {}
    for event in events:
        number = partition_of(event.key, partitions)
        records = out.setdefault(number, [])
        records.append(record(encode_event(event), len(records), partition=number))
    return out


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Pool]:
    """An open pool of a migrated database, whose first generation is that of the settings."""
    await asyncio.to_thread(migrate, settings.database_url)
    await asyncio.to_thread(enter, settings)
    pool = make_pool(settings.database_url, raw.configure)
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close(timeout=1.0)


async def apply(projection: Projection, settings: Settings, pool: Pool, partition: int, records: Sequence[Any]) -> None:
    """All records in transactions as the follower makes them, from the stored position on."""
    positions = Positions(projection.name, settings.generation)
    async with pool.connection() as connection:
        stored = (await positions.load(connection, partition)).log_offset
    fresh = [r for r in records if r.offset > stored]
    for batch in projection.prepare(partition, fresh) if fresh else ():
        async with pool.connection() as connection, connection.transaction():
            await positions.advance(connection, partition, stored, Position(batch.log_offset, batch.input_position))
            await projection.write(connection, partition, batch)
        stored = batch.log_offset


def rows(dsn: str, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(sql.encode(), parameters).fetchall()


async def until(true: Callable[[], Any], what: str, tries: int = 600) -> None:
    """Wait until it is true; a test that waits in vain says what for."""
    for _ in range(tries):
        if await asyncio.to_thread(true):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never came: {what}")


class Door:
    """A TCP proxy that can be shut: to its clients the part behind it is down, for others it runs on."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        await asyncio.sleep(0.1)  # those that served them see it

    async def __aenter__(self) -> Door:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers |= {writer, back_writer}
        try:
            await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))
        finally:
            for end in (writer, back_writer):
                self._writers.discard(end)
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.transport.abort()
