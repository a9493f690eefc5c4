"""A log's history into an archive: what is missing in it, stretch by stretch; the open end only when asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, NamedTuple

from streams.archive.format import Head
from streams.archive.history import NEITHER, ArchiveHistory, check
from streams.archive.store import File, Store, Writing
from streams.entry import Entry
from streams.history import History

STRETCH_EVENTS: Final = 100_000
"""Events of one file at most, and records: some megabytes, what a crash makes us write again."""

Progress = Callable[[int, int], None]
"""(partition, records of it read since the last call)."""


class Gap(NamedTuple):
    """Records start <= offset < end that no file has; ``closed`` when a file follows, so that all of it is written."""

    start: int
    end: int
    closed: bool


async def archive(
    history: History, store: Store, partitions: int, *,
    until: Mapping[int, int] | None = None, rest: bool = False, stretch: int = STRETCH_EVENTS,
    progress: Progress = lambda partition, records: None,
) -> list[tuple[int, File]]:  # fmt: skip
    """Write what the archive of ``history`` (a log of ``partitions`` partitions) does not have yet.

    Only full stretches, unless ``rest``; ``until`` is the offset to stop before, by partition, and is reached.
    Returns (partition, file) of what was written. Raises HistoryError when records are gone that no file has, or the
    archive is of another log; InputError when another process writes.
    """
    written: list[tuple[int, File]] = []
    with store.writing():
        bounds = await history.bounds()
        here = ArchiveHistory(store, partitions)
        for number in here.files:
            for file in store.gone(number):
                if file.first < bounds[number][0]:
                    raise here.missing(number, file.first, min(file.last + 1, bounds[number][0]), NEITHER)
            store.recover(number)
        here = ArchiveHistory(store, partitions)
        await check(here, history)
        for number, (first, end) in sorted(bounds.items()):
            stop = end if until is None else min(end, until.get(number, first))
            for gap in gaps(here.files.get(number, []), first, stop):
                if gap.start < first:
                    raise here.missing(number, gap.start, min(first, gap.end), NEITHER)
                whole = gap.closed or rest or until is not None
                head = Head(store.topic, number, partitions, gap.start)
                found = history.entries(number, gap.start, gap.end)
                async for file in stretches(found, store, head, gap.end if whole else None, stretch, progress):
                    written.append((number, file))
    return written


def gaps(files: list[File], first: int, end: int) -> list[Gap]:
    """What is missing between and after ``files``, up to ``end``; before them from ``first`` on."""
    out, at = [], min(first, files[0].first) if files else first
    for file in files:
        if at < file.first:
            out.append(Gap(at, file.first, True))
        at = file.last + 1
    return [*out, Gap(at, end, False)] if at < end else out


async def stretches(
    found: AsyncIterator[list[Entry]], store: Store, head: Head, end: int | None, stretch: int, progress: Progress
) -> AsyncIterator[File]:
    """Files of at most ``stretch`` events and records; the last one reaches to ``end``, None: only full ones."""
    writing: Writing | None = None
    try:
        async for entries in found:
            for entry in entries:
                foot = writing.foot if writing else None
                if foot and (foot.events + len(entry.events) > stretch or foot.entries == stretch):
                    assert writing
                    yield writing.close(foot.last)
                    writing, head = None, head._replace(first=foot.last + 1)
                writing = writing or store.begin(head)
                writing.add(entry)
            progress(head.partition, len(entries))
        if end is not None:
            yield (writing or store.begin(head)).close(end - 1)
            writing = None
    finally:
        if writing:
            writing.drop()
