"""Deliberate breaks of the worker, for the harness to catch. Wrapped from outside; production code stays as it is.

dedup          what was delivered twice is counted twice
early-ack      events are acknowledged and committed before anything is written
last-offset    a batch has its last offset, and commits follow Faust's own bookkeeping of offsets
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
    from streams.checkpoint import Checkpointer

    write = Checkpointer._write

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


class _Read(dict[Any, Any]):
    """Offsets last read, which nobody resets to None."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if value is not None:
            super().__setitem__(key, value)


def _last_offset(_: str) -> None:
    """Three mechanisms hold it together: the first offset, commits by the end of acknowledged batches, no gaps."""
    from faust.transport.drivers import aiokafka as driver

    from streams.transport import Batch, Consumer

    getmany = Consumer.getmany

    async def with_last(self: Any, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        if not isinstance(self._read_offset, _Read):
            self._read_offset = _Read(
                {tp: offset if offset is not None else -1 for tp, offset in self._read_offset.items()}
            )
        async for tp, message in getmany(self, timeout):
            if isinstance(message.value, Batch):
                message.offset = message.value.last
                self._read_offset.setdefault(tp, message.value.first - 1)
            yield tp, message

    Consumer.getmany = with_last  # type: ignore[method-assign]
    Consumer._new_offset = driver.Consumer._new_offset
    Consumer._add_gap = driver.Consumer._add_gap


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
