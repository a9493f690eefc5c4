"""What each index and each aggregate of the raw hypertable costs.

    python -m tests.benchmarks.hypertable [--rows 500000] [--runs 3]

brings a PostgreSQL of its own (or takes that of TEST_PARTS) and writes the same rows, made before the clock starts,
into a new database for each way: by one COPY with all indexes, without one of them, without any; and in the
transactions of the projector. Every way is taken once before any is taken again. Then each aggregate is brought up to
date: on the Community edition from the raw rows into what it keeps, on the Apache edition, where it keeps nothing, by
reading it. On the first, rows are also written without any aggregate: native ones note which buckets a row has changed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql

from projections.migrate import migrate
from projections.queries import query
from projections.raw import LOCK
from projections.rows import copy_file
from streams.settings import Settings
from tests.benchmarks.bench import copying, ours
from tests.benchmarks.bench.__main__ import session

DEVICES: Final = 10_000
ROOMS: Final = 128
INDEXES: Final = tuple(f"consciousness_events_{name}" for name in ("once", "position", "device", "room"))
VIEWS: Final = ("consciousness_field_1min", "consciousness_field_1h", "consciousness_field_1d")
COMMUNITY: Final = "timescale"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Way:
    """How rows are written, and without what."""

    title: str
    dropped: Sequence[str] = ()
    aggregates: bool = True
    exactly_once: bool = False


@dataclass
class Seen:
    """Seconds of each run, and bytes by relation."""

    seconds: list[float] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)


def ways(edition: str) -> list[Way]:
    """The first is what the others are compared with."""
    found = [Way("COPY, all indexes")]
    found += [Way(f"COPY without {name}", (name,)) for name in INDEXES]
    found.append(Way("COPY without any index", INDEXES))
    if edition == COMMUNITY:
        found.append(Way("COPY, all indexes, no aggregate", aggregates=False))
    return [*found, Way("the projector's transactions, one after another", exactly_once=True)]


@dataclass
class Rows:
    """The same rows as COPY takes them for the hypertable, and in batches for the staging table."""

    count: int
    whole: memoryview
    staged: list[memoryview]


def rows_of(count: int, settings: Settings) -> Rows:
    weights, most = settings.rules.weights(), settings.project_events
    whole = copying.made(count, devices=DEVICES, weights=weights, rooms=ROOMS)
    staged = copying.made(count, devices=DEVICES, weights=weights, rooms=ROOMS, staged=True)
    batches = [memoryview(copy_file(staged[at : at + most])) for at in range(0, count, most)]
    return Rows(count, memoryview(copy_file(whole)), batches)


def write(connection: Connection, way: Way, rows: Rows) -> float:
    """Seconds until all of it is committed."""
    if way.exactly_once:
        connection.execute(query("raw_staging"))
        connection.commit()
    begun = time.perf_counter()
    if not way.exactly_once:
        copying.copy(connection, copying.COPY, rows.whole)
        connection.commit()
    for batch in rows.staged if way.exactly_once else ():
        connection.execute(query("raw_lock_shared"), (LOCK,))
        copying.copy(connection, query("raw_copy"), batch)
        connection.execute(query("raw_insert_events"))
        connection.commit()
    return time.perf_counter() - begun


def strip(connection: Connection, way: Way, edition: str) -> None:
    """What this way does without goes; no job works meanwhile (the Apache edition has one, and stops none)."""
    if edition == COMMUNITY:
        connection.execute("SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs")
    for name in way.dropped:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    for name in () if way.aggregates else VIEWS:
        connection.execute(sql.SQL("DROP MATERIALIZED VIEW {}").format(sql.Identifier(name)))


def sizes(connection: Connection) -> dict[str, int]:
    """Bytes of the heap and of each index, over all chunks."""
    found = {"rows": "SELECT table_bytes + toast_bytes FROM hypertable_detailed_size('consciousness_events')"}
    found |= {name: f"SELECT hypertable_index_size('{name}')" for name in INDEXES}
    return {name: int((connection.execute(asked.encode()).fetchone() or (0,))[0]) for name, asked in found.items()}


def refresh(connection: Connection, edition: str) -> Iterator[tuple[str, float]]:
    """Seconds for each aggregate, from nothing to all rows."""
    for name in VIEWS:
        begun = time.perf_counter()
        if edition == COMMUNITY:
            connection.execute("CALL refresh_continuous_aggregate(%s::regclass, NULL, NULL)", (name,))
        else:
            connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))).fetchall()
        yield name, time.perf_counter() - begun


def edition_of(settings: Settings) -> str:
    """Of a server with TimescaleDB in a new database."""
    ours.make_database(settings)
    migrate(settings.database_url, retention_days=0)
    with psycopg.connect(settings.database_url) as connection:
        (found,) = connection.execute("SELECT field_edition()").fetchone() or ("",)
    ours.drop_database(settings)
    return str(found)


def report(rows: int, seen: dict[Way, Seen], refreshed: dict[str, list[float]], edition: str) -> Iterator[str]:
    """Markdown."""
    first = next(iter(seen.values()))
    yield f"{rows:,} rows, {DEVICES:,} devices, half of them in {ROOMS} rooms."
    yield f"TimescaleDB {edition}; medians of {len(first.seconds)}.\n"
    yield "| written by | rows/s | to the first |\n| --- | --- | --- |"
    for way, one in seen.items():
        ratio = statistics.median(first.seconds) / statistics.median(one.seconds)
        yield f"| {way.title} | {rows / statistics.median(one.seconds):,.0f} | {ratio:.2f} |"
    yield "\n| on disk | bytes a row |\n| --- | --- |"
    for name, size in first.sizes.items():
        yield f"| {name} | {size / rows:.0f} |"
    yield f"\n| {'refreshed' if edition == COMMUNITY else 'read'} | seconds a million rows |\n| --- | --- |"
    for name, seconds in refreshed.items():
        yield f"| {name} | {statistics.median(seconds) * 1e6 / rows:.2f} |"


def measure(settings: Settings, rows: Rows, runs: int) -> Iterator[str]:
    edition = edition_of(ours.with_database(settings, "hypertable_edition"))
    seen = {way: Seen() for way in ways(edition)}
    refreshed: dict[str, list[float]] = {name: [] for name in VIEWS}
    for run in range(runs):
        for number, (way, one) in enumerate(seen.items()):
            own = ours.with_database(settings, f"hypertable_{run}_{number}")
            ours.make_database(own)
            migrate(own.database_url, retention_days=0)
            with psycopg.connect(own.database_url, autocommit=True) as connection:
                strip(connection, way, edition)
            with psycopg.connect(own.database_url) as connection:
                one.seconds.append(write(connection, way, rows))
            if way == next(iter(seen)):
                with psycopg.connect(own.database_url, autocommit=True) as connection:
                    one.sizes = sizes(connection)
                    for name, seconds in refresh(connection, edition):
                        refreshed[name].append(seconds)
            ours.drop_database(own)
    yield from report(rows.count, seen, refreshed, edition)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    parts = session()
    try:
        settings = parts.start()
        rows = rows_of(given.rows, settings)
        print("\n".join(measure(settings, rows, given.runs)))
    finally:
        parts.end()


if __name__ == "__main__":
    main()
