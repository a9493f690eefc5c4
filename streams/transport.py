"""Kafka to batches, inside Faust: one Faust event for each fetched batch of a partition of the input topic.

Faust spends 200 to 300 microseconds on an event, so an event of ours must not be an event of Faust's. These are
subclasses of Faust's aiokafka driver; nothing is patched. What each override is for stands in its docstring.
Streams, tables, changelog, rebalances and recovery stay Faust's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import ConsumerRecord
from aiokafka.errors import ConsumerStoppedError
from faust import Table
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import MethodQueue

from streams.chunks import Chunk
from streams.fetching import ChunkConsumer

SENDS_MAX: Final = 50_000
"""Messages waiting in Faust's producer buffer before the reader pauses (100, without a setting, in Faust)."""

POLL_S: Final = 0.2
"""How long we wait for records before looking whether we should."""

FETCH_OVER_S: Final = 5.0
"""A fetch that is not over by then, many times POLL_S, is stuck; the process ends."""

FETCH_LATE_S: Final = 0.3
"""A fetch ends so much after its time at the latest."""

CALLS_MAX: Final = 16
"""Calls into the consumer's thread at a time: a fetch must not stand behind those that wait for a broker."""

FETCH_WAIT_MS: Final = 50
"""How long the broker holds a fetch that has nothing to bring."""


class Batch:
    """What one fetch brought from one partition.

    ``records`` have ``offset``, ``timestamp`` (ms), ``headers`` ((name, bytes) pairs) and ``value`` (bytes or None),
    or they are Chunks, for a compiled fold;
    ``first`` and ``last`` are offsets and stay when the records are let go.
    """

    __slots__ = ("first", "last", "records", "size")

    def __init__(self, records: Sequence[Any]) -> None:
        begin, end = records[0], records[-1]
        self.records = records
        self.first: int = begin.start if isinstance(begin, Chunk) else begin.offset
        self.last: int = end.last_offset if isinstance(end, Chunk) else end.offset
        self.size = sum(chunk.size for chunk in records) if isinstance(begin, Chunk) else len(records)

    def release(self) -> None:
        """Let the records go: a batch that waits for its acknowledgement should not hold them."""
        self.records = ()


