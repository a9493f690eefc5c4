"""One partition of the log folded again into a generation of its own: state, rows and the group's offset, no events.

Written as the worker writes it and in the same order (changes, marker, shards, position), so that readers and
projections cannot tell the two apart, a replay that was killed goes on from its last checkpoint, and a worker of
the generation goes on where the replay ends.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams import access, topics
from streams.assignment import Partition, load_partition
from streams.changelog import kept_records
from streams.changes import decode
from streams.engine import Fold
from streams.errors import DeliveryError, HistoryError, PartUnavailable
from streams.events import OPTS, Event
from streams.fold.as_of import Acceptance
from streams.fold.partition import Checkpoint
from streams.fold.rules import Rules
from streams.history import StoredHistory
from streams.native.fold import NativeFold
from streams.replay.pace import Pace
from streams.replay.pieces import fold_piece
from streams.replay.span import Span
from streams.settings import Settings

BEFORE_ALL: Final = 0
"""The generation in the keys of its records: any worker that comes after it has a higher one."""

Told = Callable[[int, int], None]
"""Called with (last offset folded, events folded since the start of this object)."""


class _Chosen:
    """The events of a span. What came too late is in no past: a span of times takes what all of the log accepts."""

    def __init__(self, span: Span, rules: Rules) -> None:
        self._span = span
        timed = span.since_ms is not None or span.until_ms is not None
        self._acceptance = Acceptance(rules) if timed else None

    @property
    def judges(self) -> bool:
        """Whether it has to see the log from its beginning."""
        return self._acceptance is not None

    def of(self, events: Sequence[Event]) -> Sequence[Event]:
        """Those that are folded, of one record; to be asked of every record in order."""
        if self._acceptance is not None:
            accepts = self._acceptance.accepts
            events = [event for event in events if event.type in OPTS or accepts(event)]
        return events if self._span.whole else [event for event in events if self._span.admits(event)]


class ReplayFold:
    """Folds ``partition`` of ``history`` into the generation of ``settings``, as far as ``span`` goes."""

    def __init__(self, settings: Settings, partition: int, history: StoredHistory, span: Span, pace: Pace) -> None:
        self._settings = settings
        self._partition = partition
        self._history = history
        self._span = span
        self._pace = pace
        self._writer = f"{BEFORE_ALL}-{secrets.token_hex(4)}"
        self._producer: Any = None
        self.events = 0

    async def run(self, end: int, told: Told) -> bool:
        """Fold up to before offset ``end``; False when it was stopped before. What is folded is kept either way.

        Raises HistoryError, FoldVersionError (the generation was begun by another fold), PartUnavailable,
        DeliveryError.
        """
        self._producer = AIOKafkaProducer(
            **access.brokers(self._settings),
            client_id="field-replay",
            acks="all",
            enable_idempotence=True,
            linger_ms=self._settings.linger_ms,
            max_request_size=topics.RECORD_BYTES_MAX,
            max_batch_size=512 * 1024,
        )
        try:
            await self._producer.start()
            part = await self._load()
            done = await self._fold(part, end, told)
            await self._checkpoint(part)
            if done:
                await self._commit(part)
            return done
        except KafkaError as error:
            raise PartUnavailable("Kafka", f"{self._settings.kafka_brokers}: {error}") from error
        finally:
            await self._producer.stop()

    async def _load(self) -> Partition:
        """From the last checkpoint, or from nothing."""
        records = await kept_records(self._settings, self._partition)
        shown = await self._shown()
        return load_partition(self._partition, records, shown + 1, self._settings)

    async def _fold(self, part: Partition, end: int, told: Told) -> bool:
        kept = part.fold.position
        chosen = _Chosen(self._span, self._settings.rules)
        start = max(0 if chosen.judges else kept + 1, self._span.first.get(self._partition, 0))
        told(kept, 0)
        if max(start, kept + 1) >= end:
            return True
        checkpointed = time.monotonic()
        async for events in self._steps(part.fold, chosen, kept, start, end):
            self.events += events
            told(part.fold.position, self.events)
            await self._pace.spend(events)
            if self._pace.stop.is_set():
                return part.fold.position + 1 >= end
            if time.monotonic() - checkpointed >= self._settings.checkpoint_ms / 1_000:
                await self._checkpoint(part)
                checkpointed = time.monotonic()
        if part.fold.position + 1 != end:
            raise HistoryError(
                f"the history ended at offset {part.fold.position}, {end - 1} was to be folded",
                topic=self._settings.events_topic, partition=self._partition, offset=part.fold.position,
            )  # fmt: skip
        return True

    async def _steps(self, fold: Fold, chosen: _Chosen, kept: int, start: int, end: int) -> AsyncIterator[int]:
        """Folds a step at a time, as much as the pace allows; how many events that was."""
        if isinstance(fold, NativeFold) and self._span.whole:
            async for piece in self._history.pieces(self._partition, start, end):
                for count in fold_piece(fold, piece, (start, end), self._pace.turn, self._settings):
                    yield count
            return
        async for entries in self._history.entries(self._partition, start, end):
            for some in self._pace.slices(entries):
                folded = 0
                for entry in some:
                    events = chosen.of(entry.events)
                    if entry.offset > kept:
                        fold.fold(entry.offset, events)
                        folded += len(events)
                yield folded

    async def _checkpoint(self, part: Partition) -> None:
        if not part.waiting:
            return
        checkpoint, _ = part.plan(self._writer)
        changelog, changes = topics.changelog_topic(self._settings), self._settings.changes_topic
        await self._send(changes, checkpoint, checkpoint.changes)
        await self._send(changes, checkpoint, [(b"%d/marker" % self._partition, checkpoint.marker)])
        await self._send(changelog, checkpoint, checkpoint.records[:-1])
        await self._send(changelog, checkpoint, checkpoint.records[-1:])
        await self._send(changelog, checkpoint, [(key, None) for key in part.superseded(checkpoint)])

    async def _send(self, topic: str, checkpoint: Checkpoint, records: Any) -> None:
        """All of them, acknowledged."""
        try:
            sent = [
                await self._producer.send(topic, value, key=key, partition=self._partition) for key, value in records
            ]
            await asyncio.gather(*sent)
        except KafkaError as error:
            raise DeliveryError(
                f"not acknowledged: {error!r}; `field replay run --resume` goes on from the last checkpoint",
                topic=topic, partition=self._partition, offset=checkpoint.position,
            ) from error  # fmt: skip

    async def _shown(self) -> int:
        """Position of the newest rows that a replay before us has sent; -1: none. They may be ahead of its state."""
        place = TopicPartition(self._settings.changes_topic, self._partition)
        consumer = AIOKafkaConsumer(**access.brokers(self._settings), enable_auto_commit=False)
        await consumer.start()
        try:
            end = (await consumer.end_offsets([place]))[place]
            if end == (await consumer.beginning_offsets([place]))[place]:
                return -1
            consumer.assign([place])
            consumer.seek(place, end - 1)
            return decode((await consumer.getone()).value).position
        finally:
            await consumer.stop()

    async def _commit(self, part: Partition) -> None:
        """Where the generation's worker starts to read."""
        place = TopicPartition(self._settings.events_topic, self._partition)
        consumer = AIOKafkaConsumer(
            **access.brokers(self._settings),
            group_id=topics.app_id(self._settings),
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            consumer.assign([place])
            await consumer.commit({place: part.fold.position + 1})
        finally:
            await consumer.stop()
