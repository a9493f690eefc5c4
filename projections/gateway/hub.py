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
from projections.gateway.filters import Filters, read
from projections.gateway.listener import Listener
from projections.gateway.optouts import OptOuts
from projections.gateway.past import Busy, Past
from projections.gateway.pseudonyms import pseudonym
from projections.gateway.pushed import Batch, Heard, Reading, id_of
from projections.gateway.states import States
from projections.gateway.stores import LogReader, OpenLog
from projections.gateway.tail import Tail
from projections.gateway.unless import unless, whole
from projections.gateway.vectors import Vector
from streams import metrics
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

    def __init__(self, settings: Settings, states: States, opt_outs: OptOuts, open_log: OpenLog) -> None:
        self.settings = settings
        self.groups = states.groups
        self.listeners: set[Listener] = set()
        self.opt_outs = opt_outs
        self.tail = Tail(settings.push_tail_events, TAIL_BATCHES)
        self.states = states
        self.positions: Vector | None = None
        self.reading = Reading(settings)
        self._open_log = open_log
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
            async with Past(self.settings, self._open_log) as past:
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
                while not stop.is_set():
                    await self._gather(consumer, stop)
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
        places = [TopicPartition(self.settings.events_topic, number) for number in range(self.settings.partitions)]
        if self.positions is None:
            ends = await consumer.end_offsets(places)
            self.positions = {place.partition: ends[place] - 1 for place in places}
            self.tail.begin(self.positions)
            await self._tell()
            self.groups.greet()
        consumer.assign(places)
        for place in places:
            consumer.seek(place, self.positions[place.partition] + 1)

    async def _gather(self, consumer: LogReader, stop: asyncio.Event) -> None:
        """Whatever comes first, and what follows it within the time of gathering, in batches to the listeners."""
        found = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        if not found:
            return
        gathered = [found]
        until = time.monotonic() + self.settings.push_gather_ms / 1000
        while (left_s := until - time.monotonic()) > 0 and not stop.is_set():
            if more := await consumer.getmany(timeout_ms=max(1, int(left_s * 1000)), max_records=POLL_RECORDS):
                gathered.append(more)
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
        return self.reading.heard(entry, partition)

    def dispatch(self, batch: Batch) -> None:
        """To the tail and to everybody who has joined, in one step."""
        self.tail.add(batch)
        self.positions = batch.after
        shown = self.shown(batch.heard)
        if shown:
            metrics.PUSH_EVENTS.inc(len(shown))
            metrics.PUSH_SECONDS.observe(max(0.0, time.time() - shown[0].received_ms / 1000))
            self.groups.events(shown, id_of(batch.after))
        self.groups.id = id_of(batch.after)

    def shown(self, heard: Sequence[Heard]) -> list[Heard]:
        """Without what devices did that are out."""
        return [one for one in heard if not self.opt_outs.hides(one.event)]

    def _lost(self, error: Exception) -> None:
        """The log no longer has what comes next (it was made anew): nobody's positions mean anything now."""
        log.error("the log has no more what follows %s: %r", id_of(self.positions), error)
        for listener in list(self.listeners):
            listener.drop("gap")
        self.positions = None
        self.groups.id = ""

    async def _tell(self) -> None:
        self.groups.id = id_of(self.positions)
        async with self._moved:
            self._moved.notify_all()

    async def _tick(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            now = time.monotonic()
            for listener in list(self.listeners):
                listener.tick(now, self.groups.id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(TICK_S, self.settings.push_heartbeat_s / 4))
