"""One record of the embedded log -> the events that are folded, and what is to be written because of it.

As the worker's intake, with nothing to wait for: copies, dead letters and counts are gathered and go into the
transaction of the next checkpoint. What a partition has delivered before is not delivered again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from streams import metrics, wire
from streams.delivery import Place, source_headers, source_of
from streams.embedded.log import StoredRecord
from streams.embedded.state import Letter
from streams.embedded.store import file_of
from streams.errors import FloodError
from streams.events import OPTS, Event
from streams.flood import Flood
from streams.packing import Record
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Limits, Rejection, read_record, received_at

WAITING_MAX: Final = 10_000
WAITING_BYTES_MAX: Final = 16 * 1024 * 1024
"""So many copies and dead letters, and so many of their bytes, wait for a checkpoint; one record may add its own."""


class Intake:
    """``copies``, ``letters`` and the number of ``events`` read since the last ``clear``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._flood = Flood(settings)
        self._to_all = b"%d" % settings.partitions
        self.clear()

    def clear(self) -> None:
        """Forget what was written."""
        self.copies: list[Record] = []
        self.letters: list[Letter] = []
        self.events = 0
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether to make a checkpoint before reading on."""
        return len(self.copies) + len(self.letters) >= WAITING_MAX or self._bytes >= WAITING_BYTES_MAX

    def read(self, record: StoredRecord, partition: int, delivered: int) -> Sequence[Event]:
        """The events of a record that are folded in its partition; ``delivered``: up to which offset it has delivered.

        Raises FloodError, with this record's letters taken.
        """
        headers = dict(record.headers)
        received = received_at(headers.get("received"), record.timestamp)
        items = read_record(record.value, received, self._limits, headers.get("content-type"))
        self.events += len(items)
        partitions = self._settings.partitions
        if record.offset <= delivered:  # folded anew: the log has the copies, the table has the letters
            return [item for item in items if isinstance(item, Event) and _at_home(item, partition, partitions)]
        return self._sort(record, items, Place(
            self._settings.events_topic, partition, record.offset, received,
            source_of(headers.get("source")) if len(items) == 1 else None,
        ), headers.get("fanout") == self._to_all)  # fmt: skip

    def _sort(
        self, record: StoredRecord, items: Sequence[Event | Rejection], place: Place, fanned_out: bool
    ) -> list[Event]:
        sent_to_all = fanned_out or place.source is not None
        here: list[Event] = []
        rejected = 0
        partitions = self._settings.partitions
        for index, item in enumerate(items):
            if isinstance(item, Rejection):
                rejected += 1
                self._reject(item, place)
            elif item.type in OPTS:
                here.append(item)
                if not sent_to_all:
                    self._copy(item, place, index, (n for n in range(partitions) if n != place.partition))
            elif (home := partition_of(item.key, partitions)) == place.partition:
                here.append(item)
            else:
                self._copy(item, place, index, (home,))
        if self._flood.add(2 * rejected >= max(1, len(items))):
            raise FloodError(
                f"{self._flood.bad} of the last {self._settings.flood_window} records are bad; table rejected of "
                f"{file_of(self._settings)} says why: mend the publisher, or raise FIELD_FLOOD_SHARE to go on",
                topic=place.topic, partition=place.partition, offset=place.offset,
            )  # fmt: skip
        return here

    def _copy(self, event: Event, place: Place, index: int, partitions: Iterable[int]) -> None:
        headers = source_headers(place.position(index), place.received_ms)
        key, value = event.key.encode(), wire.encode_event(event)
        for partition in partitions:
            self.copies.append(Record(partition, key, value, headers, 1))
            self._bytes += len(value)
            metrics.EVENTS_COPIED.inc()

    def _reject(self, item: Rejection, place: Place) -> None:
        key = place.position(item.index)
        self.letters.append(Letter(key, place.partition, place.received_ms, item.reason, item.detail, item.raw))
        self._bytes += len(item.raw)
        metrics.EVENTS_REJECTED.labels(item.reason).inc()


def _at_home(event: Event, partition: int, partitions: int) -> bool:
    return event.type in OPTS or partition_of(event.key, partitions) == partition
