"""What is in the database, so that two of them can be compared: rows and a digest of each table."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from deploy.backup.manifest import Table
from projections.queries import query
from streams.errors import PartUnavailable

SAME: Final = "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1"
Connection = psycopg.Connection[tuple[Any, ...]]


def connect(url: str) -> Connection:
    """A connection that prints values the same everywhere; raises PartUnavailable."""
    try:
        return psycopg.connect(
            url, connect_timeout=5, options="-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1"
        )
    except psycopg.OperationalError as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None


class Server(NamedTuple):
    """``major`` version of PostgreSQL; versions of the extensions, None where a database has not got them."""

    major: int
    edition: str | None
    timescaledb: str | None
    postgis: str | None


def server(connection: Connection) -> Server:
    """Of what the database is made."""
    row = connection.execute(query("backup_server")).fetchone()
    assert row is not None  # it has no condition
    return Server(*row)


def tables(connection: Connection) -> dict[str, Table]:
    """Every table of ours by name, within the caller's transaction; reads all of it."""
    found = {}
    for schema, name in connection.execute(query("backup_tables")).fetchall():
        statement = sql.SQL(query("backup_rows")).format(table=sql.Identifier(schema, name))
        rows, digest = connection.execute(statement).fetchone() or (0, "")
        found[name] = Table(rows, digest)
    return found


def different(wanted: dict[str, Table], found: dict[str, Table]) -> list[str]:
    """Tables that are not the same, for people."""
    out = []
    for name in sorted(wanted.keys() | found.keys()):
        one, other = wanted.get(name), found.get(name)
        if one != other:
            out.append(f"{name} ({one.rows if one else 'no'} rows saved, {other.rows if other else 'none'} there)")
    return out