def split(found: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    """What a fetch brought, ``most`` records at once: aiokafka counts a chunk as one. A chunk stays whole."""
    if not isinstance(found[0], Chunk):
        yield found
        return
    begin = size = 0
    for at, chunk in enumerate(found):
        if size and size + chunk.size > most:
            yield found[begin:at]
            begin, size = at, 0
        size += chunk.size
    yield found[begin:]


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, with a shorter wait in a fetch and room for more calls."""

    @property
    def method_queue(self) -> MethodQueue:
        """Faust makes two calls at a time. In a rebalance a commit and a question for the log's end may both wait for
        Kafka, the fetch behind them would not be over in FETCH_OVER_S, and the process would leave for nothing.
        """
        if self._method_queue is None:
            self._method_queue = MethodQueue(num_workers=CALLS_MAX, loop=self.thread_loop, beacon=self.beacon)
        return self._method_queue

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        """In a rebalance aiokafka's fetch waits for the new assignment, which waits for the end of the fetch: it is
        given up a moment after its time. It has taken no records by then, and those of the next assignment are the
        next fetch's.
        """
        fetcher = consumer._fetcher
        if not self.consumer.flow_active:
            return {}
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        # within aiokafka's count of fetches, which an exception would leave one too high
        with fetcher._subscriptions.fetch_context(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout((timeout or 0.0) + FETCH_LATE_S):
                return await fetcher.fetched_records(active_partitions, timeout=timeout, max_records=max_records)
        return {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        """Faust fixes the wait at 1,500 ms, and aiokafka has one fetch at a time to a broker.

        A fetch of the partitions that have nothing new (of the changelog, say) would keep those that have waiting.
        """
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        app: Any = self.app
        return ChunkConsumer.of(consumer, app.batch_topic) if app.chunks else consumer


class Consumer(driver.Consumer):
    """Faust's consumer, with batches of the input topic and bookkeeping by batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app: Any = self.app
        self.batch_topic: str = app.batch_topic
        self.commits = 0
        self.committed_at = time.monotonic()
        self._next_offsets: dict[TP, int] = {}
        self._begin_at: dict[TP, int] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def _new_consumer_thread(self) -> ConsumerThread:
        """Faust's two loops call into each other without asking: where that is uvloop's, the process may crash."""
        own = asyncio.SelectorEventLoop()
        return ConsumerThread(self, loop=self.loop, thread_loop=own, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """One message for each batch of the input topic, and one for what a fetch brought of another (the changelog).

        The message of a batch has the batch's FIRST offset: everything in Faust that compares offsets (a commit must
        not pass a batch that was read and not folded) then errs towards reading again.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        self._idle.clear()
        try:
            records, active = await self._wait_next_records(min(timeout, POLL_S))
        finally:
            self._idle.set()
        generation = self.app.consumer_generation_id
        if not records or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_back()
            return
        for tp, found in records.items():
            if not self.flow_active or generation != self.app.consumer_generation_id:
                return
            if not (active is None or tp in active or tp in self._buffered_partitions):
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            if tp.topic != self.batch_topic:
                message: Any = self._to_message(tp, found[-1])  # recovery is where the last of them stands
                message.value = found
                yield tp, message
                continue
            for some in split(found, self.app.conf.broker_max_poll_records):
                if not self.flow_active or generation != self.app.consumer_generation_id:
                    return
                yield tp, self._of_batch(tp, Batch(some))
                # Faust's reader compares offsets with the last one read, to drop what it read before and to note gaps;
                # a batch is not one offset, and the worker checks itself that batches follow each other
                self._read_offset[tp] = None

    def _of_batch(self, tp: TP, batch: Batch) -> Any:
        """Faust's message for a batch; each record has its own time, key and headers."""
        record = ConsumerRecord(tp.topic, tp.partition, batch.first, 0, 0, None, None, None, 0, 0, ())
        message: Any = self._to_message(tp, record)
        message.value = batch
        return message

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        """Nothing of the input before recovery is wholly over.

        Faust opens the input, seeks, and only then empties all queues: what was read in between is gone, and with no
        more events behind it nobody would notice.
        """
        active = {tp for tp in active_partitions or () if not (self.app.rebalancing and tp.topic == self.batch_topic)}
        if not active:  # to aiokafka, no partitions means all of them
            await self.sleep(timeout)
            return {}
        return await super()._getmany(active, timeout)

    def on_buffer_full(self, tp: TP) -> None:
        """Faust takes the partition out of the next fetch; with all of them out it sleeps for a second.

        A full queue of batches makes the reader wait for room anyway, so the partition stays in.
        """
        if tp.topic != self.batch_topic:
            super().on_buffer_full(tp)

    async def _seek_back(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # a rebalance came between: the recovery after it seeks again
            self.log.warning("could not seek while the flow was stopped: %r", error)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Faust leaves a partition without a commit where it is; after a rebalance that is past unfolded records.

        A commit that is ahead of the recovered state is not followed: the changelog has lost what it speaks of.
        """
        committed = dict(await super().seek_to_committed())
        for tp, offset in self._begin_at.items():
            if (committed.get(tp) or 0) > offset:
                self.log.warning("%s: committed %d, state at %d: folding again from there", tp, committed[tp], offset)
                self._thread.seek(tp, offset)
                committed[tp] = offset
        fresh = [tp for tp, offset in committed.items() if not offset and tp.topic == self.batch_topic]
        if fresh:
            await self._thread.seek_to_beginning(*fresh)
        return committed

    def begin_at(self, offsets: Mapping[TP, int]) -> None:
        """Where the recovered state goes on, by partition of the input; before recovery seeks."""
        self._begin_at = dict(offsets)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Faust takes the offset just read for a part of the gap before it: it would count as acknowledged."""
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def ack(self, message: Any) -> bool:
        """Remember the end of an acknowledged batch; the worker acknowledges in the order of the log.

        A batch of an earlier assignment is not acknowledged: somebody else may have come further since.
        """
        if message.generation_id != self.app.consumer_generation_id:
            return False
        acknowledged = super().ack(message)
        if acknowledged and isinstance(message.value, Batch):
            self._next_offsets[message.tp] = message.value.last + 1
        return acknowledged

    def _new_offset(self, tp: TP) -> int | None:
        """Offset to commit: the one after the last acknowledged batch."""
        if tp.topic != self.batch_topic:
            return super()._new_offset(tp)
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self._next_offsets.get(tp)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """No fetch outlives its assignment.

        What it brings would be taken for the new one's: changelog records from the middle, which recovery counts as
        all there is before them, or dropped records that nobody reads again.
        """
        self.stop_flow()
        for tp in revoked:
            self._next_offsets.pop(tp, None)
        await super().on_partitions_revoked(revoked)
        try:
            await asyncio.wait_for(self._idle.wait(), FETCH_OVER_S)
        except TimeoutError as error:  # aiokafka would log it and go on
            await self.crash(error)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        committed = await super()._commit(offsets)
        if committed:
            self.commits += 1
            self.committed_at = time.monotonic()
        return committed

    def waiting_for_commit(self) -> bool:
        """Whether something was acknowledged and is not committed yet."""
        return any(offset > (self._committed_offset[tp] or 0) for tp, offset in self._next_offsets.items())


class Shards(Table[bytes, bytes]):
    """The table of shards while it is recovered; Faust takes 45 microseconds for a record by itself."""

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take the records of each event, which is what a fetch brought; the newest of a key counts."""
        data = self.data.data
        for event in batch:
            for record in event.value:
                if record.value is None:
                    data.pop(record.key, None)
                else:
                    data[record.key] = record.value


class Producer(driver.Producer):
    """Faust's producer with room for a checkpoint in its buffer: the reader stops while the buffer is full."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.buffer.max_messages = SENDS_MAX


class Transport(driver.Transport):
    Consumer = Consumer
    Producer = Producer
