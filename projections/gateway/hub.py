"""The hub of the push: the log is read once for each gateway, and what it says goes to all who want to hear it.

It reads every partition from the end of the log on, without a consumer group: several gateways side by side know
nothing of each other. What comes within a few milliseconds goes out together, and is encoded once for all listeners
with equal filters. No listener can hold up another: each has its own bounded outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from msgspec.structs import replace

from projections.backoff import Backoff, log_of
from projections.gateway.crossing import Before, entry_of, places
from projections.gateway.filters import Filters, read
from projections.gateway.listener import Listener
from projections.gateway.optouts import OptOuts
from projections.gateway.past import Busy, Past
from projections.gateway.pseudonyms import pseudonym
from projections.gateway.pushed import Batch, Heard, Reading, id_of, message
from projections.gateway.states import States
from projections.gateway.stores import Aim, LogReader, OpenLog
from projections.gateway.tail import Tail
from projections.gateway.unless import unless, whole
from projections.gateway.vectors import Log, Vector
from streams import metrics, traces
from streams.entry import Entry, LogRecord
from streams.events import OPTS
from streams.settings import Settings

log = logging.getLogger(__name__)

POLL_MS: Final = 200
POLL_RECORDS: Final = 1_000
BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 128 * 1024
"""Of the log, in one message: after a pause much comes at once, and a message is taken or lost as a whole."""
TAIL_BATCHES: Final = 20_000
ANSWER_S: Final = 10.0
TICK_S: Final = 0.5


class Hub:
    """A ``Part`` of the gateway. ``positions`` is what its listeners have heard; None before Kafka has answered."""

    def __init__(self, settings: Settings, states: States, opt_outs: OptOuts, open_log: OpenLog, target: Aim) -> None:
        self.settings = settings
        self.log: Log | None = None
        """What ``positions`` are of."""
        self._target = target
        self._before: Before | None = None
        self.groups = states.groups
        self.listeners: set[Listener] = set()
        self.opt_outs = opt_outs
        self.tail = Tail(settings.push_tail_events, TAIL_BATCHES)
        self.states = states
        self.positions: Vector | None = None
        self.reading = Reading(settings)
        self._open_log = open_log
        self._began_ms = 0
        """When the first log was entered: what came before that is owed to no listener."""
        self._histories = 0
        self._moved = asyncio.Condition()

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; every store may be away."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(stop))
            tasks.create_task(unless(stop, self.opt_outs.run(stop)))
            tasks.create_task(self.states.run(stop))
            tasks.create_task(self._tick(stop))

    async def reached(self, positions: Mapping[int, int], within_s: float) -> bool:
        """Wait until the hub has heard all that; False when it has not come so far in time."""

        def there() -> bool:
            ours = self.positions
            return ours is not None and all(ours.get(number, -1) >= at for number, at in positions.items())

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._moved:
                await self._moved.wait_for(there)
        return there()

    async def follows(self, id: str, within_s: float) -> bool:
        """Whether the log of this ``Log.id`` is the one that is pushed; another gateway may be there already."""

        def there() -> bool:
            return self.log is not None and self.log.id == id

        if not there() and await self._target.has(id):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s), self._moved:
                    await self._moved.wait_for(there)
        return there()

    def filters(self, given: Mapping[str, Any]) -> Filters:
        """As a listener gives them; devices are known by their pseudonyms. Raises FilterError."""
        found, key = read(given), self.settings.pseudonym_key
        if not key:
            return found
        return replace(found, devices=frozenset(pseudonym(key, "device", name) for name in found.devices))

    def admit(self, listener: Listener) -> bool:
        """Whether there is room for one more; every one that is let in has to ``dismiss``."""
        if len(self.listeners) >= self.settings.push_connections_max:
            return False
        self.listeners.add(listener)
        return True

    def dismiss(self, listener: Listener) -> None:
        """Its connection is over."""
        self.groups.leave(listener)
        self.listeners.discard(listener)

    @asynccontextmanager
    async def past(self) -> AsyncIterator[Past]:
        """A reader of the log for one listener; raises Busy when there are too many, Away."""
        if self._histories >= self.settings.push_histories_max:
            raise Busy(f"{self._histories} listeners hear the past already")
        self._histories += 1
        try:
            async with Past(self.settings, self._open_log, self.log or self._target.log) as past:
                yield past
        finally:
            self._histories -= 1

    def join(self, listener: Listener, filters: Filters) -> None:
        """From now on it hears what comes, and at once what the field is like; nothing is awaited in here."""
        self.groups.join(listener, filters)
        self.states.greet(listener, filters)

    async def _follow(self, stop: asyncio.Event) -> None:
        backoff = Backoff(log_of(self.settings), stop)
        while not stop.is_set():
            consumer = self._open_log("field-push")
            try:
                await unless(stop, self._start(consumer))
                backoff.answered()
                while not stop.is_set() and self.log == self._target.log:
                    await self._gather(consumer, stop)
                if not stop.is_set():
                    await self._finish(consumer, stop)
                    await self._cross(consumer)
            except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
                self._lost(error)
            except (KafkaError, OSError, TimeoutError) as error:
                await backoff.failed(error)
            finally:
                await consumer.stop()

    async def _start(self, consumer: LogReader) -> None:
        async with asyncio.timeout(ANSWER_S):
            await whole(consumer.start())
            await self._begin(consumer)

    async def _begin(self, consumer: LogReader) -> None:
        """At the end of the log; after an outage where we were."""
        if self.log is None or self.positions is None:
            await self._target.first()
            log = self._target.log
            ends = await consumer.end_offsets(places(log))
            self._began_ms = int(time.time() * 1000)
            self._enter(log, {place.partition: end - 1 for place, end in ends.items()})
            self.groups.greet()
            await self._tell()
        assert self.log is not None
        assert self.positions is not None
        consumer.assign(places(self.log))
        for place in places(self.log):
            consumer.seek(place, self.positions[place.partition] + 1)

    def _enter(self, log: Log, positions: Vector) -> None:
        self.log, self.positions = log, positions
        self.reading = Reading(self._target.settings)
        self.tail.begin(positions)
        self.groups.id = id_of(log, positions)

    async def _finish(self, consumer: LogReader, stop: asyncio.Event) -> None:
        """The rest of the log that is left, as far as it is there."""
        assert self.log is not None
        try:
            async with asyncio.timeout(ANSWER_S):
                for place, end in (await consumer.end_offsets(places(self.log))).items():
                    while await consumer.position(place) < end and not stop.is_set():
                        await self._gather(consumer, stop)
        except TimeoutError:
            log.warning("the rest of topic %s was not read in %g s", self.log.topic, ANSWER_S)

    async def _cross(self, consumer: LogReader) -> None:
        """To the log of what readers see now; raises KafkaError, TimeoutError."""
        assert self.log is not None
        assert self.positions is not None
        target, before = self._target.log, Before(self.log, self.positions)
        async with asyncio.timeout(ANSWER_S):
            positions = await entry_of(consumer, target, max(self._target.since_ms, self._began_ms))
        log.info("the push goes over from topic %s to %s", before.log.topic, target.topic)
        self._before = before
        self._enter(target, positions)
        self.groups.tell(message("moved", {"left": id_of(*before)}, self.groups.id))
        await self._tell()

    async def _gather(self, consumer: LogReader, stop: asyncio.Event) -> None:
        """Whatever comes first, and what follows it within the time of gathering, in batches to the listeners."""
        found = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        if not found:
            return
        gathered, count = [found], _count(found)
        until = time.monotonic() + self.settings.push_gather_ms / 1000
        while count < POLL_RECORDS and (left_s := until - time.monotonic()) > 0 and not stop.is_set():
            wait_ms = min(POLL_MS, max(1, int(left_s * 1000)))
            if more := await consumer.getmany(timeout_ms=wait_ms, max_records=POLL_RECORDS):
                gathered.append(more)
                count += _count(more)
        records = [record for found in gathered for some in found.values() for record in some] if traces.on else ()
        with traces.work("push", records) if traces.on else contextlib.nullcontext():
            for batch in self._batches(gathered):
                self.dispatch(batch)
                await asyncio.sleep(0)  # listeners take theirs before the next batch fills their outboxes
        await self._tell()

    def _batches(self, gathered: Sequence[Mapping[TopicPartition, Sequence[Any]]]) -> Iterator[Batch]:
        assert self.positions is not None
        positions, heard, size = dict(self.positions), list[Heard](), 0
        for place, records in ((place, records) for found in gathered for place, records in found.items()):
            for record in records:
                heard += self._read(record, place.partition)
                positions[place.partition] = record.offset
                size += len(record.value or b"")
                if len(heard) >= BATCH_EVENTS or size >= BATCH_BYTES:
                    yield Batch(heard, dict(positions))
                    heard, size = [], 0
        yield Batch(heard, positions)

    def _read(self, record: Any, partition: int) -> list[Heard]:
        entry = self.reading.entry(record, partition)
        for event in entry.events:
            if event.type in OPTS:
                self.opt_outs.seen(event)
        return self.heard(entry, record, partition)

    def heard(self, entry: Entry, record: LogRecord, partition: int) -> list[Heard]:
        """Its events, those marked that were pushed from the log before."""
        heard = self.reading.heard(entry, partition)
        if self._before is not None and self._before.has(record):
            for one in heard:
                one.again = True
        return heard

    def dispatch(self, batch: Batch) -> None:
        """To the tail and to everybody who has joined, in one step."""
        self.tail.add(batch)
        self.positions = batch.after
        at = self.groups.id = id_of(self.log, batch.after)
        shown = self.shown([one for one in batch.heard if not one.again] if self._before else batch.heard)
        if shown:
            metrics.PUSH_EVENTS.inc(len(shown))
            metrics.PUSH_SECONDS.observe(max(0.0, time.time() - shown[0].received_ms / 1000))
            self.groups.events(shown, at)

    def shown(self, heard: Sequence[Heard]) -> list[Heard]:
        """Without what devices did that are out."""
        return [one for one in heard if not self.opt_outs.hides(one.event)]

    def _lost(self, error: Exception) -> None:
        """The log no longer has what comes next (it was made anew): nobody's positions mean anything now."""
        log.error("the log has no more what follows %s: %r", self.groups.id, error)
        for listener in list(self.listeners):
            listener.drop("gap")
        self.log = self.positions = self._before = None
        self.groups.id = ""

    async def _tell(self) -> None:
        self.groups.id = id_of(self.log, self.positions)
        async with self._moved:
            self._moved.notify_all()

    async def _tick(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            now = time.monotonic()
            for listener in list(self.listeners):
                listener.tick(now, self.groups.id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(TICK_S, self.settings.push_heartbeat_s / 4))


def _count(found: Mapping[TopicPartition, Sequence[Any]]) -> int:
    return sum(map(len, found.values()))
