"""From the past to the present: history at a pace, joined to the live stream without a gap or a repeat.

What a listener has is a position in each partition, and every step of the way moves it forward by whole records. Far
back, records come from the log, up to where the hub is at that moment. When that is near enough, the rest comes from
the hub's tail, and the last of it is put into the outbox in the same step in which the listener joins the live stream:
nothing is awaited between looking at the hub's position and joining, so nothing can come in between.

A record takes its turn by the time it was received: at X times, one of s seconds after the start comes s / X seconds
after it. When that clock has overtaken the real one, the rest comes as fast as it is taken. At 1 or below it never
does, and the listener stays in the past for as long as it likes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Final, NamedTuple

from projections.gateway.filters import Filters
from projections.gateway.groups import select
from projections.gateway.listener import Listener
from projections.gateway.past import Past, Place
from projections.gateway.pushed import Heard, events_message, id_of, message
from projections.gateway.vectors import Log, Vector
from streams.events import OPTS

if TYPE_CHECKING:
    from projections.gateway.hub import Hub

MESSAGE_EVENTS: Final = 500
MESSAGE_BYTES: Final = 128 * 1024
JOIN_EVENTS: Final = 1_000
"""So many at most are handed over in the step of joining; more are given one message after the other before."""
IDLE_S: Final = 0.05
WINDOW_MS: Final = 20


class Pace:
    """When a record received at a time is due. ``speed`` None: at once; ``from_ms`` None: the first one is, at once."""

    def __init__(self, speed: float | None, from_ms: int | None) -> None:
        self._from_ms = from_ms
        self._speed = speed
        self._began_ms = time.time() * 1000
        self._began_s = time.monotonic()

    def skip(self) -> None:
        """There was nothing to play: the present is as good a start as any."""
        if self._from_ms is None:
            self._speed = None

    @property
    def now_ms(self) -> float:
        """The time in the past that is played now."""
        assert self._speed is not None
        assert self._from_ms is not None
        return self._from_ms + (time.monotonic() - self._began_s) * 1000 * self._speed

    @property
    def over(self) -> bool:
        """Whether the past has caught up with the present; once it has, it stays so."""
        if self._speed is not None and self._from_ms is not None:
            real_ms = self._began_ms + (time.monotonic() - self._began_s) * 1000
            if self.now_ms >= real_ms:
                self._speed = None
        return self._speed is None

    async def due(self, received_ms: int, look: Callable[[], None]) -> None:
        """Wait for its turn; ``look`` is called now and then meanwhile, and may end it."""
        if self._from_ms is None:
            self._from_ms = received_ms
        look()
        while not self.over:
            assert self._speed is not None
            wait_s = (received_ms - self.now_ms) / 1000 / self._speed
            if wait_s <= 0:
                return
            await asyncio.sleep(min(wait_s, 1.0))
            look()


class Piece(NamedTuple):
    """Some records of the past: what is heard of them, the positions after them, when the first was received."""

    heard: list[Heard]
    after: Vector
    received_ms: int


class Start(NamedTuple):
    """Where a listener's past begins: after ``positions`` (all partitions) of ``log``, at which pace.

    What was received before ``from_ms`` is left out: copies of an archive were appended long after that. ``resumed``:
    its listener has heard all before, so copies of what was pushed from the log before are left out, too.
    """

    log: Log
    positions: Vector
    pace: Pace
    from_ms: int = 0
    resumed: bool = False


class Moved(Exception):
    """The field has gone over to another log; the positions of a listener of the past mean nothing in it."""


class Playback:
    """For one listener. ``past`` has begun at the start, or is None: all that is missed was in the hub's tail."""

    def __init__(self, hub: Hub, listener: Listener, filters: Filters, start: Start, past: Past | None) -> None:
        self._hub = hub
        self._listener = listener
        self._filters = filters
        self._log = start.log
        self._positions = dict(start.positions)
        self._pace = start.pace
        self._from_ms = start.from_ms
        self._resumed = start.resumed
        self._past = past
        listener.id = id_of(start.log, start.positions)

    async def run(self, stack: AsyncExitStack) -> None:
        """Until the listener has joined. ``stack`` ends what is opened here; raises Gone, Away, Busy, Moved."""
        while True:
            self._same(self._hub.log)
            missed = self._hub.tail.missed(self._positions) if self._pace.over else None
            if missed is not None and len(missed) <= JOIN_EVENTS:
                self._join(missed)
                return
            if missed is not None:
                await self._from_tail(missed)
            elif not await self._from_log(stack):
                self._pace.skip()
                await asyncio.sleep(IDLE_S)

    def _same(self, log: Log | None) -> None:
        if log != self._log:
            raise Moved

    def _join(self, missed: list[Heard]) -> None:
        """No await in here: what comes next goes to the outbox too, after this."""
        at = id_of(self._log, self._hub.positions)
        if chosen := self._chosen(missed):
            self._listener.hear(events_message(chosen, at))
        self._listener.hear(message("live", {}, at))
        self._hub.join(self._listener, self._filters)

    async def _from_tail(self, missed: list[Heard]) -> None:
        """The oldest of it; what is given ends with a whole record."""
        end = MESSAGE_EVENTS
        while end < len(missed) and _same_record(missed[end - 1], missed[end]):
            end += 1
        piece = missed[:end]
        for one in piece:
            self._positions[one.partition] = one.offset
        await self._give(piece)

    async def _from_log(self, stack: AsyncExitStack) -> bool:
        """Up to where the hub is now; whether there was anything."""
        if self._past is None:  # the tail went on without us
            self._past = await stack.enter_async_context(self._hub.past())
            self._same(self._past.log)
            await self._past.begin(self._positions, self._hub.positions or self._positions)
            self._same(self._hub.log)
        end, moved = dict(self._hub.positions or self._positions), False
        async with aclosing(self._pieces(self._past, end)) as pieces:
            async for piece in pieces:
                await self._pace.due(piece.received_ms, lambda: self._same(self._hub.log))
                self._positions = piece.after
                await self._give(piece.heard)
                moved = True
        for number, at in end.items():  # what is no record has an offset too
            self._positions[number] = max(self._positions[number], at)
        return moved

    async def _pieces(self, past: Past, end: Vector) -> AsyncGenerator[Piece, None]:
        """Records that are due together, so many at most."""
        heard: list[Heard] = []
        positions, size, first_ms = dict(self._positions), 0, -1
        async with aclosing(past.until(end)) as places:
            async for place in places:
                received_ms = place.received_ms
                if received_ms < self._from_ms:  # nor decoded: there may be much of it
                    positions[place.partition] = place.record.offset
                    continue
                later = not self._pace.over and first_ms >= 0 and abs(received_ms - first_ms) > WINDOW_MS
                if first_ms >= 0 and (later or len(heard) >= MESSAGE_EVENTS or size >= MESSAGE_BYTES):
                    yield Piece(heard, dict(positions), first_ms)
                    heard, size, first_ms = [], 0, -1
                first_ms = received_ms if first_ms < 0 else first_ms
                heard += self._read(place)
                size += len(place.record.value or b"")
                positions[place.partition] = place.record.offset
        if first_ms >= 0:
            yield Piece(heard, dict(positions), first_ms)

    def _read(self, place: Place) -> list[Heard]:
        entry = self._hub.reading.entry(place.record, place.partition)
        for event in entry.events:
            if event.type in OPTS:
                self._hub.opt_outs.seen(event)
        return self._hub.heard(entry, place.record, place.partition)

    def _chosen(self, heard: list[Heard]) -> Sequence[Heard]:
        wanted = [one for one in heard if one.received_ms >= self._from_ms and not (self._resumed and one.again)]
        return select(self._hub.shown(wanted), self._filters)

    async def _give(self, heard: list[Heard]) -> None:
        at = id_of(self._log, self._positions)
        if chosen := self._chosen(heard):
            await self._listener.give(events_message(chosen, at))
        else:
            self._listener.id = at
            await asyncio.sleep(0)


def _same_record(one: Heard, other: Heard) -> bool:
    return (one.partition, one.offset) == (other.partition, other.offset)
