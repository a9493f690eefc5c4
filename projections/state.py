"""The state projector's rows: ``field.changes`` into ``room64_sessions`` and ``entanglements``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from aiokafka import ConsumerRecord

from projections.follow import Batch
from projections.positions import Connection
from projections.queries import query
from projections.raw import LOCK
from projections.rows import state_rows
from streams.changes import Changes, Marker, decode
from streams.errors import ProjectionError
from streams.settings import Settings

NAME: Final = "state"

_STATEMENTS: Final = (
    "sessions_remove", "pairs_remove", "sessions_upsert", "pairs_upsert", "sessions_sweep", "pairs_sweep",
    "shards_store",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


class State:
    """A ``follow.Projection``. A marker says which input position the changes before it reflect."""

    name = NAME
    chunks = False
    remedy = (
        "Take another FIELD_GENERATION, another FIELD_CHANGES_TOPIC and an empty database: then everything is folded"
        " and projected anew from the events"
    )

    def __init__(self, settings: Settings) -> None:
        self.topic = settings.changes_topic
        self.scope = settings.generation
        self._rows_max = settings.project_events

    def prepare(self, partition: int, records: Sequence[ConsumerRecord[bytes, bytes]]) -> Iterator[Batch]:
        """Batches of Changes; raises ProjectionError when a value is not one of ours."""
        changes: list[Changes] = []
        rows, reflected = 0, -1
        last = records[-1]
        for record in records:
            found = _decode(record)
            if isinstance(found, Marker):
                reflected = max(reflected, found.position)
            else:
                changes.append(found)
                rows += len(found.sessions) + len(found.pairs) + 1
            if rows >= self._rows_max and record is not last:
                yield Batch(record.offset, reflected, changes)
                changes, rows, reflected = [], 0, -1
        yield Batch(last.offset, reflected, changes)

    async def write(self, connection: Connection, partition: int, batch: Batch) -> int:
        """Upserts and deletes, none of which goes behind the position that a row or a shard has."""
        changes: list[Changes] = batch.content
        if not changes:
            return 0
        cursor = await connection.execute(query("shards_load"), (self.scope, partition))
        stored = {
            shard: (position, int(writer.partition("-")[0])) for shard, position, writer in await cursor.fetchall()
        }
        statements = state_rows(changes, stored)
        written = 0
        if statements.sessions_upsert:  # a toggle sees these rows, or these rows see the toggle
            await connection.execute(query("raw_lock_shared"), (LOCK,))
        for name in _STATEMENTS:
            rows = getattr(statements, name)
            if rows:
                parameters = {"generation": self.scope, "rows": _encode(rows).decode()}
                cursor = await connection.execute(query(name), parameters)
                written += cursor.rowcount if name != "shards_store" else 0
        return written


def _decode(record: ConsumerRecord[bytes, bytes]) -> Changes | Marker:
    try:
        return decode(record.value or b"")
    except msgspec.DecodeError as error:
        raise ProjectionError(
            f"{record.topic}/{record.partition}@{record.offset} is no record of this version: {error};"
            " run the same version of worker and projector"
        ) from error
