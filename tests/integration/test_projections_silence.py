"""A line that swallows everything: the projector gives up, also what the server still holds for it, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg

from projections.follow import Follower
from projections.migrate import migrate
from projections.pool import make_pool
from projections.raw import Raw, configure
from streams.settings import Settings
from tests.faults.proxy import Proxy
from tests.integration.folded import lively
from tests.integration.projecting import rows, until
from tests.integration.test_projections_run import log_of, reflected, running


async def test_locks_of_a_connection_that_nobody_hears_are_given_back(make_settings: Callable[..., Settings]) -> None:
    """The server waits in the middle of a COPY: neither a cancelled query nor an idle timeout reaches it there."""
    settings = make_settings(partitions=2, transaction_s=2)
    await asyncio.to_thread(migrate, settings.database_url)
    url, stop = urlsplit(settings.database_url), asyncio.Event()
    with Proxy() as proxy:
        link = proxy.link("postgres", url.port or 0)
        behind = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{link.port}")).geturl()
        pool = make_pool(behind, configure, settings.transaction_s)
        await pool.open(wait=False)
        try:
            async with log_of(settings) as log, running(stop, Follower(Raw(settings), settings, pool, stop).run()):
                await log.say(lively(1, 40))
                await until(lambda: reflected(settings, "raw") == log.ends, "the first events")
                dead = await asyncio.to_thread(in_copy, behind, settings)
                try:
                    link.set("half_open")
                    await log.say(lively(2, 40))
                    link.set("pass")
                    await until(lambda: reflected(settings, "raw") == log.ends, "what came over the dead line")
                    gone = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
                    assert rows(settings.database_url, gone, dead.info.backend_pid) == []
                finally:
                    dead.pgconn.finish()
        finally:
            await pool.close(timeout=1.0)


def in_copy(dsn: str, settings: Settings) -> psycopg.Connection:
    """A connection as a projector's, in a COPY that never ends, with the positions locked."""
    connection = psycopg.connect(dsn, application_name="field projections")
    connection.execute(
        "SELECT FROM projection_positions WHERE generation = %s FOR UPDATE", (settings.generation,)
    ).fetchall()
    connection.execute("CREATE TEMP TABLE nowhere (n integer)")
    connection.pgconn.exec_(b"COPY nowhere FROM STDIN")
    return connection
