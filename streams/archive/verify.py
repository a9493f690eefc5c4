"""Is an archive what was written? Every checksum, every block, and no record missing in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from streams.archive.format import read_file, read_foot, read_head
from streams.archive.store import File, Store, line_of
from streams.errors import ArchiveError, HistoryError, InputError


class Verdict(msgspec.Struct):
    """What was found in the archive of one topic; ``problems`` are lines that say what to do."""

    topic: str
    folder: str
    files: int
    events: int
    bytes: int
    problems: list[str]


def stores(folder: Path) -> list[Store]:
    """The archives in a folder: of several topics, or it is one topic's own; raises InputError for none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    here = Store(folder.resolve().parent, folder.resolve().name)
    found = [here] if here.partitions() else [Store(folder, one.name) for one in sorted(folder.iterdir())]
    found = [store for store in found if store.partitions()]
    if not found:
        raise InputError(f"{folder} has no archive; `field archive --to {folder}` writes one")
    return found


def verify(store: Store, progress: Callable[[File], None] = lambda file: None) -> Verdict:
    """Reads all of it."""
    verdict = Verdict(store.topic, str(store.path), 0, 0, 0, [])
    for partition in store.partitions():
        try:
            files = store.files(partition)
        except HistoryError as error:
            verdict.problems.append(str(error))
            continue
        at = files[0].first if files else 0
        for file in files:
            if file.first != at:
                verdict.problems.append(str(_hole(store, partition, at, file.first)))
            at = file.last + 1
            try:
                _read(store, partition, file)
            except HistoryError as error:
                verdict.problems.append(str(error))
            verdict.files += 1
            verdict.events += file.events
            verdict.bytes += file.bytes
            progress(file)
    return verdict


def _read(store: Store, partition: int, file: File) -> None:
    data = store.read(partition, file)
    try:
        (head, _), foot = read_head(data), read_foot(data)
        for _ in read_file(data):
            pass
    except ArchiveError as error:
        raise store.damaged(partition, file, error) from None
    if (head.topic, head.partition) != (store.topic, partition):
        raise store.damaged(partition, file, ArchiveError(f"is of {head.topic}/{head.partition}"))
    if line_of(file.name, head, foot, len(data), file.sha256) != file:
        raise store.damaged(partition, file, ArchiveError("says something else than the index"))


def _hole(store: Store, partition: int, start: int, end: int) -> HistoryError:
    return HistoryError(
        f"records {start}..{end - 1} are not in the archive {store.path}: put back its file, or run `field archive` "
        "while Kafka has them",
        topic=store.topic, partition=partition, offset=start,
    )  # fmt: skip
