"""Law 7: every tier agrees. The stores of a generation against its fold and its log, at the positions that each has.

The fold is taken from the changelog first and folded on, in memory, to where a store was when it was looked at; so
nothing has to stand still. A store that is behind the fold, or in the middle of a checkpoint, is looked at again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psycopg

from deploy import positions
from deploy.positions import Positions
from deploy.replay import raw_rows
from deploy.replay.checks import Check, Key, compared
from deploy.replay.compare import forward
from projections.hot import Names, bounded
from projections.queries import query
from projections.samples import summary
from streams.changelog import ChangelogFollower, Picture
from streams.changes import FieldReading, PairRow, SessionRow, load_view, merge
from streams.errors import PartUnavailable
from streams.events import MILLION
from streams.fold.rows import changed_rows
from streams.fold.shard import Shard
from streams.settings import Settings

WAIT_S: Final = 30.0
"""How long a store may take to be where the changelog was; then it is compared as it is, and the check says so."""
BEHIND: Final = "it is behind the fold"

Look = Callable[[], Any]


async def check(settings: Settings, beside: Settings | None = None) -> list[Check]:
    """All tiers of a generation; its ended sessions, which no fold holds any more, against those of ``beside``.

    Raises PartUnavailable, HistoryError, FoldVersionError.
    """
    async with ChangelogFollower(settings) as follower:
        picture = await follower.consistent()
    found = [*await _state_rows(settings, picture), await _states(settings, picture), *await _redis(settings, picture)]
    if beside is not None:
        found.append(await asyncio.to_thread(_ended, settings, beside))
    return found + await raw_rows.check(settings, int(time.time() * 1000))


async def _state_rows(settings: Settings, picture: Picture) -> list[Check]:
    (at, sessions, pairs, _), note = await _reached(
        lambda: _of_database(settings), lambda found: not found[3] and not _behind(found[0], picture)
    )
    values, _ = await forward(settings, picture, at)
    wanted_sessions: dict[Key, Any] = {}
    wanted_pairs: dict[Key, Any] = {}
    for value in values:
        rows, bonds, _, _ = changed_rows(Shard.decode(value, settings.rules), {}, full=True)
        wanted_sessions |= {(row.room_id, row.opened): _session(row) for row in rows if not row.final}
        wanted_pairs |= {(row.routing_key, row.low, row.high): _pair(row) for row in bonds}
    return [
        compared("room64_sessions", wanted_sessions, {row[:2]: list(row[2:]) for row in sessions}, note),
        compared("entanglements", wanted_pairs, {row[:3]: list(row[3:]) for row in pairs}, note),
    ]


async def _states(settings: Settings, picture: Picture) -> Check:
    def look() -> tuple[dict[str, Any], Positions]:
        with _snapshot(settings) as connection:
            state, at = connection.execute(query("check_field"), (settings.generation,)).fetchone() or ({}, {})
        return state, {int(partition): offset for partition, offset in at.items()}

    (state, at), note = await _reached(look, lambda found: not _behind(found[1], picture))
    if not state:
        return Check("consciousness_states", False, 1, missing=1, examples=["field"])
    wanted = msgspec.to_builtins(summary(await _reading(settings, picture, at, state["at"])))
    return compared("consciousness_states", _named(wanted), _named(state), note)


async def _redis(settings: Settings, picture: Picture) -> list[Check]:
    names = Names.of(settings.generation)

    def look() -> tuple[dict[str, Any], dict[str, Any]]:
        with positions.hot(settings) as client, client.pipeline(transaction=True) as both:
            current, pairs = both.get(names.current).hgetall(names.entanglements).execute()
        decode = msgspec.json.decode
        return decode(current) if current else {}, {name.decode(): decode(value) for name, value in pairs.items()}

    def at(found: dict[str, Any]) -> Positions:
        return {int(partition): offset for partition, offset in found.get("positions", {}).items()}

    (found, pairs), note = await _reached(look, lambda found: not _behind(at(found[0]), picture))
    if not found:
        return [Check("Redis", False, 1, missing=1, examples=[names.current], note="nobody publishes")]
    reading = bounded(await _reading(settings, picture, at(found), found["at"]), settings.hot_rows)
    wanted = msgspec.json.decode(msgspec.json.encode(reading))
    living = {f"{pair['low']}|{pair['high']}": pair for pair in wanted["pairs"]}
    return [
        compared("Redis", _named(wanted), {(name,): found.get(name) for name in wanted}, note),
        compared("Redis, entanglements", _named(living), _named(pairs), note),
    ]


def _ended(settings: Settings, beside: Settings) -> Check:
    """Sessions that are over, in both generations: as far as both have folded the same log."""
    same_log = settings.events_topic == beside.events_topic
    with _snapshot(settings) as connection:
        names = (settings.generation, beside.generation)
        at = [dict(connection.execute(query("check_state_at"), (name,)).fetchall()) for name in names]
        rows = [connection.execute(query("check_ended"), (name,)).fetchall() for name in names]

    def known(mine: list[Any]) -> dict[Key, Any]:
        return {
            row[2:4]: list(row[4:]) for row in mine
            if not same_log or row[1] <= min(one.get(row[0], -1) for one in at)
        }  # fmt: skip

    ours, theirs = ({row[2:4]: list(row[4:]) for row in mine} for mine in rows)
    wanted = known(rows[1])
    # what only one of the two can have by now is no difference; what both must have is looked for in all of the other
    there = {key: ours[key] for key in wanted if key in ours} | {
        key: row for key, row in known(rows[0]).items() if key not in theirs
    }
    return compared(f"sessions that ended, {beside.generation}", wanted, there)


async def _reading(settings: Settings, picture: Picture, at: Positions, moment: int) -> FieldReading:
    values, _ = await forward(settings, picture, at)
    return merge([load_view(value, settings.rules) for value in values], moment, settings.rules)


def _session(row: SessionRow) -> list[Any]:
    """As ``check_sessions`` has it."""
    people = [list(stay) for stay in row.participants]
    return [
        row.last, row.present, row.seated, row.devices, row.blooms, row.phrases, people, row.coherence, row.resonance
    ]  # fmt: skip


def _pair(row: PairRow) -> list[Any]:
    """As ``check_pairs`` has it."""
    intensity = None if row.intensity is None else row.intensity / MILLION
    return [row.established, row.explicit, row.kind, intensity, row.last]


def _named(values: Mapping[str, Any]) -> dict[Key, Any]:
    return {(name,): value for name, value in values.items()}


def _of_database(settings: Settings) -> tuple[Positions, list[Any], list[Any], bool]:
    with _snapshot(settings) as connection:
        name = (settings.generation,)
        at: Positions = dict(connection.execute(query("check_state_at"), name).fetchall())
        rows = [connection.execute(query(what), name).fetchall() for what in ("check_sessions", "check_pairs")]
        (ahead,) = connection.execute(query("check_ahead"), name).fetchone() or (False,)
        return at, rows[0], rows[1], ahead


@contextmanager
def _snapshot(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """One moment of the database; raises PartUnavailable."""
    try:
        with psycopg.connect(settings.database_url, connect_timeout=int(positions.ASK_S)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield connection
    except psycopg.OperationalError as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None


def _behind(there: Positions, picture: Picture) -> bool:
    return any(there.get(number, -1) < offset for number, offset in picture.positions.items())


async def _reached(look: Look, good: Callable[[Any], bool]) -> tuple[Any, str]:
    """What a store holds, once it is good to be compared; after WAIT_S as it is, with a note."""
    until = time.monotonic() + WAIT_S
    while not good(found := await asyncio.to_thread(look)):
        if time.monotonic() > until:
            return found, BEHIND
        await asyncio.sleep(0.2)
    return found, ""
