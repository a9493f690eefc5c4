"""Law 7 for what all generations share: the hypertable has the distinct valid events of the log, aggregates its rows.

By hour, with a count and a sum of fingerprints, so that neither side has to be sorted or sent.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from deploy import positions
from streams.archive.history import open_history
from streams.errors import PartUnavailable
from streams.events import OPTS, Event
from streams.settings import Settings
from streams.table import partition_of

HOUR_MS: Final = 3_600_000
BITS: Final = 60

ROWS: Final[LiteralString] = """
SELECT floor(extract(epoch FROM timestamp) / 3600)::bigint, count(*),
       sum(('x' || substr(md5(concat_ws('|', id, routing_key, device_id, type, coalesce(room_id, ''),
           coalesce(user_id, ''), round(extract(epoch FROM timestamp) * 1000)::bigint,
           round((intensity * 1000000)::numeric)::bigint)), 1, 15))::bit(60)::bigint)
FROM consciousness_events GROUP BY 1
"""
AT: Final[LiteralString] = (
    "SELECT partition, input_position FROM projection_positions WHERE projection = 'raw' AND generation = %s"
)
SELECT: Final[LiteralString] = "SELECT field_aggregate_select(width) FROM field_aggregate_widths() WHERE view_name = %s"
AGGREGATES: Final[LiteralString] = "SELECT view_name FROM field_aggregate_widths() ORDER BY width"


Hours = dict[int, tuple[int, int]]
"""(events, sum of fingerprints) by hour since 1970."""
Aggregate = tuple[str, int, int, str]
"""(name, buckets, buckets that differ from the raw rows, note)."""


def fingerprint(event: Event) -> int:
    """The same number that PostgreSQL computes of the event's row."""
    words = (
        event.id, event.key, event.device_id, event.type, event.room_id or "", event.user_id or "",
        str(event.timestamp), str(event.intensity),
    )  # fmt: skip
    return int(hashlib.md5("|".join(words).encode(), usedforsecurity=False).hexdigest()[: BITS // 4], 16)


async def check(settings: Settings, make: type[Any]) -> list[Any]:
    """Checks of ``consciousness_events`` and of each aggregate; raises PartUnavailable, HistoryError."""
    at, there, aggregates = _of_database(settings)
    wanted = await _of_log(settings, at)
    if settings.retention_days and there:  # older ones were dropped on purpose
        wanted = {hour: sums for hour, sums in wanted.items() if hour >= min(there)}
    hours = [hour for hour in wanted.keys() | there.keys() if wanted.get(hour) != there.get(hour)]
    counts = [(wanted.get(hour, (0, 0))[0], there.get(hour, (0, 0))[0]) for hour in hours]
    events = make(
        "consciousness_events", not hours, sum(count for count, _ in wanted.values()),
        sum(max(0, log - rows) for log, rows in counts), sum(max(0, rows - log) for log, rows in counts),
        sum(log == rows for log, rows in counts), [f"hour {hour * 3600}" for hour in sorted(hours)[:5]],
    )  # fmt: skip
    return [events, *(make(name, not count, rows, unequal=count, note=note) for name, rows, count, note in aggregates)]


async def _of_log(settings: Settings, at: Mapping[int, int]) -> Hours:
    """Of the distinct valid events up to these offsets."""
    seen: set[bytes] = set()
    out: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    async with open_history(settings) as history:
        for partition, (start, _) in (await history.bounds()).items():
            async for entries in history.entries(partition, start, at.get(partition, -1) + 1):
                for event in (event for entry in entries for event in entry.events):
                    if event.type in OPTS and partition_of(event.key, settings.partitions) != partition:
                        continue
                    name = hashlib.blake2b(
                        f"{event.timestamp}|{event.id}|{event.key}".encode(), digest_size=12
                    ).digest()
                    if name not in seen:
                        seen.add(name)
                        sums = out[event.timestamp // HOUR_MS]
                        sums[0] += 1
                        sums[1] += fingerprint(event)
    return {hour: (count, total) for hour, (count, total) in out.items()}


def _of_database(settings: Settings) -> tuple[dict[int, int], Hours, list[Aggregate]]:
    try:
        with psycopg.connect(settings.database_url, connect_timeout=int(positions.ASK_S)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            at: dict[int, int] = dict(connection.execute(AT, (settings.events_topic,)).fetchall())
            rows = {hour: (count, int(total)) for hour, count, total in connection.execute(ROWS).fetchall()}
            return at, rows, [_aggregate(connection, name) for (name,) in connection.execute(AGGREGATES).fetchall()]
    except psycopg.OperationalError as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None


def _aggregate(connection: psycopg.Connection[Any], name: str) -> Aggregate:
    found = connection.execute(SELECT, (name,)).fetchone()
    assert found is not None
    columns = "bucket, events, active_nodes, round(resonance::numeric, 9), breaths, touches, blooms, phrases"
    compare = sql.SQL(
        "WITH raw AS (SELECT {c} FROM ({select}) r), kept AS (SELECT {c} FROM {view}),"
        " oldest AS (SELECT min(bucket) AS bucket FROM raw)"
        " SELECT (SELECT count(*) FROM raw), (SELECT count(*) FROM ((TABLE raw EXCEPT TABLE kept) UNION ALL"
        " (SELECT * FROM kept WHERE bucket > (TABLE oldest) EXCEPT TABLE raw)) d)"
    ).format(c=sql.SQL(columns), select=sql.SQL(found[0]), view=sql.Identifier(name))
    buckets, differing = connection.execute(compare).fetchone() or (0, 0)
    note = "a native aggregate shows a row older than its last refresh after the next one" if differing else ""
    return name, buckets, differing, note
