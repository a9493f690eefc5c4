"""The field in PostgreSQL: the merged row, and lists from the tables that the projector keeps.

What the fold knows and the tables do not: who has fallen silent in a room since its last event, and of particles those
that came too late for the fold. So a list from here says which positions it reflects, and is as of its rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import psycopg

from projections.follow import UNAVAILABLE, Pool
from projections.gateway.answers import Snapshot, TierName
from projections.gateway.flight import Rest
from projections.gateway.positions import Positions, lowest
from projections.hot import bounded
from projections.positions import Connection
from projections.queries import query
from streams.events import BLOOM, FIELD, SACRED_PHRASE
from streams.fold.entanglements import is_faded, strength
from streams.fold.reading import PairReading, Participant, ParticleReading, RoomReading, join_pairs
from streams.settings import Settings

ANSWER_S: Final = 4.0
CONNECT_S: Final = 1.0
"""A pool of a database that is there has a connection sooner."""
STATEMENT_MS: Final = 3_000
POSTGRES_AWAY: Final = (*UNAVAILABLE, psycopg.Error, OSError)
"""Away, or without our schema yet."""
T = TypeVar("T")


class ColdTier:
    """Asks only where PostgreSQL has not just failed; None: it does not answer, or has no such thing yet."""

    tier: TierName = "database"

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self.rest = Rest()

    async def field(self) -> Snapshot | None:
        """The whole field of the generation that readers see."""
        return await self.ask(self._field)

    async def generation(self) -> str | None:
        """The one that readers see."""

        async def ask(connection: Connection) -> str | None:
            row = await (await connection.execute(query("generation_current"))).fetchone()
            return None if row is None else str(row[0])

        return await self.ask(ask)

    async def positions(self, generation: str) -> Positions | None:
        """What the merged row reflects."""

        async def ask(connection: Connection) -> Positions | None:
            row = await (await connection.execute(query("gateway_position"), {"generation": generation})).fetchone()
            return None if row is None else _vector(row[0])

        return await self.ask(ask)

    async def room(self, generation: str, room: str, at: int) -> tuple[Positions, RoomReading | None] | None:
        """The latest session of a room, over or not; None in its place: there never was one."""

        async def ask(connection: Connection) -> tuple[Positions, RoomReading | None]:
            state, _ = await self.vectors(connection, generation)
            parameters = self._at(generation, at) | {"room": room}
            row = await (await connection.execute(query("gateway_room"), parameters)).fetchone()
            return state, None if row is None else _room(row)

        return await self.ask(ask)

    async def rooms(
        self, generation: str, at: int, after: str, rows: int
    ) -> tuple[Positions, list[RoomReading]] | None:
        """The open rooms whose names come after ``after``, so many."""
        more = {"after": after, "rows": rows}

        async def ask(connection: Connection) -> tuple[Positions, list[RoomReading]]:
            state, _ = await self.vectors(connection, generation)
            found = await self._rows(connection, "gateway_rooms_page", self._at(generation, at) | more)
            return state, [_room(row) for row in found]

        return await self.ask(ask)

    async def pairs(
        self, generation: str, at: int, after: tuple[str, str], rows: int, device: str | None
    ) -> tuple[Positions, list[PairReading]] | None:
        """The living pairs (of a device) whose names come after ``after``, so many."""
        more = {"low": after[0], "high": after[1], "rows": rows, "device": device}

        async def ask(connection: Connection) -> tuple[Positions, list[PairReading]]:
            state, _ = await self.vectors(connection, generation)
            found = await self._rows(connection, "gateway_pairs_page", self._at(generation, at) | more)
            return state, self._joined(found, at)

        return await self.ask(ask)

    async def ask(self, question: Callable[[Connection], Awaitable[T]]) -> T | None:
        """The outcome of ``question``, which only reads; None too when a statement of it takes too long."""
        if self.rest.resting:
            return None
        try:
            async with asyncio.timeout(ANSWER_S), self._pool.connection(CONNECT_S) as connection:
                await connection.execute(query("gateway_bound"), (STATEMENT_MS,))
                found = await question(connection)
        except psycopg.errors.QueryCanceled:
            return None
        except POSTGRES_AWAY:
            self.rest.failed()
            return None
        self.rest.answered()
        return found

    async def _field(self, connection: Connection) -> Snapshot | None:
        row = await (await connection.execute(query("gateway_field"))).fetchone()
        if row is None or row[2] is None:
            return None
        generation, fold_version, state, position, computed_at = row
        at, positions = int(state["at"]), _vector(position)
        state_at, raw_at = await self.vectors(connection, generation)
        rooms = await self._rows(connection, "gateway_rooms", self._at(generation, at))
        pairs = await self._rows(connection, "gateway_pairs", self._at(generation, at))
        rules = self._settings.rules
        particles = await self._particles(connection, at, (BLOOM, SACRED_PHRASE), rules.particles)
        fields = await self._particles(connection, at, (FIELD,), rules.quantum_fields)
        counts = {name: int(state[name]) for name in ("particles", "quantum_fields")}
        found = Snapshot(
            **{name: value for name, value in state.items() if name not in counts},
            rooms=sorted(map(_room, rooms), key=lambda room: room.room_id),
            pairs=self._joined(pairs, at),
            particles=particles,
            quantum_fields=fields,
            positions=positions,
            computed_at=computed_at,
            generation=generation,
            fold_version=fold_version,
            lists={"rooms": state_at, "pairs": state_at, "particles": raw_at},
            counts=counts,
        )
        return bounded(found, self._settings.hot_rows)  # type: ignore[return-value]  # of the class it was given

    async def vectors(self, connection: Connection, generation: str) -> tuple[Positions, Positions]:
        """What sessions and pairs reflect, and what raw rows do."""
        parameters = {"generation": generation, "log": self._settings.events_topic}
        found: dict[str, Positions] = {"state": {}, "raw": {}}
        for projection, partition, position in await self._rows(connection, "gateway_positions", parameters):
            found[projection][partition] = position
        return found["state"], found["raw"]

    async def _rows(self, connection: Connection, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return await (await connection.execute(query(name), parameters)).fetchall()

    async def _particles(
        self, connection: Connection, at: int, types: Sequence[str], most: int
    ) -> list[ParticleReading]:
        parameters = {"at": at, "types": list(types), "rows": most}
        return [ParticleReading(*row) for row in await self._rows(connection, "gateway_particles", parameters)]

    def _at(self, generation: str, at: int) -> dict[str, Any]:
        rules = self._settings.rules
        return {
            "generation": generation,
            "at": at,
            "rows": self._settings.hot_rows,
            "silence_s": rules.silence_ms / 1000,
            "fading_s": rules.strength_half_life_s * rules.strength_faded_halvings,
        }

    def _joined(self, rows: Sequence[tuple[Any, ...]], at: int) -> list[PairReading]:
        joined: dict[tuple[str, str], PairReading] = {}
        rules = self._settings.rules
        for low, high, established, last, explicit, kind, intensity in rows:
            fresh = PairReading(
                low, high, established, last, explicit, kind,
                strength(last, explicit, intensity, at, rules), not is_faded(last, explicit, at, rules),
            )  # fmt: skip
            before = joined.get((low, high))
            joined[low, high] = fresh if before is None else join_pairs(before, fresh)
        return [joined[pair] for pair in sorted(joined)]


def positions_of(field: Snapshot, part: str) -> Positions:
    """What a part of the field reflects: ``field``, ``rooms``, ``pairs``, ``particles``, or ``all`` of them."""
    if part == "all":
        return lowest([field.positions, *field.lists.values()])
    return field.lists.get(part, field.positions)


def _room(row: tuple[Any, ...]) -> RoomReading:
    values: list[Any] = [*row[:-1], [Participant(*entry) for entry in row[-1]]]
    return RoomReading(*values)


def _vector(stored: dict[str, int]) -> Positions:
    return {int(partition): position for partition, position in sorted(stored.items())}
