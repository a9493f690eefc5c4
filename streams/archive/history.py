"""The archived log, alone and joined to what Kafka still has: one log again, read without a seam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from streams.archive.format import Block, Packed, blocks
from streams.archive.store import File, Store
from streams.chunks import Chunk
from streams.entry import Entry
from streams.errors import ArchiveError, HistoryError
from streams.history import History, KafkaHistory, StoredHistory
from streams.settings import Settings

T = TypeVar("T")
NEITHER: Final = "neither in Kafka nor in"


class ArchiveHistory:
    """Entries of an archived topic, of what is there when this is made; asks no Kafka.

    ``partitions`` is how many the topic has (0: as the files say). Raises HistoryError for a damaged index, and for
    files of a topic with another number of partitions.
    """

    def __init__(self, store: Store, partitions: int = 0) -> None:
        self.store = store
        self.partitions = partitions
        self.files: dict[int, list[File]] = {}
        for number in store.partitions():
            if files := store.files(number):
                self.files[number] = files
                self._check(number, files)

    async def bounds(self) -> dict[int, tuple[int, int]]:
        """Of the partitions that have files."""
        return {number: (files[0].first, files[-1].last + 1) for number, files in self.files.items()}

    async def entries(self, partition: int, start: int, end: int) -> AsyncIterator[list[Entry]]:
        """As ``History`` says; HistoryError too when a file is damaged or gone."""
        async for found in self._walk(partition, start, end, Block.entries):
            yield [one for one in found if start <= one.offset < end]

    def pieces(self, partition: int, start: int, end: int) -> AsyncIterator[Packed]:
        """As ``History`` says; HistoryError too when a file is damaged or gone."""
        return self._walk(partition, start, end, Block.packed)

    async def _walk(self, partition: int, start: int, end: int, take: Callable[[Block], T]) -> AsyncIterator[T]:
        """What ``take`` makes of each block that has entries with start <= offset < end."""
        at = start
        for file in self.overlapping(partition, start, end):
            if file.first > at:
                break
            data = await asyncio.to_thread(self.store.read, partition, file)
            try:
                for block in blocks(data):
                    if block.high >= at and block.low < end:
                        yield take(block)
                        await asyncio.sleep(0)
            except ArchiveError as error:
                raise self.store.damaged(partition, file, error) from None
            at = file.last + 1
        if at < end:
            raise self.missing(partition, at, end)

    async def last(self, partition: int) -> Entry | None:
        """The newest entry of a partition."""
        for file in reversed(self.files.get(partition, [])):
            if file.entries:
                data = await asyncio.to_thread(self.store.read, partition, file)
                try:
                    *_, block = blocks(data)
                    return block.entries()[-1]
                except ArchiveError as error:
                    raise self.store.damaged(partition, file, error) from None
        return None

    def overlapping(self, partition: int, start: int, end: int) -> list[File]:
        """Files that have records with start <= offset < end."""
        return [file for file in self.files.get(partition, []) if file.last >= start and file.first < end]

    def missing(self, partition: int, start: int, end: int, where: str = "not in") -> HistoryError:
        """That these records are not in the archive (``where``: "neither in Kafka nor in")."""
        after = [file.first for file in self.overlapping(partition, start, end) if file.first > start]
        return HistoryError(
            f"records {start}..{min([end, *after]) - 1} are {where} the archive {self.store.path}: "
            "put back its files, or run `field archive` while Kafka has them",
            topic=self.store.topic, partition=partition, offset=start,
        )  # fmt: skip

    def _check(self, partition: int, files: list[File]) -> None:
        self.partitions = self.partitions or files[0].partitions
        for file in files:
            if file.partitions != self.partitions:
                raise HistoryError(
                    f"{self.store.path / str(partition) / file.name} is of a topic with {file.partitions} partitions, "
                    f"not {self.partitions}: set FIELD_PARTITIONS, or name the topic that it was (FIELD_EVENTS_TOPIC)",
                    topic=self.store.topic, partition=partition, offset=file.first,
                )  # fmt: skip


class JoinedHistory:
    """What is archived comes from the archive, all else from ``log``; HistoryError where neither has it."""

    def __init__(self, archive: ArchiveHistory, log: StoredHistory) -> None:
        self._archive = archive
        self._log = log

    async def bounds(self) -> Mapping[int, tuple[int, int]]:
        """From the first record of either to the end of the log."""
        found = dict(await self._log.bounds())
        for number, (first, end) in (await self._archive.bounds()).items():
            low, high = found.get(number, (first, end))
            found[number] = min(first, low), max(end, high)
        return found

    async def entries(self, partition: int, start: int, end: int) -> AsyncIterator[list[Entry]]:
        """As ``History`` says."""
        async for source, low, high in self._parts(partition, start, end):
            async for entries in source.entries(partition, low, high):
                yield entries

    async def pieces(self, partition: int, start: int, end: int) -> AsyncIterator[Chunk | Packed]:
        """As ``History`` says."""
        async for source, low, high in self._parts(partition, start, end):
            async for piece in source.pieces(partition, low, high):
                yield piece

    async def _parts(self, partition: int, start: int, end: int) -> AsyncIterator[tuple[StoredHistory, int, int]]:
        """Who has which offsets, in order: the archive all that it has, the log the rest."""
        at = start
        for file in self._archive.overlapping(partition, start, end):
            if file.first > at:
                yield await self._log_has(partition, at, file.first), at, file.first
            at = max(at, file.first)
            yield self._archive, at, min(end, file.last + 1)
            at = file.last + 1
        if at < end:
            yield await self._log_has(partition, at, end), at, end

    async def _log_has(self, partition: int, start: int, end: int) -> StoredHistory:
        first, _ = (await self._log.bounds()).get(partition, (end, end))
        if start < first:
            raise self._archive.missing(partition, start, min(first, end), NEITHER)
        return self._log


async def check(archive: ArchiveHistory, log: History, only: int | None = None) -> None:
    """Raises HistoryError when the archive is of another log than ``log``: it is longer, or its last record was
    received at another time. ``only``: the one partition to look at; None: all of them."""
    bounds = await log.bounds()
    for number in archive.files if only is None else archive.files.keys() & {only}:
        files = archive.files[number]
        first, end = bounds.get(number, (0, 0))
        last = await archive.last(number)
        same = files[-1].last < end
        if same and last is not None and first <= last.offset:
            # its events may be judged by other settings by now
            found = [some async for some in log.entries(number, last.offset, last.offset + 1)]
            same = last.received_ms in [entry.received_ms for some in found for entry in some]
        if not same:
            raise HistoryError(
                f"the archive {archive.store.path} is of another log: its last record is not in this one, "
                f"which ends at {end}; name the folder that belongs to this log (FIELD_ARCHIVE)",
                topic=archive.store.topic, partition=number, offset=files[-1].last,
            )  # fmt: skip


@asynccontextmanager
async def open_history(settings: Settings, only: int | None = None) -> AsyncIterator[StoredHistory]:
    """The history of the configured log: the archive of FIELD_ARCHIVE, where there is one, then Kafka.

    ``only``: the one partition that will be asked for, which saves looking whether the others fit; None: any.
    Raises HistoryError when the archive is damaged or of another log, PartUnavailable.
    """
    async with KafkaHistory(settings) as log:
        if not settings.archive:
            yield log
            return
        archive = ArchiveHistory(Store(settings.archive, settings.events_topic), settings.partitions)
        await check(archive, log, only)
        yield JoinedHistory(archive, log)
