"""What was: raw rows of the collective field by time, type, room, device, place and intensity, and patterns in them.

Rows are read from the database each time: who opts out is gone from the next answer on. Patterns name nobody, cost
more, and are kept like history.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import msgspec
from psycopg import sql

from projections.gateway import cursors, digging
from projections.gateway.answers import Reflects
from projections.gateway.cold_tier import ColdTier
from projections.gateway.digging import KINDS, Row
from projections.gateway.kept import Found, Kept, Told
from projections.gateway.parameters import Parameters, refused
from projections.gateway.positions import Positions
from projections.gateway.problems import Problem
from projections.gateway.turns import Turns
from projections.gateway.written import Box
from projections.patterns import EVENTS_MAX
from projections.positions import Connection
from projections.queries import query
from projections.views import now_ms
from streams.envelope import ID_PATTERN, UUID_PATTERN
from streams.events import OPTS, TIMESTAMP_MS_MAX, TYPES

ROWS: Final = (100, 1_000)
"""Of a page: where nothing is said, and at most."""
READING: Final = (4, 64)
DIGGING: Final = (1, 16)
"""At work and in line. Patterns take up to a second of a core, and some 20 MB while they are made."""
FETCH: Final = 2_000
SHOWN: Final = tuple(kind for kind in TYPES if kind not in OPTS)
"""An opt-out is nobody's business."""
FILTERS: Final = ("from", "until", "type", "room", "device", "box", "min_intensity")

_UUID: Final = re.compile(UUID_PATTERN)
_ID: Final = re.compile(ID_PATTERN)
T = TypeVar("T")


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


class Archaeology:
    """Asks the database through ``cold``; ``behind`` says whether positions are behind the log for so long (ms)."""

    def __init__(
        self,
        cold: ColdTier,
        kept: Kept,
        generation: Callable[[], str],
        behind: Callable[[Positions, int], bool],
        stale_ms: int,
    ) -> None:
        self._cold = cold
        self.kept = kept
        self._generation = generation
        self._behind = behind
        self._stale_ms = stale_ms
        self._reading = Turns("pages of archaeology", *READING)
        self._digging = Turns("patterns", *DIGGING)

    async def events(
        self, filters: Filters, limit: int = ROWS[0], cursor: str | None = None
    ) -> tuple[Events, Reflects]:
        """A page; raises Problem: 400 for a cursor that is none, 503."""
        parameters = _bound(filters, limit + 1) | _after(cursor)
        generation, at = self._generation(), now_ms()

        async def ask(connection: Connection) -> tuple[Positions, list[tuple[Any, ...]]]:
            _, raw = await self._cold.vectors(connection, generation)
            found = await connection.execute(_statement("archaeology_events"), parameters, prepare=False)
            return raw, await found.fetchall()

        async with self._reading.one():
            raw, rows = await self._ask(ask)
        events = [_event(row) for row in rows[:limit]]
        following = None
        if len(rows) > limit:
            following = cursors.make("archaeology", events[-1].timestamp, events[-1].id, rows[limit - 1][1])
        stale = self._behind(raw, self._stale_ms)
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

        async def ask(connection: Connection) -> tuple[Positions, list[Row]]:
            _, raw = await self._cold.vectors(connection, generation)
            parameters = _bound(filters, EVENTS_MAX + 1)
            found = await connection.execute(_statement("archaeology_patterns"), parameters, prepare=False)
            rows: list[Row] = []
            while some := await found.fetchmany(FETCH):
                rows += map(Row._make, some)
                await asyncio.sleep(0)  # others want to be answered
            return raw, rows

        async with self._digging.one():
            answered = await self._cold.ask(ask)
            if answered is None:
                return None  # an older answer may do
            raw, rows = answered
            window = digging.Window(filters.since, min(at, filters.until or at))
            data = await asyncio.to_thread(digging.encoded, rows, window, kinds)
        return Found(question, msgspec.Raw(data), raw, at, generation)

    async def _ask(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        found = await self._cold.ask(question)
        if found is None:
            self._refuse()
        return found

    def _refuse(self) -> NoReturn:
        if self._cold.rest.resting:
            raise Problem(
                503, "database_away", "what was stands in the database, which does not answer", retry_after_s=2
            )
        raise Problem(503, "too_slow", "there is too much to look through: name a shorter time", retry_after_s=5)


def _statement(name: str) -> sql.Composed:
    return sql.SQL(query(name)).format(where=sql.SQL(query("archaeology_where")))


def _bound(filters: Filters, rows: int) -> dict[str, Any]:
    """Parameters of a statement."""
    x0, y0, x1, y1 = filters.box or (None,) * 4
    types = None if filters.types is None else list(filters.types)
    return {
        "since": filters.since, "until": filters.until, "types": types, "room": filters.room,
        "device": filters.device, "min_intensity": filters.min_intensity,
        "x0": x0, "y0": y0, "x1": x1, "y1": y1, "rows": rows,
    }  # fmt: skip


def _after(cursor: str | None) -> dict[str, Any]:
    key = cursors.read(cursor, "archaeology", int, str, str)
    if key is None:
        return {"after": None, "after_id": None, "after_key": None}
    at, event, routing_key = key
    if not (0 <= at <= TIMESTAMP_MS_MAX and _UUID.match(event) and _ID.match(routing_key)):
        raise refused("cursor", "is none of this listing")
    return {"after": at, "after_id": event, "after_key": routing_key}


def _event(row: tuple[Any, ...]) -> DugEvent:
    event, _, device, user, room, kind, data, x, y, z, intensity, timestamp, received, *place = row
    position = None if x is None else Place(x, y, z)
    raw = msgspec.Raw(data.encode())
    return DugEvent(event, kind, device, timestamp, received, LogPlace(*place), intensity, raw, user, room, position)
