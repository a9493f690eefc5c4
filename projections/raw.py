"""The raw projector: every distinct valid event of the log is one row of ``consciousness_events``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from aiokafka import ConsumerRecord

from projections.follow import Batch
from projections.positions import Connection
from projections.queries import query
from projections.rows import RAW_TYPES, RawRow, raw_row
from streams.entry import read_entry
from streams.events import OPTS
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Limits

NAME: Final = "raw"
LOCK: Final = 0x6F7074  # "opt": rows and toggles of several processes in turn

_TYPE: Final = 5  # place of the type in a raw row


class Raw:
    """A ``follow.Projection``. Bad input is the worker's to report: here it is passed over."""

    name = NAME
    remedy = "Bring the events topic back from a copy, and set its retention to keep everything"

    def __init__(self, settings: Settings) -> None:
        self.topic = settings.events_topic
        self.scope = settings.events_topic
        self._partitions = settings.partitions
        self._rows_max = settings.project_events
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._weights = settings.rules.weights()

    def prepare(self, partition: int, records: Sequence[ConsumerRecord[bytes, bytes]]) -> Iterator[Batch]:
        """Batches of raw rows; a record is never divided, so a batch may be larger by one record."""
        rows: list[RawRow] = []
        last = records[-1]
        for record in records:
            self._read(partition, record, rows)
            if len(rows) >= self._rows_max and record is not last:
                yield Batch(record.offset, record.offset, record.timestamp, rows)
                rows = []
        yield Batch(last.offset, last.offset, last.timestamp, rows)

    async def write(self, connection: Connection, partition: int, batch: Batch) -> int:
        """COPY into the staging table, then insert what is new; toggles correct the rows that are there."""
        rows: list[RawRow] = batch.content
        if not rows:
            return 0
        toggles = any(row[_TYPE] in OPTS for row in rows)
        await connection.execute(query("raw_lock_exclusive" if toggles else "raw_lock_shared"), (LOCK,))
        async with connection.cursor() as cursor:
            async with cursor.copy(query("raw_copy")) as copy:
                copy.set_types(RAW_TYPES)
                for row in rows:
                    await copy.write_row(row)
            new_toggles: list[Any] = []
            if toggles:
                await cursor.execute(query("raw_insert_toggles"))
                new_toggles = await cursor.fetchall()
            await cursor.execute(query("raw_insert_events"))
            inserted = cursor.rowcount
            if new_toggles:
                await _correct(connection, new_toggles)
        return inserted

    def _read(self, partition: int, record: ConsumerRecord[bytes, bytes], rows: list[RawRow]) -> None:
        entry = read_entry(record, partition, self._partitions, self._limits)
        for event, index in zip(entry.events, entry.indexes, strict=True):
            if event.type in OPTS and partition_of(event.key, self._partitions) != partition:
                continue  # it has a copy in every partition, and is one row
            rows.append(
                raw_row(
                    event, self._weights,
                    received=entry.received_ms, partition=partition, offset=record.offset, index=index,
                )
            )  # fmt: skip


async def configure(connection: Connection) -> None:
    """Called by the pool for each new connection: its staging table, and no limit on rows of packed chunks."""
    await connection.execute(query("raw_staging"))
    await connection.execute(query("raw_unpack"))
    await connection.commit()


async def _correct(connection: Connection, toggles: Sequence[tuple[Any, ...]]) -> None:
    """New toggles: rows from the first of them to the next known ones count anew, and sessions forget who is out."""
    devices, times = [device for device, _ in toggles], [at for _, at in toggles]
    cursor = await connection.execute(query("raw_next_toggles"), {"devices": devices, "times": times})
    (until,) = await cursor.fetchone() or (None,)
    parameters = {"devices": devices, "since": min(times), "until": until}
    await connection.execute(query("raw_correct_devices"), parameters)
    await connection.execute(query("raw_correct_targets"), parameters)
    await connection.execute(query("raw_forget_participants"), parameters)
