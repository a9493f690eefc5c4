"""The SQLite file of an embedded field: connection, transactions, format, and what can go wrong, in clear words.

Write-ahead log: readers see one moment and never wait, writers wait for each other. With FIELD_SYNCHRONOUS=full
(the default) what was committed survives a power cut, with ``normal`` only the end of a process.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Final

from streams.errors import PartUnavailable, SettingError, StoreError
from streams.settings import Settings

FOLDER: Final = "embedded"
FILE: Final = "field.sqlite3"
FORMAT: Final = 1
BUSY_S: Final = 30.0
"""How long a writer waits for the others before it gives up."""
APPLICATION: Final = 0x6669656C  # "fiel": tells our files from other people's
WAL_BYTES_MAX: Final = 64 * 1024 * 1024
"""The write-ahead file is cut to this when it has been taken over; while somebody reads for long it may grow."""

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_CLOSED: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
_DISK: Final = (sqlite3.SQLITE_IOERR,)
_PRIMARY: Final = 0xFF  # an extended result code holds the primary one in its last byte


def file_of(settings: Settings) -> Path:
    """Where the embedded log of this home lies."""
    return Path(settings.home) / FOLDER / FILE


class Store:
    """One connection; use it from one thread at a time. ``partitions`` is for the life of the file.

    Raises PartUnavailable where there is no file yet or it stays locked; StoreError when it is damaged, full, closed
    to us or of another format; SettingError for another number of partitions.
    """

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        self.path = file_of(settings)
        if create:
            self._make_folder()
        elif not self.path.exists():
            raise PartUnavailable("the embedded log", f"{self.path} is not there; `field run --embedded` makes it")
        with translated(self.path):
            self.db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with translated(self.path):
                self._prepare(settings, create)
            self.partitions = self._count_partitions(settings)
        except BaseException:
            self.db.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that writes: all of it is kept, or nothing of it."""
        with translated(self.path):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One transaction that reads: all of it is of the same moment."""
        with translated(self.path):
            self.db.execute("BEGIN")
            try:
                yield self.db
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.path.parent} cannot be made: {error.strerror}; set FIELD_HOME") from None

    def _prepare(self, settings: Settings, create: bool) -> None:
        self.db.execute(f"PRAGMA synchronous = {settings.synchronous}")
        self.db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        if self._pragma("user_version") == 0 and create:
            self.db.execute("PRAGMA journal_mode = WAL")
            with self.writing() as db:
                empty = db.execute("SELECT 1 FROM sqlite_master").fetchone() is None
                if empty and self._pragma("user_version") == 0:  # nobody else was faster
                    _create(db, settings.partitions)
        found = self._pragma("user_version")
        if self._pragma("application_id") != APPLICATION:
            raise StoreError(f"{self.path} is no log of the field; move it away, or set another FIELD_HOME")
        if found != FORMAT:
            raise StoreError(
                f"{self.path} has format {found}, this version reads {FORMAT}: run the version that made it"
            )

    def _pragma(self, name: str) -> int:
        return int(self.db.execute(f"PRAGMA {name}").fetchone()[0])

    def _count_partitions(self, settings: Settings) -> int:
        with translated(self.path):
            (found,) = self.db.execute("SELECT count(*) FROM partitions").fetchone()
        if found != settings.partitions:
            raise SettingError(
                "FIELD_PARTITIONS",
                f"is {settings.partitions}, but {self.path} has {found} partitions, which is for its life; set "
                f"FIELD_PARTITIONS={found}, or take another FIELD_HOME and move the history there by an archive",
            )
        return int(found)


def _create(db: sqlite3.Connection, partitions: int) -> None:
    for statement in resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8").split(";\n"):
        db.execute(statement)
    db.executemany("INSERT INTO partitions (partition) VALUES (?)", [(number,) for number in range(partitions)])
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {FORMAT}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours; what was not committed is not stored."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        if code in _BUSY:
            raise PartUnavailable("the embedded log", f"{path} is locked by another process; try again") from error
        if code == sqlite3.SQLITE_FULL:
            raise StoreError(
                f"no room left for {path}: free some; nothing was acknowledged that is not stored"
            ) from error
        if code in _DAMAGED:
            raise StoreError(
                f"{path} is damaged ({error}): bring it back from a copy, or what is readable of it with "
                "SQLite's `.recover`, into the same place"
            ) from error
        if code in _CLOSED:
            raise StoreError(
                f"{path} cannot be opened or written ({error}): mend the rights of it and its folder"
            ) from error
        if code in _DISK:
            raise StoreError(f"{path}: the disk does not do what it should ({error}); look at it") from error
        raise StoreError(f"{path}: {error}") from error


class Claim:
    """At most one process folds an embedded log; the kernel gives the claim back whatever ends the process.

    Raises StoreError when another has it.
    """

    def __init__(self, settings: Settings) -> None:
        path = file_of(settings).with_suffix(".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"{path} cannot be made: {error.strerror}; mend its rights, or set FIELD_HOME") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 20).decode(errors="replace").strip()
            os.close(self._file)
            raise StoreError(
                f"another process (pid {holder or '?'}) folds the log of {path.parent} already; `field down` stops it"
            ) from None
        os.ftruncate(self._file, 0)
        os.write(self._file, b"%d\n" % os.getpid())

    def release(self) -> None:
        os.close(self._file)
