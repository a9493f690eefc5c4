"""The folder of an archive: ``<folder>/<topic>/<partition>/<first>-<last>.field``, and an index of each partition.

A file is written under another name, brought to the disk and then renamed: whenever its writer dies, there is either
no file or a whole one. ``index.jsonl`` says what should be there, a line a file with its SHA-256; a file that is not
in it yet (its writer died in between) counts all the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Final

import msgspec

from streams.archive.format import FOOT, Foot, Head, Packer, read_foot, read_head
from streams.entry import Entry
from streams.errors import ArchiveError, HistoryError, InputError

INDEX: Final = "index.jsonl"
SUFFIX: Final = ".field"
_NAME: Final = re.compile(r"([0-9]{20})-([0-9]{20})\.field")
_UNFINISHED: Final = ".new"
HEAD_BYTES: Final = 1_024
"""A header with the longest name of a topic fits."""


class File(msgspec.Struct, frozen=True):
    """A line of the index: a file that has all records with first <= offset <= last.

    Times are epoch ms, -1 where there is none; ``sha256`` (hexadecimal) is of the whole file, ``bytes`` its size.
    """

    name: str
    partitions: int
    first: int
    last: int
    entries: int
    events: int
    time_min_ms: int
    time_max_ms: int
    received_min_ms: int
    received_max_ms: int
    bytes: int
    sha256: str


_lines: Final = msgspec.json.Decoder(File)


class Store:
    """The archive of one topic. Reading never writes; what writes goes through ``writing``."""

    def __init__(self, folder: str | Path, topic: str) -> None:
        self.topic = topic
        self.path = Path(folder) / topic

    def partitions(self) -> list[int]:
        """Partitions that have a folder, rising."""
        if not self.path.is_dir():
            return []
        return sorted(int(one.name) for one in self.path.iterdir() if one.name.isdecimal() and one.is_dir())

    def files(self, partition: int) -> list[File]:
        """What is archived of a partition, rising by offset; raises HistoryError for overlaps and damaged files.

        Files that the index names and that are not there are in it all the same: ``read`` says that they are missing.
        """
        known = {file.name: file for file in self._index(partition)}
        for name in self._names(partition):
            if name not in known:
                known[name] = self._look(partition, name)
        found = sorted(known.values(), key=lambda file: file.first)
        for before, after in pairwise(found):
            if after.first <= before.last:
                raise self._error(partition, after.name, f"overlaps {before.name}", after.first, after.last)
        return found

    def read(self, partition: int, file: File) -> bytes:
        """The bytes of a file, the same as when it was written; raises HistoryError."""
        try:
            data = (self._folder(partition) / file.name).read_bytes()
        except FileNotFoundError:
            raise self._error(partition, file.name, "is not there any more", file.first, file.last) from None
        except OSError as error:
            raise self._error(partition, file.name, f"cannot be read ({error})", file.first, file.last) from None
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise self._error(partition, file.name, "has other bytes than were written", file.first, file.last)
        return data

    def damaged(self, partition: int, file: File, error: ArchiveError) -> HistoryError:
        """That the bytes of a file are no archive, with its name and what to do."""
        return self._error(partition, file.name, str(error), file.first, file.last)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Nobody else writes meanwhile; remains of a writer that died are removed. Raises InputError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise InputError(f"the archive cannot be written: {error}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(f"another process is writing to {self.path}: wait until it is done") from None
            for partition in self.partitions():
                for path in self._folder(partition).glob("*" + _UNFINISHED):
                    path.unlink()
            yield

    def gone(self, partition: int) -> list[File]:
        """Files that the index names and that are not there."""
        here = set(self._names(partition))
        return [file for file in self.files(partition) if file.name not in here]

    def recover(self, partition: int) -> None:
        """Write the index anew where it does not say what is there; within ``writing`` only."""
        folder, gone = self._folder(partition), self.gone(partition)
        here = [file for file in self.files(partition) if file not in gone]
        text = b"".join(msgspec.json.encode(file) + b"\n" for file in here)
        if not (folder / INDEX).is_file() or (folder / INDEX).read_bytes() != text:
            fresh = folder / (INDEX + _UNFINISHED)
            with fresh.open("wb") as out:
                _to_disk(out, text)
            fresh.rename(folder / INDEX)
            _sync_folder(folder)

    def begin(self, head: Head) -> Writing:
        """A new file; within ``writing`` only."""
        folder = self._folder(head.partition)
        if not folder.is_dir():
            folder.mkdir()
            _sync_folder(self.path)
        return Writing(folder, head)

    def _folder(self, partition: int) -> Path:
        return self.path / str(partition)

    def _names(self, partition: int) -> list[str]:
        folder = self._folder(partition)
        return sorted(one.name for one in folder.iterdir() if _NAME.fullmatch(one.name)) if folder.is_dir() else []

    def _index(self, partition: int) -> list[File]:
        """The index's lines; the last one may have been cut off by a crash, then the file itself tells."""
        path = self._folder(partition) / INDEX
        *lines, rest = path.read_bytes().split(b"\n") if path.is_file() else [b""]
        del rest
        try:
            return [_lines.decode(line) for line in lines]
        except msgspec.DecodeError as error:
            raise HistoryError(
                f"{path} is damaged ({error}): put back a copy, or remove it (the files tell what is in it)",
                topic=self.topic, partition=partition,
            ) from None  # fmt: skip

    def _look(self, partition: int, name: str) -> File:
        """The index's line of a file, out of the file; raises HistoryError."""
        path = self._folder(partition) / name
        matched = _NAME.fullmatch(name)
        assert matched, name
        first, last = (int(part) for part in matched.groups())
        try:
            data = path.read_bytes()
            head, foot = read_head(data[:HEAD_BYTES])[0], read_foot(data[-FOOT.size :])
        except ArchiveError as error:
            raise self._error(partition, name, str(error), first, last) from None
        if (head.topic, head.partition, head.first, foot.last) != (self.topic, partition, first, last):
            raise self._error(partition, name, f"says that it is {head.topic}/{head.partition}", first, last)
        return line_of(name, head, foot, len(data), hashlib.sha256(data).hexdigest())

    def _error(self, partition: int, name: str, problem: str, first: int, last: int) -> HistoryError:
        return HistoryError(
            f"{self._folder(partition) / name} {problem}: put back a copy of it; or, while Kafka still has records "
            f"{first}..{last}, remove it and run `field archive` again",
            topic=self.topic, partition=partition, offset=first,
        )  # fmt: skip


