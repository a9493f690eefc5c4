"""Law 7: every tier agrees. The stores of a generation against its fold and its log, at the positions that each has.

The fold is taken from the changelog first and folded on, in memory, to where a store was when it was looked at; so
nothing has to stand still.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import psycopg

from deploy import positions
from deploy.positions import Positions
from deploy.replay import raw_rows
from deploy.replay.compare import forward
from projections.hot import Names, bounded
from streams.changelog import ChangelogFollower, Picture
from streams.changes import PairRow, SessionRow, load_view, merge
from streams.errors import PartUnavailable
from streams.events import MILLION
from streams.fold.rows import changed_rows
from streams.fold.shard import Shard
from streams.settings import Settings

CLOSE: Final = 1e-9
"""Derived floats may differ by their order of summing."""
WAIT_S: Final = 30.0
"""How long a store may take to reach what the changelog holds; it is compared all the same."""
SHOWN: Final = 5

SESSIONS: Final = (
    "SELECT room_id, round(extract(epoch FROM opened) * 1000)::bigint, round(extract(epoch FROM last) * 1000)::bigint,"
    " present, seated, devices, blooms, phrases, participants, coherence, resonance FROM room64_sessions_all"
    " WHERE generation = %s AND NOT final"
)
PAIRS: Final = (
    "SELECT routing_key, low, high, extract(epoch FROM established)::bigint, explicit, kind, intensity,"
    " extract(epoch FROM last)::bigint FROM entanglements_all WHERE generation = %s"
)
STATE_AT: Final = (
    "SELECT partition, input_position FROM projection_positions WHERE projection = 'state' AND generation = %s"
)

Key = tuple[Any, ...]


class Check(msgspec.Struct):
    """One comparison. ``rows`` compared; ``examples`` are keys of rows that differ."""

    tier: str
    equal: bool
    rows: int
    missing: int = 0
    extra: int = 0
    unequal: int = 0
    examples: list[str] = []
    note: str = ""


async def check(settings: Settings) -> list[Check]:
    """All tiers of a generation. Raises PartUnavailable, HistoryError, FoldVersionError."""
    async with ChangelogFollower(settings) as follower:
        picture = await follower.consistent()
    found = await _state_rows(settings, picture)
    found.append(await _redis(settings, picture))
    found += await raw_rows.check(settings, Check)
    return found


def lines(checks: list[Check]) -> Iterator[str]:
    """For people."""
    for item in checks:
        if item.equal:
            yield f"  {item.tier:<28} equal, {item.rows} rows{'; ' + item.note if item.note else ''}"
        else:
            yield (
                f"  {item.tier:<28} DIFFERENT: {item.missing} missing, {item.extra} extra, {item.unequal} unequal of "
                f"{item.rows}, such as {', '.join(item.examples)}{'; ' + item.note if item.note else ''}"
            )


def compared(tier: str, wanted: Mapping[Key, Any], there: Mapping[Key, Any]) -> Check:
    """Rows by key: what the fold says, and what a store has."""
    missing, extra = wanted.keys() - there.keys(), there.keys() - wanted.keys()
    unequal = [key for key in wanted.keys() & there.keys() if not close(wanted[key], there[key])]
    examples = ["/".join(map(str, key)) for key in [*missing, *extra, *unequal][:SHOWN]]
    equal = not (missing or extra or unequal)
    return Check(tier, equal, len(wanted), len(missing), len(extra), len(unequal), examples)


def close(one: Any, other: Any) -> bool:
    """Equal, floats within CLOSE."""
    if isinstance(one, float) and isinstance(other, int | float):
        return abs(one - other) <= CLOSE
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    return bool(one == other)


async def _state_rows(settings: Settings, picture: Picture) -> list[Check]:
    at, sessions, pairs = await _reached(lambda: _of_database(settings), picture, lambda found: found[0])
    values, _ = await forward(settings, picture, at)
    wanted_sessions: dict[Key, Any] = {}
    wanted_pairs: dict[Key, Any] = {}
    for value in values:
        rows, bonds, _, _ = changed_rows(Shard.decode(value, settings.rules), {}, full=True)
        wanted_sessions |= {(row.room_id, row.opened): _session(row) for row in rows if not row.final}
        wanted_pairs |= {(row.routing_key, row.low, row.high): _pair(row) for row in bonds}
    return [
        compared("room64_sessions", wanted_sessions, {row[:2]: list(row[2:]) for row in sessions}),
        compared("entanglements", wanted_pairs, {row[:3]: list(row[3:]) for row in pairs}),
    ]


def _session(row: SessionRow) -> list[Any]:
    """As SESSIONS has it."""
    people = [list(stay) for stay in row.participants]
    return [
        row.last, row.present, row.seated, row.devices, row.blooms, row.phrases, people, row.coherence, row.resonance
    ]  # fmt: skip


def _pair(row: PairRow) -> list[Any]:
    """As PAIRS has it."""
    intensity = None if row.intensity is None else row.intensity / MILLION
    return [row.established, row.explicit, row.kind, intensity, row.last]


def _of_database(settings: Settings) -> tuple[Positions, list[Any], list[Any]]:
    try:
        with psycopg.connect(settings.database_url, connect_timeout=int(positions.ASK_S)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            name = (settings.generation,)
            at: Positions = dict(connection.execute(STATE_AT, name).fetchall())
            return at, connection.execute(SESSIONS, name).fetchall(), connection.execute(PAIRS, name).fetchall()
    except psycopg.OperationalError as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None


async def _redis(settings: Settings, picture: Picture) -> Check:
    def look() -> dict[str, Any]:
        with positions.hot(settings) as client:
            found: Any = client.get(Names.of(settings.generation).current)
        return msgspec.json.decode(found) if found else {}

    def at(found: dict[str, Any]) -> Positions:
        return {int(partition): offset for partition, offset in found.get("positions", {}).items()}

    found = await _reached(look, picture, at)
    if not found:
        return Check("Redis", False, 1, missing=1, examples=["field:current"], note="nobody publishes")
    values, _ = await forward(settings, picture, at(found))
    reading = merge([load_view(value, settings.rules) for value in values], found["at"], settings.rules)
    wanted = msgspec.json.decode(msgspec.json.encode(bounded(reading, settings.hot_rows)))
    return compared(
        "Redis", {(name,): value for name, value in wanted.items()}, {(name,): found.get(name) for name in wanted}
    )


async def _reached(look: Callable[[], Any], picture: Picture, at: Callable[[Any], Positions]) -> Any:
    """What a store holds, once it is not behind the picture; after WAIT_S as it is."""
    until = time.monotonic() + WAIT_S
    while True:
        found = await asyncio.to_thread(look)
        there = at(found)
        behind = [number for number, offset in picture.positions.items() if there.get(number, -1) < offset]
        if not behind or time.monotonic() > until:
            return found
        await asyncio.sleep(0.2)
