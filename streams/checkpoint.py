"""Checkpoints: changes, then shards, then the events, each acknowledged before the next; folding goes on meanwhile.

    changes, copies, dead letters  ->  markers  ->  shards' records  ->  position records  ->  events, tombstones

Whatever a crash cuts off is folded again from the last position: rows are absolute and carry it, shards skip what
they have. One checkpoint at a time; a write that is not acknowledged ends the process (DeliveryError).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, NamedTuple

from streams import engine, metrics, topics
from streams.assignment import Assignment, Partition
from streams.delivery import Delivery, acknowledged
from streams.errors import DeliveryError
from streams.fold.partition import Checkpoint
from streams.settings import Settings

TOGETHER_BYTES: Final = 16 * 1024 * 1024
"""Partitions are written together until they have so much: what waits for Kafka is in memory several times. After a
checkpoint of so much the memory that it took is given back."""


class _Plan(NamedTuple):
    part: Partition
    checkpoint: Checkpoint
    covered: list[Any]

    @property
    def size(self) -> int:
        return sum(len(value) for values in (self.checkpoint.changes, self.checkpoint.records) for _, value in values)


class Checkpointer:
    """Writes checkpoints of an assignment. ``table`` is the Faust table, ``changes`` a Faust topic."""

    def __init__(self, table: Any, changes: Any, delivery: Delivery, settings: Settings) -> None:
        self._table = table
        self._changes = changes
        self._changes_topic = settings.changes_topic
        self._changelog_topic = topics.changelog_topic(settings)
        self._delivery = delivery
        self._one = asyncio.Lock()

    @property
    def writing(self) -> bool:
        """Whether one is on its way: what it covers is no longer folded anew, and not acknowledged yet."""
        return self._one.locked()

    async def run(self, assignment: Assignment) -> bool:
        """Checkpoint all partitions that have moved; False when none had.

        Returns early when the partitions are revoked meanwhile; what is not written by then is not acknowledged.
        Raises DeliveryError.
        """
        async with self._one:
            started, moved = time.perf_counter(), False
            plans: list[_Plan] = []
            size, whole = 0, 0
            for part in list(assignment.partitions.values()):
                if assignment.current and part.waiting:
                    moved = True
                    plans.append(_Plan(part, *part.plan(assignment.writer)))
                    await asyncio.sleep(0)  # encoding a partition takes long enough
                    size += plans[-1].size
                    whole += plans[-1].size
                    if size >= TOGETHER_BYTES:
                        await self._write(plans, assignment)
                        plans, size = [], 0
            if plans:
                await self._write(plans, assignment)
            del plans
            if whole >= TOGETHER_BYTES:
                engine.give_back()
            if moved:
                metrics.CHECKPOINT_SECONDS.observe(time.perf_counter() - started)
            return moved

    async def _write(self, plans: list[_Plan], assignment: Assignment) -> None:
        deliveries = self._delivery.take()
        changes = [self._send_change(plan, key, value) for plan in plans for key, value in plan.checkpoint.changes]
        await acknowledged([*changes, *deliveries], self._changes_topic, "changes, copies and dead letters")
        markers = [self._send_change(plan, b"%d/marker" % plan.part.number, plan.checkpoint.marker) for plan in plans]
        await acknowledged(markers, self._changes_topic, "markers")
        for records in (slice(None, -1), slice(-1, None)):  # the position record last: all of it is true by then
            if not assignment.current:
                return
            sent = [
                self._send_record(plan, key, value) for plan in plans for key, value in plan.checkpoint.records[records]
            ]
            await acknowledged(sent, self._changelog_topic, "records of shards")
        if not assignment.current:
            return
        for plan in plans:
            for event in plan.covered:
                event.ack()
        gone = [
            self._table.send_changelog(plan.part.number, key, None, value_serializer="raw")
            for plan in plans
            for key in plan.part.superseded(plan.checkpoint)
        ]
        await acknowledged(gone, self._changelog_topic, "tombstones")

    async def forget(self, part: Partition) -> None:
        """Tombstones for all that was recovered of a partition: it is folded from the beginning of the log.

        First the position: without it nobody takes the rest for whole. Raises DeliveryError.
        """
        keys = part.recovered_keys()
        for some in (keys[:1], keys[1:]):
            gone = [self._table.send_changelog(part.number, key, None, value_serializer="raw") for key in some]
            await acknowledged(gone, self._changelog_topic, "tombstones of a changelog that lost records")

    def _send_change(self, plan: _Plan, key: bytes, value: bytes) -> Any:
        self._check_size(value, plan, self._changes_topic)
        return self._changes.send_soon(key=key, value=value, partition=plan.part.number)

    def _send_record(self, plan: _Plan, key: bytes, value: bytes) -> Any:
        self._check_size(value, plan, self._changelog_topic)
        metrics.CHANGELOG_BYTES.inc(len(value))
        return self._table.send_changelog(plan.part.number, key, value)

    def _check_size(self, value: bytes, plan: _Plan, topic: str) -> None:
        """Faust would only log that a record is too large to be sent."""
        if len(value) > topics.RECORD_BYTES_MAX - 1_024:
            raise DeliveryError(
                f"a record of {len(value)} bytes is too large: spread the devices over more shards (FIELD_SHARDS, "
                "and `field replay` into a new generation)",
                topic=topic,
                partition=plan.part.number,
                offset=plan.checkpoint.position,
            )
