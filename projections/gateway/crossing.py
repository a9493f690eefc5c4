"""From one log to the next, when readers have been switched to a generation with a log of its own.

The new log begins with copies of the old one (``field publish --archive``), each with a mark that says what it is a
copy of. What was pushed from the old log is not pushed again to those who have heard it; copies of anything else are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from aiokafka import TopicPartition

from projections.gateway.stores import LogReader
from projections.gateway.vectors import Log, Vector
from streams.archive.marks import MARK, read_marks
from streams.entry import LogRecord

CLOCKS_MS: Final = 5_000
"""PostgreSQL says when the switch was, Kafka when a record came: their clocks may differ by this much."""


class Before(NamedTuple):
    """What was pushed of a log that is not followed any more: all up to ``positions``."""

    log: Log
    positions: Vector

    def has(self, record: LogRecord) -> bool:
        """Whether a record holds copies of nothing else."""
        found = read_marks(dict(record.headers).get(MARK)) if record.headers else None
        if found is None or found[0] != self.log.topic:
            return False
        return all(offset <= self.positions.get(number, -1) for number, (offset, _) in found[1].items())


def places(log: Log) -> list[TopicPartition]:
    return [TopicPartition(log.topic, number) for number in range(log.partitions)]


async def entry_of(consumer: LogReader, log: Log, since_ms: int) -> Vector:
    """Where to enter a log that became the current one at ``since_ms``: just before what came from then on.

    Raises KafkaError.
    """
    wanted = places(log)
    found = await consumer.offsets_for_times(dict.fromkeys(wanted, max(0, since_ms - CLOCKS_MS)))
    ends = await consumer.end_offsets(wanted)
    return {one.partition: (ends[one] if found[one] is None else found[one].offset) - 1 for one in wanted}
