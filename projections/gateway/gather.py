"""Events that arrive within a few milliseconds go to the log together, and each learns its position there.

For each partition one set of records is under way at a time; what arrives meanwhile is the next set. So sets grow with
the load by themselves. An event is answered when all replicas have it, and never before: when the broker refuses or
says nothing for too long its sender hears so, and the producer is replaced (an idempotent one goes on with the same
numbers for ever). What was refused may all the same be on the log: sent again, it counts once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from projections.backoff import Backoff, log_of
from projections.gateway.producing import connect
from projections.gateway.room import Full, Room
from projections.gateway.stores import Aim, Connect, Line
from projections.gateway.unless import unless
from projections.gateway.vectors import Log
from streams import logs, metrics, traces
from streams.events import OPTS, Event
from streams.packing import Record, pack
from streams.settings import Settings
from streams.table import partition_of

log = logging.getLogger(__name__)

RECORD_BYTES: Final = 128 * 1024
SET_BYTES: Final = 512 * 1024
"""Estimated; half of what a broker takes by default."""
GRACE_S: Final = 1.0
"""For what other partitions have under way when one of them was refused."""
FRAME_EVENTS_MIN: Final = 8
"""Fewer are an array: a frame costs its readers as much as ten events as JSON, however few it holds."""


class Position(msgspec.Struct, frozen=True):
    """Where an event stands in the log; ``index`` within the record."""

    partition: int
    offset: int
    index: int


class NotStored(Exception):
    """Events were not acknowledged: ``code`` for programs, the text for people."""

    def __init__(self, code: str, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class Submission:
    """Events of one request on their way. ``places`` in their order, None where not all copies are stored (yet)."""

    def __init__(self, events: Sequence[Event], size_bytes: int, traceparent: bytes | None = None) -> None:
        self.traceparent = traceparent
        self.places: list[Position | None] = [None] * len(events)
        self.offsets: dict[int, int] = {}
        self.log = ""
        """The ``Log.id`` that the offsets are of."""
        self.error: NotStored | None = None
        self.size_bytes = size_bytes
        self.left = 0
        self.done = asyncio.get_running_loop().create_future()
        self._homes: dict[int, Position] = {}
        self._copies: dict[int, int] = {}

    def spread(self, number: int, copies: int) -> None:
        """An event that goes to so many partitions."""
        self.left += copies
        if copies > 1:
            self._copies[number] = copies

    def stored(self, number: int, position: Position, home: bool) -> None:
        """One of its copies is on the log; ``home``: the one whose position is its own."""
        self.offsets[position.partition] = max(position.offset, self.offsets.get(position.partition, -1))
        if number in self._copies:
            self._copies[number] -= 1
            if home:
                self._homes[number] = position
            if not self._copies[number]:
                self.places[number] = self._homes[number]
        else:
            self.places[number] = position
        self._less()

    def lost(self, error: NotStored) -> None:
        """One of its copies, or an event that has only one, is not."""
        self.error = error
        self._less()

    def _less(self) -> None:
        self.left -= 1
        if not self.left:
            _resolve(self)


class _Item(NamedTuple):
    """An event for one partition. ``home``: its position is here, and not just a copy of it."""

    event: Event
    size_bytes: int
    submission: Submission
    number: int
    home: bool


class Gather:
    """Takes events (``submit``) while ``run`` keeps a line to the broker."""

    def __init__(self, settings: Settings, target: Aim, connect: Connect = connect) -> None:
        self.room = Room(settings.gateway_waiting_events, settings.gateway_waiting_bytes)
        self._settings = settings
        self._target = target
        self._connect = connect
        self._gather_s = settings.gateway_gather_ms / 1000
        self._ack_s = settings.gateway_ack_ms / 1000
        self._line: Line | None = None
        self._away: NotStored | None = None
        self._waiting: dict[int, list[_Item]] = {}
        self._unrouted: list[tuple[Submission, Sequence[Event], Sequence[int]]] = []
        self._busy: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._broken = asyncio.Event()

    @property
    def topic(self) -> str | None:
        """Where events go; None while there is no line to the broker."""
        return None if self._line is None else self._line.topic

    async def submit(
        self, events: Sequence[Event], sizes: Sequence[int], traceparent: bytes | None = None
    ) -> Submission:
        """Events with the bytes that each came as; returns when all are on the log, or some have failed.

        ``traceparent`` is for a header of their records.

        Raises NotStored when none was taken: the log is away, or too much waits already.
        """
        if self._away is not None:
            raise NotStored(self._away.code, self._away.detail, self._away.retry_after_s)
        submission = Submission(events, sum(sizes), traceparent)
        try:
            self.room.take(len(events), submission.size_bytes)
        except Full:
            raise NotStored("busy", f"{self.room.events} events wait for the broker") from None
        submission.done.add_done_callback(lambda _: self._finish(submission, len(events)))
        metrics.GATEWAY_WAITING.set(self.room.events)
        began = time.perf_counter()
        if self._line is None:
            self._unrouted.append((submission, events, sizes))
        else:
            self._route(self._line, submission, events, sizes)
        try:
            async with asyncio.timeout(self._ack_s):
                await asyncio.shield(submission.done)
        except TimeoutError:
            submission.error = NotStored("not_acknowledged", f"no acknowledgement within {self._ack_s:g} s")
        else:
            metrics.GATEWAY_ACKNOWLEDGED_SECONDS.observe(time.perf_counter() - began)
        return submission

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; Kafka may come and go."""
        backoff = Backoff(log_of(self._settings), stop)
        await unless(stop, self._target.first())
        while not stop.is_set():
            moved = self._target.moved
            try:
                line = await unless(stop, self._connect(self._settings, self._target.topic))
            except (KafkaError, OSError, TimeoutError) as error:
                self._refuse(NotStored("log_away", f"the log does not answer: {error or type(error).__name__}", 5))
                await backoff.failed(error)
                continue
            if line is None:
                break
            backoff.answered()
            self._open(line)
            await _first((stop, self._broken, moved))
            await self._close(line, stop)

    def _open(self, line: Line) -> None:
        self._broken.clear()
        self._line, self._away = line, None
        unrouted, self._unrouted = self._unrouted, []
        for submission, events, sizes in unrouted:
            self._route(line, submission, events, sizes)

    async def _close(self, line: Line, stop: asyncio.Event) -> None:
        """No new sets; those under way get their time, a short one when something is wrong with the line."""
        self._line = None
        if stop.is_set():
            self._away = NotStored("stopping", "this gateway is about to end")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=min(GRACE_S, self._ack_s) if self._broken.is_set() else self._ack_s)
        error = NotStored("log_away", "the line to the log was lost")
        for items in self._waiting.values():
            self._fail(items, error)
        self._waiting.clear()
        await line.end()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _refuse(self, error: NotStored) -> None:
        """From now on, until there is a line."""
        self._away = error
        unrouted, self._unrouted = self._unrouted, []
        for submission, _, _ in unrouted:
            submission.error = error
            _resolve(submission)

    def _route(self, line: Line, submission: Submission, events: Sequence[Event], sizes: Sequence[int]) -> None:
        """Each event to its partition, OPT_* to all of them."""
        count = line.partitions
        submission.log = Log(line.topic, count).id
        for number, event in enumerate(events):
            home = partition_of(event.key, count)
            targets = range(count) if event.type in OPTS else (home,)
            submission.spread(number, len(targets))
            for partition in targets:
                item = _Item(event, sizes[number], submission, number, partition == home)
                self._waiting.setdefault(partition, []).append(item)
        if not submission.left:
            _resolve(submission)
        self._schedule(self._gather_s)

    def _schedule(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._flush)

    def _flush(self) -> None:
        """A set of records on its way for each partition that has none and something to say."""
        self._timer = None
        line = self._line
        if line is None or self._broken.is_set():
            return  # what waits behind a set that was refused must not be stored without it
        for partition in [one for one in self._waiting if one not in self._busy]:
            items = _some(self._waiting[partition])
            del self._waiting[partition][: len(items)]
            if not self._waiting[partition]:
                del self._waiting[partition]
            self._busy.add(partition)
            task = asyncio.create_task(self._deliver(line, partition, items))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, line: Line, partition: int, items: list[_Item]) -> None:
        try:
            records = records_of(items, partition, line.partitions)
            if traces.on:
                records = traced(records, items)
            async with asyncio.timeout(self._ack_s):
                first = await line.send(partition, records)
        except Exception as error:  # whatever it is: who waits must hear of it, and the next line is a new one
            log.warning("not acknowledged: %r", error, extra=logs.at(line.topic, partition))
            self._fail(items, NotStored("not_acknowledged", f"the broker has not taken it: {_name(error)}"))
            self._broken.set()
        else:
            self._placed(partition, first, records, items)
        finally:
            self._busy.discard(partition)
            if self._waiting and self._line is line:
                self._schedule(0)  # after the answers for other partitions, which are handled in this turn

    def _placed(self, partition: int, first: int, records: Sequence[Record], items: Sequence[_Item]) -> None:
        """Every event of a set has its position: records are numbered on from the first."""
        row = iter(items)
        for offset, record in enumerate(records, first):
            for index in range(max(1, record.events)):  # copies of OPT_* count for nothing, but are there
                item = next(row)
                item.submission.stored(item.number, Position(partition, offset, index), item.home)

    def _fail(self, items: Sequence[_Item], error: NotStored) -> None:
        for item in items:
            item.submission.lost(error)

    def _finish(self, submission: Submission, events: int) -> None:
        self.room.give(events, submission.size_bytes)
        metrics.GATEWAY_WAITING.set(self.room.events)


