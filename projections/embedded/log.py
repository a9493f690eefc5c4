"""The embedded log as the gateway wants it: a line that appends, and readers that stand in for Kafka's consumer.

What several senders wait for at the same time is one transaction. Readers look for news a hundred times a second: other
processes append, too. Whatever SQLite says is wrong comes as an OSError: the log is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndTimestamp

from projections.gateway.stores import OpenLog
from projections.gateway.vectors import Log
from streams.embedded import log
from streams.embedded.log import StoredRecord
from streams.embedded.store import Store
from streams.errors import FieldError
from streams.packing import Record
from streams.settings import Settings

POLL_S: Final = 0.01
RECORDS: Final = 1_000
"""Of all partitions together, where nobody says how many."""


@contextlib.contextmanager
def away() -> Iterator[None]:
    """Our own errors as those of a store that is away."""
    try:
        yield
    except FieldError as error:
        raise OSError(str(error)) from error


class Fixed:
    """``stores.Aim``: a file has one log, and one generation."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = Log(settings.events_topic, settings.partitions)
        self.topic = self.log.topic
        self.generation = settings.generation
        self.since_ms = 0
        self.moved = asyncio.Event()

    async def first(self) -> None:
        """It is known from the start."""

    async def has(self, id: str) -> bool:
        """Whether it is the log of this ``Log.id``."""
        return id == self.log.id

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        await stop.wait()


class SqliteLine:
    """``stores.Line``; made by ``connect``."""

    def __init__(self, store: Store, topic: str) -> None:
        self.topic = topic
        self.partitions = store.partitions
        self._store = store
        self._waiting: list[tuple[Sequence[Record], asyncio.Future[int]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._over = False

    async def send(self, partition: int, records: Sequence[Record]) -> int:
        """As ``Line`` says; raises OSError."""
        if self._over:
            raise OSError("the line was given up")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await done

    async def end(self) -> None:
        """What is in a transaction already ends with it."""
        self._over = True
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        self._store.close()

    async def _write(self) -> None:
        while self._waiting:
            sets, self._waiting = self._waiting, []
            try:
                firsts = await asyncio.to_thread(self._append, [records for records, _ in sets])
            except Exception as error:  # of whatever kind: somebody waits for each of them
                for _, done in sets:
                    if not done.done():
                        done.set_exception(OSError(*error.args))
                continue
            for (_, done), first in zip(sets, firsts, strict=True):
                if not done.done():
                    done.set_result(first)

    def _append(self, sets: Sequence[Sequence[Record]]) -> list[int]:
        with away(), self._store.writing() as db:
            offsets = log.append(db, [record for records in sets for record in records])
        firsts, at = [], 0
        for records in sets:
            firsts.append(offsets[at])
            at += len(records)
        return firsts


async def connect(settings: Settings, topic: str) -> SqliteLine:
    """``stores.Connect``. Whoever else writes is waited for no longer than a sender waits."""

    def opened() -> Store:
        with away():
            store = Store(settings)
            store.db.execute(f"PRAGMA busy_timeout = {settings.gateway_ack_ms}")
            return store

    return SqliteLine(await asyncio.to_thread(opened), topic)


class SqliteReader:
    """``stores.LogReader``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store
        self._at: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        self._store = await asyncio.to_thread(self._open)

    async def stop(self) -> None:
        with contextlib.suppress(AttributeError):  # it never started
            self._store.close()

    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        bounds = await self._bounds()
        return {place: bounds[place.partition][0] for place in places}

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        bounds = await self._bounds()
        return {place: bounds[place.partition][1] for place in places}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Any]:
        def found() -> dict[TopicPartition, Any]:
            with away():
                firsts = {place: log.first_since(self._store, place.partition, at) for place, at in times.items()}
            return {
                place: None if first is None else OffsetAndTimestamp(first, times[place])
                for place, first in firsts.items()
            }

        return await asyncio.to_thread(found)

    def assign(self, places: Iterable[TopicPartition]) -> None:
        self._at = dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._at[place] = offset

    async def position(self, place: TopicPartition) -> int:
        return self._at[place]

    async def getmany(
        self, *places: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[StoredRecord]]:
        until, most = time.monotonic() + timeout_ms / 1000, max_records or RECORDS
        wanted = places or tuple(self._at)
        while not (found := await asyncio.to_thread(self._read, wanted, max(1, most // max(1, len(wanted))))):
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            await asyncio.sleep(min(POLL_S, left_s))
        for place, records in found.items():
            self._at[place] = records[-1].offset + 1
        return found

    def _read(self, places: Sequence[TopicPartition], most: int) -> dict[TopicPartition, list[StoredRecord]]:
        with away():
            ends = log.ends(self._store)
            return {
                place: log.read(self._store, place.partition, self._at[place], ends[place.partition], most)
                for place in places
                if self._at[place] < ends[place.partition]
            }

    async def _bounds(self) -> dict[int, tuple[int, int]]:
        def bounds() -> dict[int, tuple[int, int]]:
            with away():
                return log.bounds(self._store)

        return await asyncio.to_thread(bounds)

    def _open(self) -> Store:
        with away():
            return Store(self._settings)


def sqlite_log(settings: Settings) -> OpenLog:
    """Readers of the embedded log of the settings."""

    def open_log(name: str, fetch_bytes: int = 0) -> SqliteReader:
        return SqliteReader(settings)

    return open_log
