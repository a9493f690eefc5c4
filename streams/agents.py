"""The agents, and what else Faust calls: the only file with agents.

One agent folds the input. Around it: what happens when partitions come and go, tasks that make checkpoints,
measure and watch. Whatever goes wrong ends the process at once: the next one starts from the last checkpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NoReturn

from faust.types import TP

from streams import assignment as assignments
from streams import engine, logs, metrics
from streams.assignment import Assignment
from streams.checkpoint import Checkpointer
from streams.delivery import Delivery
from streams.errors import FieldError, StalledError
from streams.intake import Intake
from streams.settings import Settings
from streams.watchdog import CommitAge, Pulse, Watchdog

log = logging.getLogger("field.worker")

MEASURE_S: Final = 1.0
"""How often lag and commit age are measured, and the loop's pulse beats."""

LAST_WORDS_S: Final = 5.0
"""How long a stuck process may take to say why it leaves."""

RECOVERY_BUFFER: Final = 2
"""Fetches of the changelog that Faust keeps before the table takes them; with 1 it reads on for ever."""

NOTHING_READ: Final = -1
"""Faust's last offset of a changelog of which it has read nothing."""

AHEAD: Final = 2
"""Folding waits for the next checkpoint to begin when it is so many times ``checkpoint_events`` ahead of the last."""