def records_of(items: Sequence[_Item], partition: int, partitions: int) -> list[Record]:
    """Records that hold the items' events in their order; OPT_* stand alone, with the headers of copies."""
    out: list[Record] = []
    run: list[Event] = []
    size = 0

    def close() -> None:
        out.extend(pack(run, partitions, "frame" if len(run) >= FRAME_EVENTS_MIN else "batch"))
        run.clear()

    for item in items:
        if run and (item.event.type in OPTS or size + _estimate(item) > RECORD_BYTES):
            close()
            size = 0
        if item.event.type in OPTS:
            out.append(pack([item.event], partitions)[partition])
            continue
        run.append(item.event)
        size += _estimate(item)
    if run:
        close()
    return out


def traced(records: Sequence[Record], items: Sequence[_Item]) -> list[Record]:
    """The records of the items, each with the trace of the first of its events that has one."""
    out: list[Record] = []
    row = iter(items)
    for record in records:
        inside = itertools.islice(row, max(1, record.events))
        found = [item.submission.traceparent for item in inside if item.submission.traceparent is not None]
        out.append(record._replace(headers=(*record.headers, (traces.HEADER, found[0]))) if found else record)
    return out


def _some(items: Sequence[_Item]) -> list[_Item]:
    """As many from the front as go to the broker together; at least one."""
    size = 0
    for count, item in enumerate(items):
        size += _estimate(item)
        if size > SET_BYTES and count:
            return list(items[:count])
    return list(items)


def _estimate(item: _Item) -> int:
    """Bytes of an event on the log at most: numbers may get longer, and what an event lacks has a column, too."""
    return 2 * item.size_bytes + 100


def _resolve(submission: Submission) -> None:
    if not submission.done.done():
        submission.done.set_result(None)


def _name(error: BaseException) -> str:
    return type(error).__name__


async def _first(events: Sequence[asyncio.Event]) -> None:
    """Until one of them is set."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
