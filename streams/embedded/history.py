"""The embedded log from a position to a position, as ``history.History`` says: for archive, replay and the past."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

from streams.embedded import log
from streams.embedded.store import Store
from streams.entry import Entry, read_entry
from streams.errors import HistoryError
from streams.settings import Settings
from streams.validate import Limits


class SqliteHistory:
    """An async context manager; reads while others append and fold. Raises what ``Store`` raises."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._store: Store | None = None

    async def __aenter__(self) -> SqliteHistory:
        self._store = await asyncio.to_thread(Store, self._settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened().close()

    async def bounds(self) -> dict[int, tuple[int, int]]:
        """(first offset, offset after the last) by partition, of one moment."""
        return await asyncio.to_thread(log.bounds, self._opened())

    async def entries(self, partition: int, start: int, end: int) -> AsyncIterator[list[Entry]]:
        """As ``History`` says."""
        store = self._opened()
        first, after = (await self.bounds())[partition]
        if start < min(first, end):
            raise HistoryError(
                f"records {start}..{min(first, end) - 1} are no longer in the embedded log: an archive that has them "
                "is needed (`field archive`)",
                topic=self._settings.events_topic, partition=partition, offset=start,
            )  # fmt: skip
        at, stop = start, min(end, after)
        while at < stop:
            records = await asyncio.to_thread(log.read, store, partition, at, stop, self._settings.poll_records)
            if not records:
                return
            yield [read_entry(record, partition, store.partitions, self._limits) for record in records]
            at = records[-1].offset + 1

    def _opened(self) -> Store:
        assert self._store is not None, "use `async with`"
        return self._store
