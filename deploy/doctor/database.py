"""PostgreSQL: schema, edition, policies and retention, clock, versions, connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import psycopg

from deploy.doctor.findings import Verdict, bad, ok, warn
from projections import pool
from projections.migrate import migrations
from projections.queries import query
from streams.settings import Settings

ASK_S: Final = 5
CLOCK_S_MAX: Final = 5.0
VERSION_MIN: Final = 15
"""Of PostgreSQL; older ones are not tested."""


class Database(NamedTuple):
    """What PostgreSQL says. ``policies`` (kind, of, last success as epoch s or None, last status) on Community;
    ``hidden``: processes of the server of which it does not tell us what they are.
    """

    settings: Settings
    problem: str
    version: str = ""
    extensions: Mapping[str, str] = {}
    edition: str = ""
    applied: tuple[int, ...] = ()
    policies: tuple[tuple[str, str, float | None, str], ...] = ()
    refresh_s: tuple[tuple[str, float | None], ...] = ()
    retention_s: float | None = None
    connections: tuple[int, int] = (0, 0)
    hidden: int = 0
    ahead_s: float = 0.0
    now_s: float = 0.0


def ask(settings: Settings) -> Database:
    """One look; never raises."""
    try:
        with psycopg.connect(settings.database_url, connect_timeout=ASK_S, autocommit=True) as connection:
            connection.execute("SET statement_timeout = '10s'")
            return _ask(settings, connection)
    except psycopg.Error as error:
        return Database(settings, (str(error).strip() or type(error).__name__).splitlines()[0])


def _ask(settings: Settings, connection: psycopg.Connection[Any]) -> Database:
    before_s = time.time()
    version, edition, used, hidden, most, theirs_s = _row(connection, "doctor_server")
    after_s = time.time()
    extensions = dict(connection.execute(query("doctor_extensions")).fetchall())
    schema = _row(connection, "doctor_schema")[0]
    applied = [number for (number,) in connection.execute(query("doctor_migrations"))] if schema else []
    policies: list[Any] = []
    refresh: list[Any] = []
    retention_s: float | None = None
    if edition not in ("", "apache") and applied:
        policies = connection.execute(query("doctor_policies")).fetchall()
        refresh = connection.execute(query("doctor_refresh")).fetchall()
        (retention_s,) = connection.execute(query("doctor_retention")).fetchone() or (None,)
    off_s = theirs_s - after_s if theirs_s > after_s else min(0.0, theirs_s - before_s)
    return Database(
        settings, "", version, extensions, edition, tuple(applied), tuple(policies), tuple(refresh), retention_s,
        (used, most), hidden, off_s, after_s,
    )  # fmt: skip


def _row(connection: psycopg.Connection[Any], name: str) -> Any:
    row = connection.execute(query(name)).fetchone()
    assert row is not None  # each of these answers with one row
    return row


def database(it: Database) -> Iterator[Verdict]:
    if it.problem:
        yield bad(it.problem, "`field up` starts it, or mend DATABASE_URL")
        return
    major = int(it.version.split(".")[0])
    extensions = ", ".join(f"{name} {version}" for name, version in sorted(it.extensions.items()))
    said = f"PostgreSQL {it.version}, {extensions or 'no extensions'}"
    yield ok(said) if major >= VERSION_MIN else warn(said, f"take PostgreSQL {VERSION_MIN} or newer")
    for name in ("timescaledb", "postgis"):
        if name not in it.extensions and it.applied:
            yield bad(f"extension {name} is not there", f"install it, and CREATE EXTENSION {name}")


def schema(it: Database) -> Iterator[Verdict]:
    if it.problem:
        return
    known = len(migrations())
    newest = max(it.applied, default=0)
    if newest < known:
        yield bad(f"at migration {newest:03d} of {known:03d}", "`field up` or `field projector` migrates")
    elif newest > known:
        yield bad(f"at migration {newest:03d}, this version knows {known:03d}", "run the newer version of the field")
    else:
        yield ok(f"migration {newest:03d}, the newest")


def edition(it: Database) -> Iterator[Verdict]:
    if it.edition == "apache":
        if it.settings.retention_days:
            yield warn(
                "Apache: FIELD_RETENTION_DAYS has no effect", "take TimescaleDB Community, or set it to 0 and delete"
            )
        else:
            yield ok("Apache: aggregates are plain views, no policies")
    elif it.edition:
        yield ok("Community: native aggregates and policies")


def retention(it: Database) -> Iterator[Verdict]:
    """What is dropped must be older than anything that a refresh may look at: it would empty those buckets."""
    if it.edition in ("", "apache") or not it.applied:
        return
    wanted_s = it.settings.retention_days * 86_400.0 or None
    if it.retention_s != wanted_s:
        yield warn(
            f"raw rows are dropped after {_days(it.retention_s)}, FIELD_RETENTION_DAYS says {_days(wanted_s)}",
            "start the projector again: it sets the policies",
        )
    inside = [name for name, start_s in it.refresh_s if it.retention_s and (not start_s or start_s >= it.retention_s)]
    for name in inside:
        yield bad(
            f"{name} is refreshed over days whose raw rows are dropped: their buckets are emptied",
            "start the projector again: it sets the policies",
        )
    if it.retention_s == wanted_s and not inside:
        yield ok(f"raw rows are dropped after {_days(it.retention_s)}, outside all refresh windows")


def policies(it: Database) -> Iterator[Verdict]:
    failed = [(kind, of) for kind, of, _, status in it.policies if status == "Failed"]
    for kind, of in failed:
        yield bad(f"{kind} of {of} has failed last time", "SELECT * FROM timescaledb_information.job_errors says why")
    if it.policies and not failed:
        last_s = max((at or 0.0 for _, _, at, _ in it.policies), default=0.0)
        ran = f"last success {it.now_s - last_s:,.0f} s ago" if last_s else "none has run yet"
        yield ok(f"{len(it.policies)} policies, {ran}")


def connections(it: Database) -> Iterator[Verdict]:
    used, most = it.connections
    if it.problem:
        return
    if it.hidden:
        yield warn(
            f"{used} of {most} are taken that we see; what {it.hidden} processes of the server are is not shown to us",
            "run this as an account with pg_monitor: operator, whose rights `field lock postgres` sets",
        )
    elif most - used < pool.SIZE_MAX:
        yield warn(
            f"{used} of {most} connections are taken; a projector or gateway takes up to {pool.SIZE_MAX}",
            "raise max_connections, or put a pooler between",
        )
    else:
        yield ok(f"{used} of {most} taken")


def database_clock(it: Database) -> Iterator[Verdict]:
    if it.problem:
        return
    if abs(it.ahead_s) > CLOCK_S_MAX:
        yield warn(f"its clock is {it.ahead_s:+.1f} s off ours", "let NTP keep both")
    else:
        yield ok("as ours, within a few seconds")


def _days(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds / 86_400:g} days"


CHECKS: Final[tuple[Callable[[Database], Iterator[Verdict]], ...]] = (
    database, schema, edition, retention, policies, connections, database_clock,
)  # fmt: skip
