"""Events and raw lines as records for a log, and the half that all publishers have in common: gathering them.

It computes routing key and partition itself, keeps a batch inside one partition, and sends OPT_* to every partition.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from streams.errors import InputError
from streams.events import OPTS, Event
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import LIMITS, Limits, read_record
from streams.wire import encode_batch, encode_event, encode_frame

Wire = Literal["json", "batch", "frame"]
WIRES: Final[tuple[Wire, ...]] = ("json", "batch", "frame")

JSON_HEADER: Final = ("content-type", b"application/json")
FRAME_HEADER: Final = ("content-type", b"application/vnd.field.frame")
BATCH_EVENTS: Final = {"json": 1, "batch": 100, "frame": 1_000}
"""Events of one record at most: arrays stay readable, frames small enough to be one record."""
LINE_BYTES_MAX: Final = 900_000
"""A longer line would be refused by the broker itself, so it cannot even become a dead letter."""


class Record(NamedTuple):
    """What goes to the broker: a Kafka record of ``partition`` that holds ``events`` events (or bad lines)."""

    partition: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    events: int


def pack(events: Sequence[Event], partitions: int, wire: Wire = "json") -> list[Record]:
    """Records for events: batches hold events of one partition, OPT_* go to all of them by themselves.

    The order inside each partition is the order given. Of the copies of an OPT_* event only the first counts.
    """
    out: list[Record] = []
    open_: dict[int, list[Event]] = {}
    size = BATCH_EVENTS[wire]

    def close(partition: int) -> None:
        if batch := open_.pop(partition, None):
            out.append(_record(partition, batch, wire))

    for event in events:
        if event.type in OPTS:
            for partition in range(partitions):
                close(partition)
            out.extend(_copies(event, encode_event(event), partitions))
            continue
        partition = partition_of(event.key, partitions)
        open_.setdefault(partition, []).append(event)
        if len(open_[partition]) >= size:
            close(partition)
    for partition in sorted(open_):
        close(partition)
    return out


def pack_line(
    line: bytes, number: int, partitions: int, wire: Wire = "json", limits: Limits = LIMITS
) -> tuple[list[Record], int]:
    """Records for one line of JSON, and how many things in it look invalid (sent as they are all the same).

    ``number`` spreads lines that have no routing key over the partitions; ``limits`` are those of the worker.
    """
    found = read_record(line, int(time.time() * 1000), limits)
    events = [item for item in found if isinstance(item, Event)]
    bad = [item for item in found if not isinstance(item, Event)]
    if not events:
        return [Record(number % partitions, None, line, (), 1)], max(1, len(bad))
    if wire == "json" and len(found) == 1:
        event = events[0]
        if event.type in OPTS:
            return _copies(event, line, partitions), 0
        return [Record(partition_of(event.key, partitions), event.key.encode(), line, (JSON_HEADER,), 1)], 0
    records = pack(events, partitions, "batch" if wire == "json" else wire)
    records += [Record(number % partitions, None, item.raw, (), 1) for item in bad]
    return records, len(bad)


def _record(partition: int, batch: Sequence[Event], wire: Wire) -> Record:
    key = batch[0].key.encode()
    if wire == "frame":
        return Record(partition, key, encode_frame(batch), (FRAME_HEADER,), len(batch))
    if wire == "batch" and len(batch) > 1:
        return Record(partition, key, encode_batch(batch), (JSON_HEADER,), len(batch))
    return Record(partition, key, encode_event(batch[0]), (JSON_HEADER,), 1)


def _copies(event: Event, value: bytes, partitions: int) -> list[Record]:
    headers = (JSON_HEADER, ("fanout", str(partitions).encode()))
    return [Record(n, event.key.encode(), value, headers, 1 if n == 0 else 0) for n in range(partitions)]


class Gatherer(ABC):
    """What devices say becomes records, which ``_add`` takes on; ``push`` and ``flush`` are the log's.

    ``acknowledged`` counts events (and bad lines) that are on the log, ``invalid`` lines that look as if the fold's
    validation will reject them.
    """

    def __init__(self, settings: Settings, wire: Wire = "json") -> None:
        self.settings = settings
        self.wire = wire
        self.acknowledged = 0
        self.invalid = 0
        self.partitions = settings.partitions
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._lines = 0
        self._events: list[Event] = []

    async def publish(self, event: Event) -> None:
        """Take one event; it goes on with others soon (``push``) or when a set is full."""
        self._events.append(event)
        if len(self._events) >= BATCH_EVENTS[self.wire] * self.partitions:
            await self._gather()

    async def publish_line(self, line: bytes) -> None:
        """Take one line as it is: a JSON event, an array, or something that validation will reject."""
        self._lines += 1
        if len(line) > LINE_BYTES_MAX:
            raise InputError(f"line {self._lines} has {len(line)} bytes, more than a record may have")
        await self._gather()
        records, bad = pack_line(line, self._lines, self.partitions, self.wire, self._limits)
        self.invalid += bad
        await self._add(records)

    async def publish_records(self, records: Sequence[Record]) -> None:
        """Take records that are packed already; the order inside each partition is the order given."""
        await self._gather()
        await self._add(records)

    async def _gather(self) -> None:
        if self._events:
            events, self._events = self._events, []
            await self._add(pack(events, self.partitions, self.wire))

    @abstractmethod
    async def _add(self, records: Sequence[Record]) -> None:
        """Take records on, in order; waits where too many wait already."""
