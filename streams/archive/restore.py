"""An archive onto an empty topic, each record at the offset that it had: what speaks of places in the log stays true.

What an archive has as a place only (rejected bytes, originals on the wrong partition, markers of transactions) becomes
a record that says it holds nothing: nobody folds, rejects or copies it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from streams.archive.history import ArchiveHistory
from streams.archive.write import Progress
from streams.entry import Entry, read_entry
from streams.errors import InputError
from streams.events import OPTS
from streams.history import KafkaHistory
from streams.packing import FRAME_HEADER, JSON_HEADER, Record
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.validate import CONTENT_NOTHING, Limits
from streams.wire import encode_event, encode_frame

GATHERED: Final = 500
"""Records handed to the publisher at a time."""


async def restore(
    archive: ArchiveHistory,
    settings: Settings,
    ends: Mapping[int, int],
    progress: Progress = lambda number, count: None,
) -> int:  # fmt: skip
    """Send records up to before ``ends`` (by partition) and wait until the broker has them; returns the events sent.

    The topic must be there and be empty. Raises InputError when it is not, when somebody else writes to it, or when
    the settings' limits refuse an event; HistoryError, DeliveryError, PartUnavailable.
    """
    if any(end for _, end in (await _bounds(settings)).values()):
        raise InputError(f"topic {settings.events_topic} has had records: restore into topics that are new")
    async with LogPublisher(settings, "frame") as publisher:
        sent = await asyncio.gather(
            *(_partition(archive, publisher, settings, number, end, progress) for number, end in ends.items())
        )
        await publisher.flush()
    for number, (_, end) in (await _bounds(settings)).items():
        if end != ends.get(number, 0):
            raise InputError(
                f"{settings.events_topic}/{number} ends at {end} and not at {ends.get(number, 0)}: somebody else has "
                "written to it. Stop whoever publishes, clear the place, restore again"
            )
    return sum(sent)


async def _bounds(settings: Settings) -> dict[int, tuple[int, int]]:
    async with KafkaHistory(settings) as log:
        return await log.bounds()


async def _partition(
    archive: ArchiveHistory, publisher: LogPublisher, settings: Settings, number: int, end: int, progress: Progress
) -> int:
    limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
    sent, gathered = 0, list[Record]()
    async for record in _records(archive, number, end, publisher.partitions, limits):
        gathered.append(record)
        sent += record.events
        if len(gathered) == GATHERED:
            progress(number, sum(one.events for one in gathered))
            await publisher.publish_records(gathered)
            gathered = []
    progress(number, sum(one.events for one in gathered))
    await publisher.publish_records(gathered)
    return sent


async def _records(
    archive: ArchiveHistory, number: int, end: int, partitions: int, limits: Limits
) -> AsyncIterator[Record]:
    """One for each offset from 0 up to before ``end``."""
    at, received_ms = 0, 0
    async for entry in _entries(archive, number, end):
        received_ms = received_ms or entry.received_ms
        for _ in range(at, entry.offset):
            yield nothing(number, received_ms)
        yield record_of(entry, number, partitions, limits)
        at, received_ms = entry.offset + 1, entry.received_ms
    for _ in range(at, end):
        yield nothing(number, received_ms)


async def _entries(archive: ArchiveHistory, number: int, end: int) -> AsyncIterator[Entry]:
    first, _ = (await archive.bounds()).get(number, (end, end))
    if first < end:
        async for entries in archive.entries(number, first, end):
            for entry in entries:
                yield entry


def record_of(entry: Entry, partition: int, partitions: int, limits: Limits) -> Record:
    """The record that is read as this entry again; raises InputError when these limits refuse one of its events.

    Of a record that had bad events between its good ones, the good ones move up within it.
    """
    if not entry.events:
        return nothing(partition, entry.received_ms)
    single = len(entry.events) == 1
    value = encode_event(entry.events[0]) if single else encode_frame(list(entry.events))
    headers = [JSON_HEADER if single else FRAME_HEADER, ("received", b"%d" % entry.received_ms)]
    if any(event.type in OPTS for event in entry.events):  # every partition has its own
        headers.append(("fanout", b"%d" % partitions))
    read = read_entry(_Written(entry.offset, entry.received_ms, value, headers), partition, partitions, limits)
    if list(read.events) != list(entry.events):
        raise InputError(
            f"record {partition}:{entry.offset} was valid when it was archived and is not now: the limits are others, "
            "see FIELD_SKEW_MS_MAX, FIELD_EVENT_BYTES_MAX and FIELD_DEPTH_MAX"
        )
    return Record(partition, entry.events[0].key.encode(), value, headers, len(entry.events))


def nothing(partition: int, received_ms: int) -> Record:
    """A place in the log that holds no event."""
    return Record(partition, None, b"", (("content-type", CONTENT_NOTHING), ("received", b"%d" % received_ms)), 0)


class _Written:
    """A ``LogRecord`` as the log will give it back."""

    def __init__(self, offset: int, timestamp: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.value: bytes | None = value
        self.headers = headers
