"""How far a projection is: loaded from PostgreSQL, moved in the transaction that writes the rows."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import AsyncConnection

from projections.queries import query

Connection = AsyncConnection[tuple[Any, ...]]


class Position(NamedTuple):
    """``log_offset``: last record applied of the projection's topic; ``input_position``: last event reflected."""

    log_offset: int
    input_position: int


class Moved(Exception):
    """Somebody else moved the position: forget the batch and start from where it is now."""


class Positions:
    """The rows of one projection; ``scope`` is the generation, or the log where all generations share its rows."""

    def __init__(self, projection: str, scope: str) -> None:
        self._row = {"projection": projection, "generation": scope}

    async def load(self, connection: Connection, partition: int) -> Position:
        """Stored position; makes the row (-1, -1) of a new partition."""
        cursor = await connection.execute(query("position_load"), {**self._row, "partition": partition})
        row = await cursor.fetchone()
        if row is None:  # another process has just made it, after this statement began
            raise Moved
        return Position(row[0], row[1])

    async def advance(self, connection: Connection, partition: int, expected: int, to: Position) -> None:
        """Move from log offset ``expected``; first in a transaction, so that a rival waits here and then gives up.

        Raises Moved when the stored position is another one.
        """
        parameters = {
            **self._row,
            "partition": partition,
            "expected": expected,
            "log_offset": to.log_offset,
            "input_position": to.input_position,
        }
        cursor = await connection.execute(query("position_advance"), parameters)
        if cursor.rowcount != 1:
            raise Moved