class Writing:
    """A file that is being written; nobody sees it before ``close``."""

    def __init__(self, folder: Path, head: Head) -> None:
        self._folder = folder
        self._packer = Packer(head)
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._path = folder / f"{head.first:020}{_UNFINISHED}"
        self._out = self._path.open("wb")
        self._write(self._packer.start())

    @property
    def foot(self) -> Foot:
        return self._packer.foot

    def add(self, entry: Entry) -> None:
        self._write(self._packer.add(entry))

    def close(self, last: int) -> File:
        """Whole on the disk, under its name and in the index; ``last``: the offset up to which the log was read."""
        self._write(self._packer.finish(last))
        head = self._packer.head
        name = f"{head.first:020}-{last:020}{SUFFIX}"
        with self._out as out:
            _to_disk(out, b"")
        self._path.rename(self._folder / name)
        _sync_folder(self._folder)
        file = line_of(name, head, self._packer.foot, self._bytes, self._hash.hexdigest())
        with (self._folder / INDEX).open("ab") as index:
            _to_disk(index, msgspec.json.encode(file) + b"\n")
        return file

    def drop(self) -> None:
        """As if it had never been."""
        self._out.close()
        self._path.unlink(missing_ok=True)

    def _write(self, piece: bytes) -> None:
        self._out.write(piece)
        self._hash.update(piece)
        self._bytes += len(piece)


def line_of(name: str, head: Head, foot: Foot, size: int, sha256: str) -> File:
    """What the index says of a file."""
    return File(
        name, head.partitions, head.first, foot.last, foot.entries, foot.events, foot.time_min_ms, foot.time_max_ms,
        foot.received_min_ms, foot.received_max_ms, size, sha256,
    )  # fmt: skip


def _to_disk(out: IO[bytes], data: bytes) -> None:
    out.write(data)
    out.flush()
    os.fsync(out.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
