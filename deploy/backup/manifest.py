"""What a backup says of itself, and the folder of backups.

    <folder>/log/<topic>/<partition>/...       the archived log, shared by all backups: each adds what is new
    <folder>/letters/<topic>/<time>.jsonl.gz   records of field.rejected, likewise
    <folder>/<time>/database.dump              pg_dump's custom format
    <folder>/<time>/manifest.json              names all that belongs to it, with SHA-256; manifest.sha256 is of it

A backup is made as ``<time>.new`` and renamed when all of it is on the disk: one that was cut off has another name.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from streams.errors import BackupError, InputError

VERSION: Final = 1
LOG, LETTERS, DUMP = "log", "letters", "database.dump"
NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
UNFINISHED: Final = ".new"
_MANIFEST, _SUM = "manifest.json", "manifest.sha256"
_CHUNK: Final = 1 << 20


class File(msgspec.Struct):
    """``name`` is a path within the folder of backups; ``sha256`` (hexadecimal) of all its bytes."""

    name: str
    bytes: int
    sha256: str


class Table(msgspec.Struct):
    """Rows of a table and a digest of them that knows no order (``schema/sql/backup.sql``)."""

    rows: int
    digest: str


class Database(msgspec.Struct):
    """``server``: PostgreSQL's major version; ``owner`` of the tables; ``schema``: number of the last migration."""

    dump: File
    server: int
    timescaledb: str
    edition: str
    postgis: str
    owner: str
    schema: int
    tables: dict[str, Table]


class Log(msgspec.Struct):
    """The events topic: records from 0 to before ``ends``, by partition."""

    topic: str
    ends: dict[int, int]
    events: int
    files: list[File]


class Letters(msgspec.Struct):
    """The topic of dead letters up to before ``ends``; ``records`` of all ``files``."""

    topic: str
    ends: dict[int, int]
    records: int
    files: list[File]


class State(msgspec.Struct):
    """The folded state at the ends of the log (last offset folded, by partition): digests by table."""

    fold_version: str
    positions: dict[int, int]
    tables: dict[str, str]


class Manifest(msgspec.Struct):
    """A backup. ``made`` in epoch ms; ``settings``: those that make log and state what they are, by name.

    ``state`` is None when the worker had not folded all of the log in time: then a restore cannot be compared with it.
    ``seconds`` each step took.
    """

    version: int
    name: str
    made: int
    settings: dict[str, str]
    database: Database
    log: Log
    letters: Letters
    state: State | None
    seconds: dict[str, float]

    def files(self) -> list[File]:
        """All that belongs to it."""
        return [self.database.dump, *self.log.files, *self.letters.files]


def names(folder: Path) -> list[str]:
    """Whole backups of a folder, the oldest first; raises InputError when there is no such folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    return sorted(one.name for one in folder.iterdir() if NAME.fullmatch(one.name))


def load(folder: Path, name: str | None = None) -> Manifest:
    """The backup ``name``, else the newest; raises InputError when there is none, BackupError when it is damaged."""
    found = names(folder)
    if not found or (name is not None and name not in found):
        cut = [one.name for one in folder.iterdir() if one.name.endswith(UNFINISHED)]
        why = f"; {', '.join(cut)} was cut off" if cut else ""
        raise InputError(f"{folder} has no whole backup{'' if name is None else f' {name}'}{why}")
    path = folder / (name or found[-1])
    try:
        text, wanted = (path / _MANIFEST).read_bytes(), (path / _SUM).read_text().split()
    except OSError as error:
        raise BackupError(f"{path} is not whole: {error}") from None
    if wanted[:1] != [hashlib.sha256(text).hexdigest()]:
        raise BackupError(f"{path / _MANIFEST} has other bytes than were written")
    version = msgspec.json.decode(text).get("version")
    if version != VERSION:
        raise BackupError(f"{path} has version {version}, this program reads {VERSION}")
    return msgspec.json.decode(text, type=Manifest, strict=False)


def store(folder: Path, manifest: Manifest) -> None:
    """The last step of a backup: its manifest is written, then the whole gets its name."""
    fresh = folder / (manifest.name + UNFINISHED)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (fresh / _MANIFEST).write_bytes(text)
    (fresh / _SUM).write_text(f"{hashlib.sha256(text).hexdigest()}  {_MANIFEST}\n")
    for one in fresh.iterdir():
        to_disk(one)
    to_disk(fresh)
    fresh.rename(folder / manifest.name)
    to_disk(folder)


def problems(folder: Path, manifest: Manifest, progress: Callable[[int], None] = lambda size: None) -> list[str]:
    """Reads every byte that belongs to a backup; lines that say what is wrong, none when it is whole."""
    out = []
    for file in manifest.files():
        path = folder / file.name
        try:
            found = describe(folder, path)
        except OSError as error:
            out.append(f"{path} cannot be read: {error.strerror}")
            continue
        if found != file:
            size = f" ({found.bytes} and not {file.bytes})" if found.bytes != file.bytes else ""
            out.append(f"{path} has other bytes than were written{size}")
        progress(file.bytes)
    return out


def describe(folder: Path, path: Path) -> File:
    """A file as it is; raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        return File(str(path.relative_to(folder)), file.tell(), digest.hexdigest())


def forget(folder: Path, keep: int) -> list[str]:
    """Remove all but the newest ``keep`` backups; the log and the letters stay whole. Returns the names."""
    gone = names(folder)[:-keep]
    for name in gone:
        away = folder / (name + UNFINISHED)
        (folder / name).rename(away)  # half removed, it must not look whole
        shutil.rmtree(away)
    return gone


@contextmanager
def _private() -> Iterator[None]:
    """New folders and files are their owner's alone: every event is in them."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Nobody else writes meanwhile, or may read what comes; what was cut off before is removed. Raises InputError."""
    with _private(), _alone(folder):
        for left in folder.glob(f"*{UNFINISHED}"):
            shutil.rmtree(left)
        for left in (folder / LETTERS).glob(f"*/*{UNFINISHED}"):
            left.unlink()
        yield


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"no backup can be written: {error}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another backup is written to {folder} right now") from None
        yield


def to_disk(path: Path) -> None:
    """A file's bytes, or a folder's names, survive a power cut from here on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
