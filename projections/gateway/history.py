"""Minutes, hours and days of the collective field, and the figures of the last hour: from the aggregates.

Which of the three answers depends on how long a time is asked for: some hundred points, whatever it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple, Protocol, cast

import msgspec

from projections.gateway import cursors
from projections.gateway.answers import Centre, History, Point
from projections.gateway.kept import Found, Kept, Told
from projections.gateway.parameters import Parameters
from projections.gateway.positions import Positions
from projections.gateway.problems import Problem
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


class Aggregates(Protocol):
    """Where minutes, hours and days are. With each answer the positions that it reflects; None: not now, or not in
    time for so much."""

    async def points(
        self, resolution: Resolution, since: int, until: int, rows: int
    ) -> tuple[Positions, list[Point]] | None:
        """Buckets that had events, since <= bucket < until, rising, so many at most."""

    async def counted(self, now: int) -> tuple[Positions, Counted] | None:
        """The figures at ``now`` (ms)."""


class Past:
    """Reads it through ``kept``."""

    def __init__(self, aggregates: Aggregates, kept: Kept, generation: Callable[[], str]) -> None:
        self._aggregates = aggregates
        self.kept = kept
        self._generation = generation

    async def history(self, page: Asked) -> Told:
        """A page, as ``History``; raises Problem (503)."""
        question = f"history {tuple(page)}"
        return await self.kept.ask(question, lambda: self._found(question, self._history(page)))

    async def counted(self) -> Told:
        """The figures, as ``Counted``; raises Problem (503)."""
        return await self.kept.ask("figures", lambda: self._found("figures", self._aggregates.counted(now_ms())))

    async def _found(self, question: str, answer: Awaitable[tuple[Positions, Any] | None]) -> Found | None:
        generation, at = self._generation(), now_ms()
        answered = await answer
        if answered is None:
            return None
        positions, data = answered
        return Found(question, msgspec.Raw(msgspec.json.encode(data)), positions, at, generation)

    async def _history(self, page: Asked) -> tuple[Positions, History] | None:
        width = WIDTHS_MS[page.resolution]
        until = now_ms() + width if page.until is None else page.until
        since = until - RANGE_MS if page.since is None else page.since
        first = since - since % width if page.after is None else max(page.after + width, since - since % width)
        answered = await self._aggregates.points(page.resolution, first, until, page.limit + 1)
        if answered is None:
            return None
        positions, found = answered
        points, more = found[: page.limit], len(found) > page.limit
        following = cursors.make("history", page.resolution, points[-1].bucket) if more else None
        return positions, History(page.resolution, points, following)


def point_of(row: tuple[Any, ...]) -> Point:
    """bucket, events, active nodes, resonance, x and y of the centre, then counts as ``TYPES``."""
    bucket, events, active_nodes, resonance, x, y, *counts = row
    centre = None if x is None or y is None else Centre(x, y)
    return Point(bucket, events, active_nodes, resonance, centre, dict(zip(TYPES, counts, strict=True)))
