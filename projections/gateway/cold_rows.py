"""Raw rows and aggregates of PostgreSQL, as history and archaeology ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from psycopg import sql

from projections.gateway.answers import Point
from projections.gateway.archaeology import After, DugEvent, Filters, dug_of
from projections.gateway.cold_tier import ColdTier
from projections.gateway.digging import Row
from projections.gateway.history import HOUR_MS, MINUTE_MS, TYPES, Counted, Resolution, point_of
from projections.gateway.positions import Positions
from projections.positions import Connection
from projections.queries import query

FETCH: Final = 2_000
NOWHERE: Final = {"after": None, "after_id": None, "after_key": None}


class ColdRows:
    """``history.Aggregates`` and ``archaeology.Rows``."""

    def __init__(self, cold: ColdTier, generation: Callable[[], str]) -> None:
        self._cold = cold
        self._generation = generation

    @property
    def away(self) -> bool:
        return self._cold.rest.resting

    async def points(
        self, resolution: Resolution, since: int, until: int, rows: int
    ) -> tuple[Positions, list[Point]] | None:
        text = sql.SQL(query("gateway_history")).format(view=sql.Identifier(f"consciousness_field_{resolution}"))

        async def ask(connection: Connection) -> tuple[Positions, list[Point]]:
            raw = await self._raw(connection)
            found = await connection.execute(text, {"from": since, "until": until, "rows": rows})
            return raw, [point_of(row) for row in await found.fetchall()]

        return await self._cold.ask(ask)

    async def counted(self, now: int) -> tuple[Positions, Counted] | None:
        async def ask(connection: Connection) -> tuple[Positions, Counted]:
            raw = await self._raw(connection)
            parameters = {"from": now - MINUTE_MS, "until": now}
            row = await (await connection.execute(query("gateway_lately"), parameters)).fetchone()

            async def by_type(other: Connection) -> dict[str, int]:
                found = await (await other.execute(query("gateway_counts"), {"from": now - HOUR_MS})).fetchone()
                return dict(zip(TYPES, found or (), strict=True))

            return raw, Counted(row[0] if row else 0, await self._cold.ask(by_type))

        return await self._cold.ask(ask)

    async def page(
        self, filters: Filters, after: After | None, rows: int
    ) -> tuple[Positions, list[tuple[str, DugEvent]]] | None:
        place = NOWHERE if after is None else dict(zip(NOWHERE, after, strict=True))

        async def ask(connection: Connection) -> tuple[Positions, list[tuple[str, DugEvent]]]:
            raw = await self._raw(connection)
            found = await connection.execute(
                _statement("archaeology_events"), _bound(filters, rows) | place, prepare=False
            )
            return raw, [dug_of(row) for row in await found.fetchall()]

        return await self._cold.ask(ask)

    async def newest(self, filters: Filters, rows: int) -> tuple[Positions, list[Row]] | None:
        async def ask(connection: Connection) -> tuple[Positions, list[Row]]:
            raw = await self._raw(connection)
            found = await connection.execute(_statement("archaeology_patterns"), _bound(filters, rows), prepare=False)
            out: list[Row] = []
            while some := await found.fetchmany(FETCH):
                out += map(Row._make, some)
                await asyncio.sleep(0)  # others want to be answered
            return raw, out

        return await self._cold.ask(ask)

    async def _raw(self, connection: Connection) -> Positions:
        """Asked for before the rows, which so reflect that much at least."""
        _, raw = await self._cold.vectors(connection, self._generation())
        return raw


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
