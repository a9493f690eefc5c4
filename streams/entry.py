"""One record of the log as every driver folds it: its valid events that are at home in this partition.

Pure. The worker also copies what is elsewhere and writes dead letters (``intake``); a replay, an archive and the
embedded log take the entry and publish nothing. So all of them fold the same events at the same positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from streams.events import OPTS, Event
from streams.table import partition_of
from streams.validate import LIMITS, Limits, read_record, received_at


class LogRecord(Protocol):
    """A record as it stands in the log, of Kafka or of any other store; ``timestamp`` is the append time (ms)."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Entry(NamedTuple):
    """What is folded of one record: ``events`` with their places (``indexes``) in it; both may be empty.

    ``received_ms`` is the append time, or what the ``received`` header of a copy says. OPT_* are in the entries of
    every partition that has them.
    """

    offset: int
    received_ms: int
    events: Sequence[Event]
    indexes: Sequence[int]


def read_entry(record: LogRecord, partition: int, partitions: int, limits: Limits = LIMITS) -> Entry:
    """The entry of a record of ``partition`` (of ``partitions``); never raises, whatever the bytes."""
    headers = dict(record.headers)
    received = received_at(headers.get("received"), record.timestamp)
    events: list[Event] = []
    indexes: list[int] = []
    for index, item in enumerate(read_record(record.value, received, limits, headers.get("content-type"))):
        if isinstance(item, Event) and (item.type in OPTS or partition_of(item.key, partitions) == partition):
            events.append(item)
            indexes.append(index)
    return Entry(record.offset, received, events, indexes)
