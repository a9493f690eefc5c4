"""The pool of connections that a process has: opened explicitly, checked when handed out, bounded.

A line may be dead and nobody may say so: every wait for an answer has an end of its own, here and in the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from psycopg_pool import AsyncConnectionPool

from projections.follow import Pool
from projections.positions import Connection

SIZE_MAX: Final = 8
TIMEOUT_S: Final = 5.0


def make_pool(
    dsn: str, configure: Callable[[Connection], Awaitable[None]] | None = None, transaction_s: int = 60
) -> Pool:
    """A pool that is still closed: ``await pool.open(wait=False)``; PostgreSQL may be down at that time.

    The server ends a transaction whose client says nothing for ``transaction_s``: a client that is cut off would
    hold its locks for hours.
    """

    async def prepare(connection: Connection) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await connection.execute(
                    "SELECT set_config('idle_in_transaction_session_timeout', %s, false)", (f"{transaction_s}s",)
                )
                await connection.commit()
                if configure is not None:
                    await configure(connection)
        except BaseException:
            await connection.close()  # the pool forgets a connection that it could not prepare
            raise

    return AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=SIZE_MAX,
        open=False,
        configure=prepare,
        check=_check,
        timeout=TIMEOUT_S,
        # gives up soon and begins anew with the next request: its own delays double up to minutes
        reconnect_timeout=TIMEOUT_S,
        kwargs={"application_name": "field projections", "connect_timeout": int(TIMEOUT_S)},
    )


async def _check(connection: Connection) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        await AsyncConnectionPool.check_connection(connection)
