"""Law 7 for what all generations share: the hypertable has the distinct valid events of the log, aggregates its rows.

Both sides are read once, in any order, and compared by hour: a count, and a sum of fingerprints of whole rows.
What depends on when a row was written is left out: its resonance (weights may have changed since), when it was received
and where in which log it stands.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
import psycopg
from psycopg import sql

from deploy import positions
from deploy.replay.checks import Check
from projections.queries import query
from projections.rows import data_of
from streams.archive.history import open_history
from streams.errors import PartUnavailable
from streams.events import MILLION, OPT_OUT, OPTS, Event
from streams.settings import Settings
from streams.table import partition_of

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
FETCH_ROWS: Final = 20_000

Toggle = tuple[str, int, str, bool]
"""(device, timestamp in ms, id, out)."""
_encode = msgspec.json.Encoder(order="deterministic").encode


class Events(NamedTuple):
    """``hours``: (events, sum of fingerprints) by hour since 1970; the toggles among them."""

    hours: dict[int, tuple[int, int]]
    toggles: set[Toggle]


class Stored(NamedTuple):
    """What the database has: how far it is by partition, its events, rows whose ``collective`` is wrong, aggregates."""

    at: dict[int, int]
    events: Events
    unfair: int
    aggregates: list[Check]


def fingerprint(row: Iterable[Any]) -> int:
    """64 bits of the columns of ``check_raw``; numbers as they are equal, not as they are written."""
    return int.from_bytes(hashlib.blake2b(_encode(list(map(_plain, row))), digest_size=8).digest(), "big")


def columns(event: Event) -> tuple[Any, ...]:
    """An event as ``check_raw`` has it."""
    return (
        event.id, event.key, event.device_id, event.user_id, event.room_id, event.type, data_of(event),
        event.x, event.y, event.z, event.intensity / MILLION, event.timestamp,
    )  # fmt: skip


async def check(settings: Settings, now_ms: int) -> list[Check]:
    """Checks of ``consciousness_events`` and of each aggregate; raises PartUnavailable, HistoryError."""
    there = _of_database(settings)
    log = await _of_log(settings, there.at)
    oldest = (now_ms - settings.retention_days * DAY_MS) // HOUR_MS if settings.retention_days else 0
    wanted = {hour: sums for hour, sums in log.hours.items() if hour > oldest}  # older ones are dropped on purpose
    found = {hour: sums for hour, sums in there.events.hours.items() if hour > oldest}
    hours = [hour for hour in wanted.keys() | found.keys() if wanted.get(hour) != found.get(hour)]
    counts = [(wanted.get(hour, (0, 0))[0], found.get(hour, (0, 0))[0]) for hour in hours]
    return [
        Check(
            "consciousness_events", not hours, sum(count for count, _ in wanted.values()),
            sum(max(0, mine - rows) for mine, rows in counts), sum(max(0, rows - mine) for mine, rows in counts),
            sum(mine == rows for mine, rows in counts), [f"hour {hour * 3600}" for hour in sorted(hours)[:5]],
        ),
        Check(
            "opt-outs and collective", log.toggles == there.events.toggles and not there.unfair, len(log.toggles),
            len(log.toggles - there.events.toggles), len(there.events.toggles - log.toggles), there.unfair,
        ),
        *there.aggregates,
    ]  # fmt: skip


async def _of_log(settings: Settings, at: Mapping[int, int]) -> Events:
    """Of the distinct valid events up to these offsets. Rows with the same key stand in one partition."""
    sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    toggles: set[Toggle] = set()
    async with open_history(settings) as history:
        for partition, (start, _) in (await history.bounds()).items():
            seen: set[bytes] = set()
            async for entries in history.entries(partition, start, at.get(partition, -1) + 1):
                for event in (event for entry in entries for event in entry.events):
                    if event.type in OPTS and partition_of(event.key, settings.partitions) != partition:
                        continue
                    if event.type in OPTS:
                        toggles.add((event.device_id, event.timestamp, event.id, event.type == OPT_OUT))
                    name = f"{event.timestamp}|{event.id}|{event.key}".encode()
                    name = hashlib.blake2b(name, digest_size=12).digest()
                    if name not in seen:
                        seen.add(name)
                        _add(sums, event.timestamp, columns(event))
    return Events({hour: (count, total) for hour, (count, total) in sums.items()}, toggles)


def _of_database(settings: Settings) -> Stored:
    sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    try:
        with psycopg.connect(settings.database_url, connect_timeout=int(positions.ASK_S)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            at: dict[int, int] = dict(connection.execute(query("check_raw_at"), (settings.events_topic,)).fetchall())
            with connection.cursor(name="raw_rows") as cursor:
                cursor.itersize = FETCH_ROWS
                for row in cursor.execute(query("check_raw")):
                    _add(sums, row[-1], (*row[:6], msgspec.json.decode(row[6]), *row[7:]))
            toggles = set(connection.execute(query("check_toggles")).fetchall())
            (unfair,) = connection.execute(query("check_collective")).fetchone() or (0,)
            views = connection.execute(query("check_aggregates")).fetchall()
            aggregates = [_aggregate(connection, name, select) for name, select in views]
    except psycopg.OperationalError as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None
    events = Events({hour: (count, total) for hour, (count, total) in sums.items()}, toggles)
    return Stored(at, events, unfair, aggregates)


def _add(sums: defaultdict[int, list[int]], timestamp: int, row: Iterable[Any]) -> None:
    hour = sums[timestamp // HOUR_MS]
    hour[0] += 1
    hour[1] += fingerprint(row)


def _plain(value: Any) -> Any:
    """1 and 1.0 are one number, which jsonb and Python write in their own ways."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value]


def _aggregate(connection: psycopg.Connection[Any], name: str, select: LiteralString) -> Check:
    """An aggregate against its own SELECT over the raw rows that are there."""
    kept = "bucket, events, active_nodes, round(resonance::numeric, 9), breaths, touches, blooms, phrases"
    compare = sql.SQL(
        "WITH raw AS (SELECT {c} FROM ({select}) r), kept AS (SELECT {c} FROM {view}),"
        " oldest AS (SELECT min(bucket) AS bucket FROM raw)"
        " SELECT (SELECT count(*) FROM raw), (SELECT count(*) FROM ((TABLE raw EXCEPT TABLE kept) UNION ALL"
        " (SELECT * FROM kept WHERE bucket > (TABLE oldest) EXCEPT TABLE raw)) d)"
    ).format(c=sql.SQL(kept), select=sql.SQL(select), view=sql.Identifier(name))
    buckets, differing = connection.execute(compare).fetchone() or (0, 0)
    note = "a native aggregate shows a row older than its last refresh after the next one" if differing else ""
    return Check(name, not differing, buckets, unequal=differing, note=note)
