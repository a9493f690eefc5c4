"""The pool of connections that a process has: opened explicitly, checked when handed out, bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from psycopg_pool import AsyncConnectionPool

from projections.follow import Pool
from projections.positions import Connection

SIZE_MAX: Final = 8
TIMEOUT_S: Final = 5.0


def make_pool(dsn: str, configure: Callable[[Connection], Awaitable[None]] | None = None) -> Pool:
    """A pool that is still closed: ``await pool.open(wait=False)``; PostgreSQL may be down at that time."""
    return AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=SIZE_MAX,
        open=False,
        configure=configure,
        check=AsyncConnectionPool.check_connection,
        timeout=TIMEOUT_S,
        # gives up soon and begins anew with the next request: its own delays double up to minutes
        reconnect_timeout=TIMEOUT_S,
        kwargs={"application_name": "field projections", "connect_timeout": int(TIMEOUT_S)},
    )
