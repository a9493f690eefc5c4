"""Sets the locks of PostgreSQL: accounts, the database's owner and its extensions, by the server's superuser.

The rights on the tables follow with ``field migrate``, which makes the tables (``schema/sql/grants.sql``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from deploy.locked.roles import ROLES
from projections.queries import query
from streams.errors import PartUnavailable

ANSWER_S = 5
EXTENSIONS = ("timescaledb", "postgis")


def lock(admin_url: str, passwords: Mapping[str, str]) -> list[str]:
    """Accounts with these passwords, by role, for the database of the address; returns the accounts that were made.

    Raises PartUnavailable.
    """
    name = unquote(urlsplit(admin_url).path.lstrip("/"))
    database = sql.Identifier(name)
    try:
        with _connected(urlsplit(admin_url)._replace(path="/postgres").geturl()) as server:
            made = [role for role in passwords if _account(server, f"field_{role}", passwords[role])]
            there = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            _run(server, "lock_owner" if there else "lock_database", database=database)
            _run(server, "lock_closed", database=database)
            for role in ROLES:
                if role.name in passwords:
                    _run(server, "lock_connect", database=database, account=sql.Identifier(role.database))
            _run(server, "lock_staging", database=database)
            _run(server, "lock_looking")
        with _connected(admin_url) as inside:
            for extension in EXTENSIONS:
                inside.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension)))
            _run(inside, "lock_schema")
            _run(inside, "lock_migrator")
    except psycopg.Error as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None
    return made


def _connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url, autocommit=True, connect_timeout=ANSWER_S, application_name="field lock")


def _account(server: psycopg.Connection[tuple[Any, ...]], name: str, password: str) -> bool:
    """Whether it had to be made."""
    account = sql.Identifier(name)
    missing = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None
    if missing:
        _run(server, "lock_account", account=account)
    verifier = server.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    _run(server, "lock_secret", account=account, verifier=sql.Literal(verifier))
    return missing


def _run(connection: psycopg.Connection[tuple[Any, ...]], name: str, **parts: sql.Composable) -> None:
    connection.execute(sql.SQL(query(name)).format(**parts))
