"""Deliberate breaks of the worker, for the harness to catch. Wrapped from outside; production code stays as it is.

dedup          what was delivered twice is counted twice
early-ack      events are acknowledged and committed before anything is written, and the worker begins where the group
               had committed (the state knows its own position, and would ask for what is missing)
last-offset    a batch has its last offset, for Faust and for the worker, and nobody asks for gaps (for Faust alone is
               not enough: commits and gaps go by what the worker keeps itself, which then stands still)
tables-apart   a shard's record is written without its new particles, which follow in a record of their own
drop:ID        the event of this id is passed over
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

NAMES = ("dedup", "early-ack", "last-offset", "tables-apart", "drop")


def install(words: str) -> None:
    """Break this process; raises KeyError for an unknown name."""
    name, _, argument = words.partition(":")
    {
        "dedup": _dedup, "early-ack": _early_ack, "last-offset": _last_offset, "tables-apart": _tables_apart,
        "drop": _drop,
    }[name](argument)  # fmt: skip


def _dedup(_: str) -> None:
    from streams.fold import key
    from streams.fold.duplicates import Verdict

    def judge(window: Any, epoch: int, seq: int, size: int) -> Verdict:
        return Verdict.ACCEPTED

    key.judge = judge
    key.Key._known_ids = lambda self: {}  # type: ignore[method-assign]


def _early_ack(_: str) -> None:
    from streams.assignment import Partition
    from streams.checkpoint import Checkpointer
    from streams.transport import Consumer

    write = Checkpointer._write
    Partition.starts_after_gap = lambda self, first: None  # type: ignore[method-assign]
    if hasattr(Consumer, "begin_at"):  # nor does the consumer go back to where the state stands
        Consumer.begin_at = lambda self, offsets: None

    async def early(self: Any, plans: list[Any], assignment: Any) -> None:
        covered = [event for plan in plans for event in plan.covered]
        for plan in plans:
            plan.covered.clear()
        for event in covered:
            event.ack()
        if covered:
            await covered[0].app.consumer.commit()
        await write(self, plans, assignment)

    Checkpointer._write = early  # type: ignore[method-assign]


def _last_offset(_: str) -> None:
    from streams.assignment import Partition
    from streams.transport import Batch, Consumer

    getmany = Consumer.getmany
    Partition.starts_after_gap = lambda self, first: None  # type: ignore[method-assign]

    def begin_at_last(self: Any, records: Any) -> None:
        self.records = records
        self.first = self.last = records[-1].offset
        self.size = len(records)

    async def with_last(self: Any, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        async for tp, message in getmany(self, timeout):
            if isinstance(message.value, Batch):
                message.offset = message.value.last
            yield tp, message

    Batch.__init__ = begin_at_last  # type: ignore[method-assign]
    Consumer.getmany = with_last  # type: ignore[method-assign]


def _tables_apart(_: str) -> None:
    import msgspec

    from streams.checkpoint import Checkpointer, acknowledged
    from streams.fold.shard import ShardRecord
    from streams.table import parse_key

    decode, encode = msgspec.msgpack.Decoder(ShardRecord, strict=False).decode, msgspec.msgpack.Encoder().encode
    before: dict[tuple[int, int | None], list[Any]] = {}
    write = Checkpointer._write

    def without(key: bytes, value: bytes) -> bytes:
        place = parse_key(key)[:2]
        if place[1] is None:
            return value
        record = decode(value)
        new, record.particles = record.particles, before.get(place, [])
        before[place] = new
        return encode(record)

    async def apart(self: Any, plans: list[Any], assignment: Any) -> None:
        halves = [
            plan._replace(
                checkpoint=plan.checkpoint._replace(
                    records=[(key, without(key, value)) for key, value in plan.checkpoint.records]
                )
            )
            for plan in plans
        ]
        await write(self, halves, assignment)
        rest = [self._send_record(plan, key, value) for plan in plans for key, value in plan.checkpoint.records[:-1]]
        await acknowledged(rest, self._changelog_topic, "the rest of the records of shards")

    Checkpointer._write = apart  # type: ignore[method-assign]


def _drop(identity: str) -> None:
    from streams.intake import Intake

    read = Intake._read

    def dropping(self: Any, record: Any, number: int) -> Any:
        events = read(self, record, number)
        return events and [event for event in events if event.id != identity]

    Intake._read = dropping  # type: ignore[method-assign]
