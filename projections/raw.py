"""The raw projector: every distinct valid event of the log is one row of ``consciousness_events``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from projections.follow import Batch, Found
from projections.positions import Connection
from projections.queries import query
from projections.rows import copy_file, copy_row, raw_columns
from streams.chunks import Chunk
from streams.entry import read_entry
from streams.events import OPTS
from streams.native import library
from streams.native.cursor import Cursor
from streams.native.rows import NativeRows
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Limits

STEP_ROWS: Final = 1_000
"""So many of a chunk at once: a transaction begins and ends between steps."""
NAME: Final = "raw"
LOCK: Final = 0x6F7074  # "opt": rows and toggles of several processes in turn


class Step(NamedTuple):
    """Rows of one record or of some, up to an offset of the log."""

    offset: int
    rows: int
    data: bytes
    toggles: bool = False


class Raw:
    """A ``follow.Projection``. Bad input is the worker's to report: here it is passed over.

    Raises SettingError where FIELD_FOLD asks for the compiled library and it is not there.
    """

    name = NAME
    remedy = "Bring the events topic back from a copy, and set its retention to keep everything"

    def __init__(self, settings: Settings) -> None:
        self.topic = settings.events_topic
        self.scope = settings.events_topic
        self.chunks = library.is_chosen(settings)
        self._partitions = settings.partitions
        self._rows_max = settings.project_events
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._weights = settings.rules.weights()
        self._native = NativeRows(library.load(), settings) if self.chunks else None

    def prepare(self, partition: int, found: Found) -> Iterator[Batch]:
        """Batches of raw rows; a record is never divided, so one with too many is a batch for itself.

        Raises CorruptRecordException for chunks.
        """
        steps: list[Step] = []
        count = 0
        for step in self._steps(partition, found):
            if steps and count + step.rows > self._rows_max:
                yield Batch(steps[-1].offset, steps[-1].offset, steps)
                steps, count = [], 0
            steps.append(step)
            count += step.rows
        yield Batch(steps[-1].offset, steps[-1].offset, steps)

    async def write(self, connection: Connection, partition: int, batch: Batch) -> int:
        """COPY into the staging table, then insert what is new; toggles correct the rows that are there."""
        steps: list[Step] = batch.content
        if not any(step.rows for step in steps):
            return 0
        toggles = any(step.toggles for step in steps)
        await connection.execute(query("raw_lock_exclusive" if toggles else "raw_lock_shared"), (LOCK,))
        async with connection.cursor() as cursor:
            async with cursor.copy(query("raw_copy")) as copy:
                await copy.write(copy_file(step.data for step in steps))
            new_toggles: list[Any] = []
            if toggles:
                await cursor.execute(query("raw_insert_toggles"))
                new_toggles = await cursor.fetchall()
            await cursor.execute(query("raw_insert_events"))
            inserted = cursor.rowcount
            if new_toggles:
                await _correct(connection, new_toggles)
        return inserted

    def _steps(self, partition: int, found: Found) -> Iterator[Step]:
        for one in found:
            if self._native is not None and isinstance(one, Chunk):
                yield from self._chunk(self._native, partition, one)
            else:
                yield self._record(partition, one)

    def _chunk(self, native: NativeRows, partition: int, chunk: Chunk) -> Iterator[Step]:
        cursor = Cursor(chunk, min(STEP_ROWS, self._rows_max))
        while cursor.more:
            data = native.make(partition, cursor)
            if not cursor.more:
                yield Step(chunk.last_offset, cursor.events, data)
            elif cursor.events:
                yield Step(cursor.reached, cursor.events, data)
            if cursor.odd and (record := cursor.take()).offset >= chunk.start:
                yield self._record(partition, record)

    def _record(self, partition: int, record: Any) -> Step:
        entry = read_entry(record, partition, self._partitions, self._limits)
        rows, toggles = [], False
        for event, index in zip(entry.events, entry.indexes, strict=True):
            if event.type in OPTS:
                if partition_of(event.key, self._partitions) != partition:
                    continue  # it has a copy in every partition, and is one row
                toggles = True
            columns = raw_columns(
                event, self._weights, received=entry.received_ms, partition=partition, offset=record.offset, index=index
            )
            rows.append(copy_row(columns))
        return Step(record.offset, len(rows), b"".join(rows), toggles)


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
