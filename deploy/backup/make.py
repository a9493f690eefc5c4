"""``field backup``: the database, the log up to where the worker stands then, the letters, and the digests of all.

The order makes it one picture: the database first, then the log, which so has at least what the rows reflect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from deploy import backend
from deploy.backup import manifest, postgres, rows
from deploy.backup.manifest import DUMP, LETTERS, LOG, UNFINISHED, Database, File, Letters, Log, Manifest, State
from deploy.positions import WORKER, LogWatch, behind
from projections.queries import query
from streams import letters
from streams.archive.history import ArchiveHistory
from streams.archive.store import Store
from streams.archive.write import Progress, archive
from streams.errors import HistoryError, InputError, PartUnavailable
from streams.fold.digest import digest
from streams.settings import Settings, identity

LOOK_S: Final = 0.2


def backup(settings: Settings, folder: Path, wait_s: float, progress: Progress) -> Manifest:
    """A whole backup into ``folder``, which may have others; the worker gets ``wait_s`` to fold what there is.

    Raises InputError, BackupError, HistoryError (records that are in no archive and not in Kafka any more),
    PartUnavailable, SetupError.
    """
    if settings.parts == "embedded":
        raise InputError("the embedded field is one file: stop it and copy that, or use SQLite's .backup")
    with manifest.writing(folder):
        before = _newest(folder)
        name = _name(folder)
        fresh = folder / (name + UNFINISHED)
        fresh.mkdir()
        seconds: dict[str, float] = {}
        with _timed(seconds, "database"):
            database = _database(settings, folder, fresh, name)
        with _timed(seconds, "state"):
            state, ends = asyncio.run(_state(settings, wait_s))
        with _timed(seconds, "log"):
            log = asyncio.run(_log(settings, folder, ends, progress))
        with _timed(seconds, "letters"):
            left = asyncio.run(_letters(settings, folder, name, before))
        found = Manifest(
            manifest.VERSION, name, int(time.time() * 1000), identity(settings), database, log, left, state, seconds
        )
        manifest.store(folder, found)
        return found


def _newest(folder: Path) -> Manifest | None:
    return manifest.load(folder) if manifest.names(folder) else None


def _name(folder: Path) -> str:
    """The time, in seconds; two backups of one second wait for each other."""
    while True:
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        if not (folder / name).exists():
            return name
        time.sleep(LOOK_S)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds[step] = round(time.monotonic() - begun, 3)


def _database(settings: Settings, folder: Path, fresh: Path, name: str) -> Database:
    """The dump and the digests of its rows, of one snapshot."""
    try:
        with rows.connect(settings.database_url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            server = rows.server(connection)
            if server.timescaledb is None or server.postgis is None:
                raise PartUnavailable("PostgreSQL", "it has no schema yet; `field up` makes it")
            tool = postgres.find(settings, "pg_dump", server.major)
            size, sha256 = postgres.dump(tool, settings, snapshot, fresh / DUMP)
            tables = rows.tables(connection)
            owner, schema = connection.execute(query("backup_owner")).fetchone() or ("", 0)
    except psycopg.errors.UndefinedTable:
        raise PartUnavailable("PostgreSQL", "it has no schema yet; `field up` makes it") from None
    except psycopg.OperationalError as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None
    return Database(
        File(f"{name}/{DUMP}", size, sha256), server.major, server.timescaledb, server.edition or "", server.postgis,
        owner, schema, tables,
    )  # fmt: skip


async def _state(settings: Settings, wait_s: float) -> tuple[State | None, dict[int, int]]:
    """The kept state once it has all that the log has now, and where it stands: offsets to stop before.

    Without a worker that gets there: no state, and where the log ends.
    """
    async with LogWatch(settings) as watch:
        ends = await watch.ends()
        until = time.monotonic() + wait_s
        while behind(WORKER, await watch.worker(), ends):
            if time.monotonic() > until:
                return None, {number: end + 1 for number, end in ends.items()}
            await asyncio.sleep(LOOK_S)
    picture = await backend.of(settings).kept()
    tables = digest(picture.values.values(), settings.rules)
    positions = {number: picture.positions.get(number, -1) for number in ends}
    return State(settings.rules.version, positions, tables), {number: at + 1 for number, at in positions.items()}


async def _log(settings: Settings, folder: Path, ends: dict[int, int], progress: Progress) -> Log:
    """The archive grows to exactly ``ends``; raises HistoryError where it does not begin at the log's beginning."""
    store = Store(folder / LOG, settings.events_topic)
    async with backend.of(settings).history() as history:
        await archive(history, store, settings.partitions, until=ends, progress=progress)
    files, events = [], 0
    for number, some in ArchiveHistory(store, settings.partitions).files.items():
        if some[0].first:
            raise HistoryError(
                f"records 0..{some[0].first - 1} are neither in Kafka nor in an archive, and without them the state "
                "cannot be folded again: name the archive that has them (FIELD_ARCHIVE)",
                topic=store.topic, partition=number, offset=0,
            )  # fmt: skip
        for one in some:
            name = (store.path / str(number) / one.name).relative_to(folder)
            files.append(File(str(name), one.bytes, one.sha256))
            events += one.events
    return Log(settings.events_topic, ends, events, files)


async def _letters(settings: Settings, folder: Path, name: str, before: Manifest | None) -> Letters:
    """A file of what has come since the backup before, unless nothing has."""
    bounds = await letters.bounds(settings)
    ends = {number: end for number, (_, end) in bounds.items()}
    known = before.letters if before and before.letters.topic == settings.rejected_topic else None
    if known and any(known.ends.get(number, 0) > end for number, end in ends.items()):
        known = None  # another topic of that name
    starts = {number: max(first, known.ends.get(number, 0) if known else 0) for number, (first, _) in bounds.items()}
    files, records = (list(known.files), known.records) if known else ([], 0)
    if any(starts[number] < end for number, end in ends.items()):
        path = folder / LETTERS / settings.rejected_topic / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + UNFINISHED)
        records += await letters.write(settings, fresh, starts, ends)
        manifest.to_disk(fresh)
        fresh.rename(path)
        manifest.to_disk(path.parent)
        files.append(manifest.describe(folder, path))
    return Letters(settings.rejected_topic, ends, records, files)
