"""Minutes, hours and days of the collective field, and the figures of the last hour: from the aggregates.

Which of the three answers depends on how long a time is asked for: some hundred points, whatever it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec
from psycopg import sql

from projections.gateway import cursors
from projections.gateway.answers import Centre, History, Point
from projections.gateway.cold_tier import ColdTier
from projections.gateway.kept import Found, Kept, Told
from projections.gateway.parameters import Parameters
from projections.gateway.problems import Problem
from projections.positions import Connection
from projections.queries import query
from projections.views import now_ms
from streams.events import TIMESTAMP_MS_MAX

Resolution = Literal["1min", "1h", "1d"]
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WIDTHS_MS: Final[dict[str, int]] = {"1min": MINUTE_MS, "1h": HOUR_MS, "1d": DAY_MS}
CHOSEN: Final = ((6 * HOUR_MS, "1min"), (31 * DAY_MS, "1h"))
"""The first whose range is long enough; days for what is longer."""
RANGE_MS: Final = HOUR_MS
"""Where no beginning is given."""
POINTS: Final = (500, 5_000)
"""Of a page: where nothing is said, and at most."""
TYPES: Final = (
    "BREATH", "SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE", "FIELD", "ENTANGLE", "RELEASE", "ENTER", "LEAVE",
)  # fmt: skip
"""As the columns of the aggregates follow each other."""


class Asked(NamedTuple):
    """A page of history: buckets that overlap ``since`` <= t < ``until`` (None: now), those after ``after`` only."""

    resolution: Resolution
    since: int | None
    until: int | None
    after: int | None
    limit: int


class Counted(msgspec.Struct, frozen=True):
    """Collective events of the last minute in all, and of the last hour by type; None: it took too long."""

    lately: int
    counts: dict[str, int] | None


def asked(given: Parameters) -> Asked:
    """What a request asks for; raises Problem (400)."""
    since, until = given.time("from"), given.time("until")
    if since is not None and since >= (now_ms() if until is None else until):
        raise Problem(400, "bad_parameter", "from: is not before until (now, where it is not given)", parameter="from")
    wanted = given.choice("resolution", ("auto", *WIDTHS_MS))
    limit, cursor = given.limit(*POINTS), cursors.read(given.text("cursor"), "history", str, int)
    if cursor is None:
        resolution = chosen(since, until) if wanted == "auto" else wanted
        return Asked(cast(Resolution, resolution), since, until, None, limit)
    resolution, after = cursor
    if resolution not in WIDTHS_MS or wanted not in ("auto", resolution) or not 0 <= after <= TIMESTAMP_MS_MAX:
        raise Problem(400, "bad_parameter", "cursor: is of another listing", parameter="cursor")
    return Asked(resolution, since, until, after, limit)


def chosen(since: int | None, until: int | None) -> str:
    """The resolution of a range."""
    end = now_ms() if until is None else until
    length = RANGE_MS if since is None else end - since
    return next((name for longest, name in CHOSEN if length <= longest), "1d")


class Past:
    """Reads it through ``kept``."""

    def __init__(self, cold: ColdTier, kept: Kept, generation: Callable[[], str]) -> None:
        self._cold = cold
        self.kept = kept
        self._generation = generation

    async def history(self, page: Asked) -> Told:
        """A page, as ``History``; raises Problem (503)."""
        return await self.kept.ask(
            f"history {tuple(page)}", lambda: self._found(f"history {tuple(page)}", _history(page))
        )

    async def counted(self) -> Told:
        """The figures, as ``Counted``; raises Problem (503)."""
        return await self.kept.ask("figures", lambda: self._found("figures", self._counted))

    async def _found(self, question: str, ask: Callable[[Connection], Awaitable[Any]]) -> Found | None:
        generation, at = self._generation(), now_ms()

        async def both(connection: Connection) -> Found:
            _, raw = await self._cold.vectors(connection, generation)
            data = await ask(connection)
            return Found(question, msgspec.Raw(msgspec.json.encode(data)), raw, at, generation)

        return await self._cold.ask(both)

    async def _counted(self, connection: Connection) -> Counted:
        now = now_ms()
        parameters = {"from": now - MINUTE_MS, "until": now}
        row = await (await connection.execute(query("gateway_lately"), parameters)).fetchone()

        async def by_type(other: Connection) -> dict[str, int]:
            found = await (await other.execute(query("gateway_counts"), {"from": now - HOUR_MS})).fetchone()
            return dict(zip(TYPES, found or (), strict=True))

        return Counted(row[0] if row else 0, await self._cold.ask(by_type))


def _history(page: Asked) -> Callable[[Connection], Awaitable[History]]:
    async def ask(connection: Connection) -> History:
        width = WIDTHS_MS[page.resolution]
        until = now_ms() + width if page.until is None else page.until
        since = until - RANGE_MS if page.since is None else page.since
        first = since - since % width if page.after is None else max(page.after + width, since - since % width)
        text = sql.SQL(query("gateway_history")).format(view=sql.Identifier(f"consciousness_field_{page.resolution}"))
        parameters = {"from": first, "until": until, "rows": page.limit + 1}
        rows = await (await connection.execute(text, parameters)).fetchall()
        points = [_point(row) for row in rows[: page.limit]]
        more = len(rows) > page.limit
        following = cursors.make("history", page.resolution, points[-1].bucket) if more else None
        return History(page.resolution, points, following)

    return ask


def _point(row: tuple[Any, ...]) -> Point:
    bucket, events, active_nodes, resonance, x, y, *counts = row
    centre = None if x is None or y is None else Centre(x, y)
    return Point(bucket, events, active_nodes, resonance, centre, dict(zip(TYPES, counts, strict=True)))