def leave(error: BaseException) -> NoReturn:
    """End the process now, with the error's line and exit code: nothing may be acknowledged after a failure."""
    code = error.exit_code if isinstance(error, FieldError) else 1
    logs.ends(log, error, code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_stuck(error: StalledError) -> None:
    """``leave`` from beside the loop, which may hold the log's lock: then without a word."""
    last = threading.Timer(LAST_WORDS_S, os._exit, (error.exit_code,))
    last.daemon = True
    last.start()
    leave(error)


class Folding:
    """The worker's work on a Faust app; ``attach`` registers all of it."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
        self._events = app.topic(settings.events_topic, partitions=settings.partitions, **raw)
        changes = app.topic(settings.changes_topic, **raw)
        rejected = app.topic(settings.rejected_topic, **raw)
        self._table = app.Table(
            "shards", key_type=bytes, value_type=bytes, partitions=settings.partitions,
            recovery_buffer_size=RECOVERY_BUFFER,
        )  # fmt: skip
        self._delivery = Delivery(self._events, rejected, settings)
        self._intake = Intake(self._delivery, settings)
        self._checkpointer = Checkpointer(self._table, changes, self._delivery, settings)
        self._incarnation = secrets.token_hex(4)
        self._assignment: Assignment | None = None
        self._assigned_at = time.monotonic()
        self._due = asyncio.Event()
        self._begun = asyncio.Event()  # a checkpoint; who is too far ahead waits for that, not for its end
        self._closing = False
        self._before = "its group says which partitions are its own"

    def attach(self) -> None:
        """Register the agent, the tasks and the handlers of rebalances with Faust."""

        async def fold(stream: Any) -> None:
            async for event in stream.noack().events():
                await guarded(self._take, event)

        async def checkpoints() -> None:
            await guarded(self._checkpoints)

        async def measure() -> None:
            await guarded(self._measure)

        async def watch() -> None:
            await guarded(self._watch)

        async def recovered() -> None:
            await guarded(self._recovered)

        self._app.agent(self._events, name="fold", concurrency=1)(fold)
        self._app.task(checkpoints)
        self._app.task(measure)
        self._app.task(watch)
        self._table.on_recover(recovered)
        self._app.on_partitions_revoked.connect(self._revoked)
        self._app.on_partitions_assigned.connect(self._assigned)

    def waits_for(self) -> str:
        """What folding waits for; empty while it goes on, be it over no partition at all."""
        if self._closing:
            return "ends"
        return "" if self._assignment is not None else self._before

    async def finish(self) -> None:
        """Stop folding, make a last checkpoint and commit it."""
        self._closing = True
        self._begun.set()
        if self._assignment is not None:
            await self._checkpointer.run(self._assignment)
            await self._app.consumer.commit()

    async def _take(self, event: Any) -> None:
        """One batch of one partition."""
        batch, assignment = event.value, self._assignment
        if assignment is None or self._closing or event.message.generation_id != assignment.generation:
            return  # of an earlier generation: whoever has the partition now reads it again
        part = assignment.partitions.get(event.message.partition)
        if part is None:
            return
        ask = part.starts_after_gap(batch.first)
        if ask is not None:
            if ask:
                log.warning(
                    "partition %d: read %d after %d, asking again", part.number, batch.first, part.next_offset,
                    extra=logs.at(self._settings.events_topic, part.number, part.next_offset),
                )  # fmt: skip
                await self._app.consumer.seek(event.message.tp, part.next_offset)
            return
        part.begin(batch.first)
        if not await self._intake.fold(batch, part, assignment):
            return
        part.next_offset = batch.last + 1
        batch.release()
        part.folded.append(event)
        if self._intake.events >= self._settings.checkpoint_events:
            self._due.set()
            if self._intake.events >= AHEAD * self._settings.checkpoint_events and not self._closing:
                self._begun.clear()
                await self._begun.wait()

    async def _checkpoint(self, assignment: Assignment) -> None:
        self._intake.events = 0
        self._begun.set()
        await self._checkpointer.run(assignment)

    async def _checkpoints(self) -> None:
        """Every ``checkpoint_ms``, or earlier when enough events were folded."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), self._settings.checkpoint_ms / 1_000)
            self._due.clear()
            if self._assignment is not None and not self._closing:
                await self._checkpoint(self._assignment)

    async def _measure(self) -> None:
        age = CommitAge()
        with Pulse(self._settings, leave_stuck) as pulse:
            while True:
                await asyncio.sleep(MEASURE_S)
                pulse.beat()
                consumer = self._app.consumer
                waiting = consumer.waiting_for_commit() or self._checkpointer.writing
                waiting = waiting or (self._assignment is not None and self._assignment.waiting)
                metrics.COMMIT_AGE.set(age.seconds(waiting, consumer.committed_at))
                for number, lag in self._lags(self._known_highwater).items():
                    metrics.LAG.labels(number).set(lag)

    def _known_highwater(self, tp: TP) -> int | None:
        return int(self._app.consumer.highwater(tp) or 0) if tp in self._app.consumer.assignment() else None

    def _lags(self, highwater: Callable[[TP], int | None]) -> dict[int, int]:
        if self._assignment is None:
            return {}
        topic = self._settings.events_topic
        ends = {part: highwater(TP(topic, part.number)) for part in self._assignment.partitions.values()}
        return {part.number: max(0, end - part.next_offset) for part, end in ends.items() if end is not None}

    async def _watch(self) -> None:
        watchdog = Watchdog(self._settings)
        while True:
            await asyncio.sleep(max(1.0, self._settings.stall_s / 10))
            consumer = self._app.consumer
            ours = {tp for tp in consumer.assignment() if tp.topic == self._settings.events_topic}
            try:
                ends = await asyncio.wait_for(consumer.highwaters(*ours), 5) if ours else {}
            except Exception as error:
                log.warning("Kafka does not say where the log ends: %r", error)
                continue  # that is Kafka's stall, not ours
            read = self._lags(ends.get)
            lags = {tp.partition: read.get(tp.partition, ends.get(tp) or 0) for tp in ours}
            recovered = sum(offset or 0 for offset in self._app.tables.recovery.active_offsets.values())
            watchdog.look((self._intake.records, consumer.commits, recovered), lags)

    async def _revoked(self, _app: Any, revoked: set[TP], **_: Any) -> None:
        """Forget everything at once: what was not acknowledged is folded again by the next owner."""
        if self._assignment is not None:
            self._assignment.revoke()
            self._assignment = None
            self._begun.set()
            metrics.LAG.clear()
        metrics.REBALANCES.inc()
        metrics.PARTITIONS_ASSIGNED.set(0)
        self._before = "its group says which partitions are its own"
        self._delivery.take()

    async def _assigned(self, _app: Any, _assigned: set[TP], **_: Any) -> None:
        """Recovery reads the changelog from its beginning, whatever Faust remembers of an earlier one.

        What that had read was let go as the folds were built of it.
        """
        self._assigned_at = time.monotonic()
        self._before = "the state is recovered from the changelog"
        self._table.data.data.clear()
        offsets = self._app.tables.recovery.active_offsets
        for tp in offsets:
            offsets[tp] = NOTHING_READ

    async def _recovered(self) -> None:
        """All changelog records of our partitions are in the table: build the folds from them."""
        consumer = self._app.consumer
        generation = self._app.consumer_generation_id
        ours = {tp for tp in consumer.assignment() if tp.topic == self._settings.events_topic}
        ends = await consumer.highwaters(*ours) if ours else {}
        starts = await consumer.earliest_offsets(*ours) if ours else {}
        if generation != self._app.consumer_generation_id:
            return  # another rebalance has begun; it recovers again
        bounds = {tp.partition: (int(starts[tp] or 0), int(end or 0)) for tp, end in ends.items()}
        records = _taken(self._table.data.data)
        assignment = assignments.load(records, bounds, generation, self._incarnation, self._settings)
        for part in [part for part in assignment.partitions.values() if part.fold.lost]:
            log.warning(
                "partition %d: the changelog has lost the records of %d shards: folding again from the beginning",
                part.number, part.fold.lost, extra=logs.at(self._settings.events_topic, part.number),
            )  # fmt: skip
            await self._checkpointer.forget(part)
        if generation != self._app.consumer_generation_id:
            return
        topic = self._settings.events_topic
        consumer.begin_at({TP(topic, part.number): part.next_offset for part in assignment.partitions.values()})
        self._assignment = assignment
        self._intake.events = 0
        engine.give_back()
        metrics.PARTITIONS_ASSIGNED.set(len(bounds))
        metrics.RECOVERY_SECONDS.observe(time.monotonic() - self._assigned_at)
        log.info("generation %s: partitions %s", generation, sorted(bounds))


def _taken(recovered: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The records of a table, which loses them: a large state should not be there twice."""
    while recovered:
        key, value = recovered.popitem()
        if value:
            yield key, value


async def guarded(work: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Do it, or leave the process."""
    try:
        await work(*args)
    except Exception as error:
        leave(error)
