"""Numbered SQL migrations: run by themselves at start, once each, under a lock, never changed afterwards.

A file is ``schema/sql/NNN_name.sql``. It runs in a transaction of its own together with its row in
``schema_migrations``; a file whose first line is ``-- no transaction`` runs statement by statement instead
and must be written so that it can run again after a crash.

A migration whose name begins with ``adds_`` only adds: programs of the version before read and write as they did. One
that starts again in the middle of an upgrade, or after it was taken back, goes on (``deploy/UPGRADE.md``).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, Final, LiteralString, NamedTuple

import psycopg

from streams.errors import SchemaError, SettingError

log = logging.getLogger(__name__)

LOCK = 0x6669656C64  # "field": one migration at a time in a database
NO_TRANSACTION = "-- no transaction"
ADDS: Final = "adds_"
RETENTION_DAYS_MIN = 7  # a refresh of the day aggregate looks at six days at least

_LINE: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""A migration may take hours, but not because the server is gone."""

_Connection = psycopg.Connection[tuple[Any, ...]]


class Migration(NamedTuple):
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations of this version, in order; raises SchemaError when their numbers have a gap."""
    found = []
    for item in resources.files("schema").joinpath("sql").iterdir():
        number, _, rest = item.name.partition("_")
        if number.isdigit() and rest.endswith(".sql"):
            found.append(Migration(int(number), rest.removesuffix(".sql"), item.read_text(encoding="utf-8")))
    found.sort()
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise SchemaError(f"numbers of migrations are not 1..{len(found)}: {[m.version for m in found]}")
    return found


def migrate(dsn: str, *, retention_days: int = 0, known: Sequence[Migration] | None = None) -> list[int]:
    """Brings the database to the newest schema; returns the numbers that it applied, [] when there were none.

    Waits while somebody else migrates. An account that may create nothing only looks whether all is there. Raises
    SchemaError (changed, newer or missing schema), SettingError (retention) and psycopg.Error.
    """
    if 0 < retention_days < RETENTION_DAYS_MIN:
        raise SettingError("FIELD_RETENTION_DAYS", f"{retention_days} is under {RETENTION_DAYS_MIN}; 0 keeps all")
    known = migrations() if known is None else known
    with (
        psycopg.connect(dsn, autocommit=True, application_name="field migrate", **_LINE) as connection,
        _locked(connection),
    ):
        if not _value(connection, "SELECT has_schema_privilege(current_schema(), 'CREATE')"):
            _check_all_there(connection, known)
            return []
        applied = _apply_missing(connection, known)
        _ensure(connection, retention_days)
    return applied


def edition(dsn: str) -> str:
    """Edition of TimescaleDB, ``apache`` or ``timescale`` (Community); raises psycopg.Error."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return str(_value(connection, "SHOW timescaledb.license"))


@contextmanager
def _locked(connection: _Connection) -> Iterator[None]:
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def _apply_missing(connection: _Connection, known: Sequence[Migration]) -> list[int]:
    connection.execute("SET client_min_messages = warning")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
        " checksum text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
    )
    rows = connection.execute("SELECT version, name, checksum FROM schema_migrations ORDER BY version").fetchall()
    _check(rows, known)
    done = {version for version, _, _ in rows}
    missing = [migration for migration in known if migration.version not in done]
    for migration in missing:
        log.info("migration %03d_%s", migration.version, migration.name)
        _apply(connection, migration)
    return [migration.version for migration in missing]


def _check_all_there(connection: _Connection, known: Sequence[Migration]) -> None:
    rows: Sequence[tuple[Any, ...]] = []
    if _value(connection, "SELECT to_regclass('schema_migrations')") is not None:
        rows = connection.execute("SELECT version, name, checksum FROM schema_migrations ORDER BY version").fetchall()
    _check(rows, known)
    if len(rows) < len(known):
        raise SchemaError(
            f"the database has {len(rows)} of {len(known)} migrations, and this account may not make the others:"
            " run `field migrate` with the migrator's"
        )


def _check(rows: Sequence[tuple[Any, ...]], known: Sequence[Migration]) -> None:
    by_version = {migration.version: migration for migration in known}
    for version, name, checksum in rows:
        mine = by_version.get(version)
        if mine is None and name.startswith(ADDS):
            log.info("the database has migration %03d_%s of a newer version, which changes nothing here", version, name)
        elif mine is None:
            raise SchemaError(
                f"the database has migration {version:03d}_{name}, this version knows up to {len(known):03d}:"
                " start a newer version of the field"
            )
        elif mine.checksum != checksum:
            raise SchemaError(
                f"migration {version:03d}_{mine.name} was changed after the database had it:"
                " bring the file back and write a new migration"
            )


def _apply(connection: _Connection, migration: Migration) -> None:
    remember = "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)"
    row = (migration.version, migration.name, migration.checksum)
    if migration.sql.startswith(NO_TRANSACTION):
        for statement in migration.sql.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(remember, row)
        return
    with connection.transaction():
        connection.execute(migration.sql)
        connection.execute(remember, row)


def _ensure(connection: _Connection, retention_days: int) -> None:
    """What follows the edition and the settings instead of a number; both functions are idempotent."""
    if _value(connection, "SELECT to_regproc('field_policies_ensure')") is None:
        return  # an older schema, as the migration tests make it
    with connection.transaction():
        connection.execute("SELECT field_aggregates_ensure()")
        connection.execute("SELECT field_policies_ensure(%s)", (retention_days,))
        connection.execute(resources.files("schema").joinpath("sql", "grants.sql").read_bytes())
    if retention_days and _value(connection, "SELECT field_edition()") != "timescale":
        log.warning("FIELD_RETENTION_DAYS has no effect: this TimescaleDB is the Apache edition")


def _value(connection: _Connection, sql: LiteralString) -> Any:
    row = connection.execute(sql).fetchone()
    assert row is not None  # each of the queries above answers with one row
    return row[0]
