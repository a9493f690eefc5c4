"""``field restore``: a backup into an empty place, the state folded again from the log, and all of it compared.

The log comes back with every record at its old offset, so what the rows say of places in it stays true. What speaks of
other topics does not: the positions of the projection of changes are forgotten, and its rows come from a changelog
that is folded anew here.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo
from redis.exceptions import RedisError

from deploy import backend, generations, positions
from deploy.backup import manifest, postgres, rows
from deploy.backup.manifest import LOG, Manifest
from deploy.replay import run as replaying
from projections import migrate
from projections.hot import Names
from projections.queries import query
from streams import letters, topics
from streams.archive.history import ArchiveHistory
from streams.archive.restore import restore as restore_log
from streams.archive.store import Store
from streams.archive.write import Progress
from streams.errors import BackupError, InputError, PartUnavailable, SettingError
from streams.fold.digest import digest
from streams.history import KafkaHistory
from streams.replay.span import Span
from streams.settings import Settings, identity

NO_BRAKE: Final = 1 << 62
OURS: Final = ("pairs", "shards", "positions")
"""What is forgotten of the generation that is restored (statements ``generation_drop_...``)."""


class Restored(msgspec.Struct):
    """``field restore``. ``rows`` and ``events`` that are there again, ``seconds`` by step; what was compared is equal.

    ``state`` has the digests by table; None where the backup has none to compare with.
    """

    name: str
    tables: int
    rows: int
    events: int
    letters: int
    state: dict[str, str] | None
    seconds: dict[str, float]


Bar = Callable[[str, int, str], AbstractContextManager[Progress]]
"""Shows how far something is: what it is, how many of which unit."""


def restore(settings: Settings, folder: Path, found: Manifest, bar: Bar) -> Restored:
    """Bring a backup back. Raises BackupError when it is not whole or comes out as something else, SettingError when
    the settings make another field, InputError when the place is not empty, SetupError, PartUnavailable.
    """
    check_settings(settings, found)
    seconds: dict[str, float] = {}
    size = sum(one.bytes for one in found.files())
    with _timed(seconds, "check"), bar("checking", size, "bytes") as checked:
        if wrong := manifest.problems(folder, found, lambda read: checked(0, read)):
            more = f" (and {len(wrong) - 1} more; `field backup verify {folder}` names all)" if wrong[1:] else ""
            raise BackupError(wrong[0] + more)
    check_empty(settings)
    with _timed(seconds, "database"):
        _database(settings, folder, found)
    archive = ArchiveHistory(Store(folder / LOG, found.log.topic), settings.partitions)
    with _timed(seconds, "log"), bar("publishing", found.log.events, "events") as published:
        events = asyncio.run(restore_log(archive, settings, found.log.ends, published))
    with _timed(seconds, "letters"):
        kept = (one for file in found.letters.files for one in letters.read(folder / file.name))
        count = asyncio.run(letters.publish(settings, kept))
    with _timed(seconds, "state"):
        tables = asyncio.run(_state(settings, found))
    saved = found.database.tables.values()
    return Restored(found.name, len(saved), sum(one.rows for one in saved), events, count, tables, seconds)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds[step] = round(time.monotonic() - begun, 3)


def check_settings(settings: Settings, found: Manifest) -> None:
    """Raises SettingError that says what to export."""
    here = identity(settings)
    other = {name: value for name, value in found.settings.items() if here.get(name) != value}
    if other:
        exports = " ".join(f"{name}={value}" for name, value in other.items())
        raise SettingError(next(iter(other)), f"the backup is of a field with other settings; export {exports}")


def check_empty(settings: Settings) -> None:
    """Raises InputError where database, topics or Redis hold something; creates the topics that are missing."""
    try:
        with rows.connect(settings.database_url) as connection:
            there = connection.execute(query("backup_there")).fetchone()
    except psycopg.OperationalError as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None
    if there is not None:
        raise InputError(f"the database is not empty, it has {there[0]}: restore into a new one (DATABASE_URL)")
    names = Names.of(settings.generation)
    try:
        with positions.hot(settings) as client:
            if client.exists(names.position, names.current):
                raise InputError(
                    f"Redis has {names.position} of another field, which newer rows would wait for: FLUSHDB it"
                )
    except RedisError as error:
        raise PartUnavailable("Redis", str(error)) from None
    asyncio.run(_empty_topics(settings))


async def _empty_topics(settings: Settings) -> None:
    await topics.create(settings)
    for topic in topics.configs(settings):
        async with KafkaHistory(replace(settings, events_topic=topic)) as log:
            if any(end for _, end in (await log.bounds()).values()):
                raise InputError(f"topic {topic} is not empty: restore into another Kafka, or delete its topics")


def _database(settings: Settings, folder: Path, found: Manifest) -> None:
    saved = found.database
    with rows.connect(settings.database_url) as connection:
        connection.autocommit = True
        server = rows.server(connection)
        if server.major < saved.server:
            raise BackupError(f"the dump is of PostgreSQL {saved.server}, this server is {server.major}")
        tool = postgres.find(settings, "pg_restore", max(server.major, saved.server))
        owners = _owner_is_here(connection, saved.owner)
        _extension(connection, server, saved)
        connection.execute("SELECT timescaledb_pre_restore()")
        try:
            postgres.restore(tool, settings, folder / saved.dump.name, owners=owners)
        finally:
            connection.execute("SELECT timescaledb_post_restore()")
    with rows.connect(settings.database_url) as connection:
        if wrong := rows.different(saved.tables, rows.tables(connection)):
            raise BackupError(f"what was restored has other rows than what was saved: {', '.join(wrong)}")
    ours = _as_owner(settings, saved.owner) if owners else settings
    migrate.migrate(ours.database_url, retention_days=settings.retention_days)
    _forget(ours)


def _owner_is_here(connection: rows.Connection, owner: str) -> bool:
    """Whether the tables stay the owner's, else they become ours; raises BackupError where that shuts others out."""
    if connection.execute(query("backup_account"), (owner,)).fetchone() == (True,):
        return True
    if connection.execute(query("backup_locked")).fetchone() == (True,):
        raise BackupError(f"the backup is of a field without locks, its tables are those of {owner}, who has no "
                          "account here: restore it without locks (deploy/SECURITY.md)")  # fmt: skip
    return False


