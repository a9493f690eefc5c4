"""The publisher of the embedded log, from any process of this machine.

What was taken is appended in one transaction; ``acknowledged`` counts what is stored. At most SET_BYTES_MAX and one
record wait: whoever publishes waits while they are written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from streams.embedded import log
from streams.embedded.store import Store
from streams.packing import Gatherer, Record, Wire
from streams.settings import Settings

SET_BYTES_MAX: Final = 1024 * 1024


class SqlitePublisher(Gatherer):
    """Publishes to the embedded log; an async context manager. Raises what ``Store`` raises, and InputError."""

    store = "the embedded log"

    def __init__(self, settings: Settings, wire: Wire = "json") -> None:
        super().__init__(settings, wire)
        self._waiting: list[Record] = []
        self._bytes = 0
        self._store: Store | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> SqlitePublisher:
        self._store = await asyncio.to_thread(Store, self.settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._store is not None
        try:
            if kind is None:
                await self.flush()
        finally:
            self._store.close()

    async def push(self) -> None:
        """Store all that was taken so far."""
        await self._gather()
        await self._write()

    async def flush(self) -> int:
        """Store all; returns ``acknowledged``."""
        await self.push()
        return self.acknowledged

    async def _add(self, records: Sequence[Record]) -> None:
        for record in records:
            self._waiting.append(record)
            self._bytes += len(record.value) + 100
            if self._bytes >= SET_BYTES_MAX:
                await self._write()

    async def _write(self) -> None:
        async with self._turn:  # several tasks may publish; the connection has one transaction at a time
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        if not self._waiting:
            return
        records, self._waiting, self._bytes = self._waiting, [], 0
        # A cancelled publisher (Ctrl-C) still waits for the transaction, so that it counts what is stored.
        writing = asyncio.ensure_future(asyncio.to_thread(self._append, records))
        try:
            await asyncio.shield(writing)
        finally:
            if not writing.done():
                await asyncio.wait((writing,))
            if writing.exception() is None:
                self.acknowledged += sum(record.events for record in records)

    def _append(self, records: Sequence[Record]) -> None:
        assert self._store is not None, "use `async with`"
        with self._store.writing() as db:
            log.append(db, records)
