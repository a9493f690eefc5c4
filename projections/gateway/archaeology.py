"""What was: raw rows of the collective field by time, type, room, device, place and intensity, and patterns in them.

Rows are read from the database each time: who opts out is gone from the next answer on. Patterns name nobody, cost
more, and are kept like history.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, Protocol

import msgspec

from projections.gateway import cursors, digging
from projections.gateway.answers import Reflects
from projections.gateway.digging import KINDS, Row
from projections.gateway.kept import Found, Kept, Told
from projections.gateway.parameters import Parameters, refused
from projections.gateway.positions import Positions
from projections.gateway.problems import Problem
from projections.gateway.turns import Turns
from projections.gateway.written import Box
from projections.patterns import EVENTS_MAX
from projections.views import now_ms
from streams.envelope import ID_PATTERN, UUID_PATTERN
from streams.events import OPTS, TIMESTAMP_MS_MAX, TYPES

ROWS: Final = (100, 1_000)
"""Of a page: where nothing is said, and at most."""
READING: Final = (4, 64)
DIGGING: Final = (1, 16)
"""At work and in line. Patterns take up to a second of a core, and some 20 MB while they are made."""
SHOWN: Final = tuple(kind for kind in TYPES if kind not in OPTS)
"""An opt-out is nobody's business."""
FILTERS: Final = ("from", "until", "type", "room", "device", "box", "min_intensity")

_UUID: Final = re.compile(UUID_PATTERN)
_ID: Final = re.compile(ID_PATTERN)


class Filters(NamedTuple):
    """``since`` <= t < ``until`` (ms); ``device``: whose event it is. None: all. A box has its edges in it."""

    since: int | None = None
    until: int | None = None
    types: tuple[str, ...] | None = None
    room: str | None = None
    device: str | None = None
    box: Box | None = None
    min_intensity: float | None = None


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where it was."""

    x: float
    y: float
    z: float | None = None


class LogPlace(msgspec.Struct, frozen=True):
    """Where in the log it stands."""

    partition: int
    offset: int
    index: int


class DugEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event as it is stored; what it had not is left out, ``data`` has its defaults. Times in ms."""

    id: str
    type: str
    device_id: str
    timestamp: int
    received: int
    log: LogPlace
    intensity: float
    data: msgspec.Raw
    user_id: str | None = None
    room_id: str | None = None
    position: Place | None = None


class Events(msgspec.Struct, frozen=True):
    """A page, newest first; ``next``: the cursor of what follows."""

    events: list[DugEvent]
    next: str | None


def filters_of(given: Parameters) -> Filters:
    """What a request asks for; raises Problem (400)."""
    filters = Filters(
        given.time("from"),
        given.time("until"),
        given.some("type", SHOWN),
        given.id("room"),
        given.id("device"),
        given.box(),
        given.number("min_intensity", 0, 1),
    )
    if filters.since is not None and filters.since >= (TIMESTAMP_MS_MAX if filters.until is None else filters.until):
        raise refused("from", "is not before until")
    return filters


class After(NamedTuple):
    """The row that a page begins after."""

    timestamp: int
    id: str
    routing_key: str


class Rows(Protocol):
    """Where raw rows are. With each answer the positions that it reflects; None: not now, or not in time for so much.

    Whoever has opted out is not shown, nor what he did before, nor what names him.
    """

    @property
    def away(self) -> bool:
        """Whether it does not answer at all."""

    async def page(
        self, filters: Filters, after: After | None, rows: int
    ) -> tuple[Positions, list[tuple[str, DugEvent]]] | None:
        """(routing key, event), newest first, so many at most."""

    async def newest(self, filters: Filters, rows: int) -> tuple[Positions, list[Row]] | None:
        """What patterns are made of, newest first, so many at most."""


class Archaeology:
    """Asks ``stored``; what is made of many rows is asked through ``kept``."""

    def __init__(self, stored: Rows, kept: Kept, generation: Callable[[], str]) -> None:
        self._stored = stored
        self.kept = kept
        self._generation = generation
        self._reading = Turns("pages of archaeology", *READING)
        self._digging = Turns("patterns", *DIGGING)

    async def events(
        self, filters: Filters, limit: int = ROWS[0], cursor: str | None = None
    ) -> tuple[Events, Reflects]:
        """A page; raises Problem: 400 for a cursor that is none, 503."""
        after = _after(cursor)
        generation, at = self._generation(), now_ms()
        async with self._reading.one():
            answered = await self._stored.page(filters, after, limit + 1)
        if answered is None:
            self._refuse()
        raw, found = answered
        events = [event for _, event in found[:limit]]
        following = None
        if len(found) > limit:
            following = cursors.make("archaeology", events[-1].timestamp, events[-1].id, found[limit - 1][0])
        stale = self.kept.behind(raw)
        return Events(events, following), Reflects("database", raw, at, max(0, now_ms() - at), generation, stale)

    async def patterns(self, filters: Filters, kinds: Sequence[str] = KINDS) -> tuple[msgspec.Raw, Reflects]:
        """``digging.Patterns`` as JSON; raises Problem (503). Those of one device are not kept: it may opt out."""
        question = f"patterns {','.join(kinds)} {msgspec.json.encode(filters).decode()}"
        if filters.device is not None:
            found = await self._dig(question, filters, kinds)
            told = self._refuse() if found is None else Told(found, "database")
        else:
            try:
                told = await self.kept.ask(question, lambda: self._dig(question, filters, kinds))
            except Problem as problem:
                if problem.code == "database_away":
                    self._refuse()
                raise
        return told.found.data, self.kept.reflects(told)

    async def _dig(self, question: str, filters: Filters, kinds: Sequence[str]) -> Found | None:
        generation, at = self._generation(), now_ms()
        async with self._digging.one():
            answered = await self._stored.newest(filters, EVENTS_MAX + 1)
            if answered is None:
                return None  # an older answer may do
            raw, rows = answered
            window = digging.Window(filters.since, min(at, filters.until or at))
            data = await asyncio.to_thread(digging.encoded, rows, window, kinds)
        return Found(question, msgspec.Raw(data), raw, at, generation)

    def _refuse(self) -> NoReturn:
        if self._stored.away:
            raise Problem(
                503, "database_away", "what was stands in the database, which does not answer", retry_after_s=2
            )
        raise Problem(503, "too_slow", "there is too much to look through: name a shorter time", retry_after_s=5)


def _after(cursor: str | None) -> After | None:
    key = cursors.read(cursor, "archaeology", int, str, str)
    if key is None:
        return None
    at, event, routing_key = key
    if not (0 <= at <= TIMESTAMP_MS_MAX and _UUID.match(event) and _ID.match(routing_key)):
        raise refused("cursor", "is none of this listing")
    return After(at, event, routing_key)


def dug_of(row: tuple[Any, ...]) -> tuple[str, DugEvent]:
    """(routing key, event) of a row as ``archaeology_events`` has it."""
    event, key, device, user, room, kind, data, x, y, z, intensity, timestamp, received, *place = row
    position = None if x is None else Place(x, y, z)
    raw = msgspec.Raw(data.encode())
    found = DugEvent(
        event,
        kind,
        device,
        timestamp,
        received,
        LogPlace(*place),
        intensity,
        raw,
        user,
        room,
        position,
    )
    return key, found