def _as_owner(settings: Settings, owner: str) -> Settings:
    """Tables that are new belong to the owner of the others, who also gives the rights on all of them."""
    return replace(settings, database_url=make_conninfo(settings.database_url, options=f"-c role={owner}"))


def _extension(connection: rows.Connection, server: rows.Server, saved: manifest.Database) -> None:
    """TimescaleDB of the version that the dump is of: its catalog is part of the dump. Raises BackupError."""
    wanted = saved.timescaledb
    remedy = f"restore with an image or package of {wanted}, then ALTER EXTENSION timescaledb UPDATE"
    if server.timescaledb is None:
        offered = connection.execute(query("backup_offered"), ("timescaledb", wanted)).fetchone()
        if offered != (True,):
            raise BackupError(f"the dump is of TimescaleDB {wanted}, which this server does not have: {remedy}")
        connection.execute(f"CREATE EXTENSION timescaledb VERSION '{wanted}'")
    elif server.timescaledb != wanted:
        raise BackupError(f"the dump is of TimescaleDB {wanted}, this database has {server.timescaledb}: {remedy}")
    if saved.edition == "timescale" and rows.server(connection).edition == "apache":
        raise BackupError("the dump is of TimescaleDB's Community edition, and this server has the Apache edition")


def _forget(settings: Settings) -> None:
    """What speaks of topics that are not here any more, and the generations beside."""
    for generation in generations.known(settings):
        if not generation.current:
            generations.remove(settings, generation.name)
    ours = {"generation": settings.generation}
    with generations.connected(settings) as connection:
        for kind in OURS:
            connection.execute(query(f"generation_drop_{kind}"), ours)
        connection.execute(query("restore_sessions"), ours)


async def _state(settings: Settings, found: Manifest) -> dict[str, str] | None:
    """The log folded into the changelog, as a replay does; compared with the backup's digests. Raises BackupError."""
    runner = replaying.Runner(settings, Span(), found.log.ends, os.cpu_count() or 1, None, "restorer")
    if not await replaying.run(runner, settings, sum(found.log.ends.values()), NO_BRAKE):
        raise BackupError("it was stopped before the state was folded: clear the place, restore again")
    if found.state is None or found.state.fold_version != settings.rules.version:
        return None
    picture = await backend.of(settings).kept()
    at = {number: picture.positions.get(number, -1) for number in found.state.positions}
    tables = digest(picture.values.values(), settings.rules)
    wrong = [name for name, value in found.state.tables.items() if tables.get(name) != value]
    if wrong or at != found.state.positions:
        raise BackupError(
            f"the state that was folded from the restored log is another one than was saved: "
            f"{', '.join(wrong) or 'its positions'} differ"
        )
    return tables
