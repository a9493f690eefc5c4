"""``field archive``: the log into files; ``field publish --archive``: files onto a log again."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deploy import backend, context
from deploy.commands.output import print_json
from streams import topics
from streams.archive.history import ArchiveHistory
from streams.archive.publish import publish, published
from streams.archive.store import Store
from streams.archive.verify import Verdict, stores, verify
from streams.archive.write import Progress as Told
from streams.archive.write import archive
from streams.errors import HistoryError, InputError
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.validate import Limits

_POSITION: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


class Written(msgspec.Struct):
    """One new file: ``events`` in the records ``first`` to ``last`` of a partition."""

    partition: int
    name: str
    first: int
    last: int
    events: int
    bytes: int


class Archived(msgspec.Struct):
    """``field archive``: what this run wrote, and how many records are still in Kafka only."""

    topic: str
    folder: str
    events: int
    bytes: int
    files: list[Written]
    open_records: int


def register(commands: Any) -> None:
    parser = commands.add_parser("archive", help="write closed stretches of the log to files, or verify them")
    parser.add_argument("action", nargs="?", choices=("verify",), help="verify: every checksum, nothing missing")
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="what to verify (default: FIELD_ARCHIVE)")
    parser.add_argument("--to", type=Path, metavar="DIR", help="the archive's folder (default: FIELD_ARCHIVE)")
    parser.add_argument("--all", action="store_true", help="the open rest too, up to the end of the log")
    parser.add_argument("--until", nargs="+", metavar="P:OFFSET", help="up to and with these records, by partition")
    parser.add_argument("--json", action="store_true", help="as schema/cli/archive.json says")
    parser.set_defaults(handler=run_archive)


def run_archive(args: argparse.Namespace) -> int:
    settings = context.load()
    folder = args.folder or args.to or (Path(settings.archive) if settings.archive else None)
    if folder is None:
        raise InputError("no folder for the archive: --to DIR, or FIELD_ARCHIVE")
    if args.action == "verify":
        return _verify(folder, args.json)
    if args.all and args.until:
        raise InputError("--all and --until say two different ends")
    until = None if args.until is None else ends(args.until)
    found = asyncio.run(_archive(settings, folder, until, args.all))
    if args.json:
        print_json(found)
        return 0
    for file in found.files:
        print(f"{Path(found.folder) / str(file.partition) / file.name}  {file.events} events, {file.bytes} bytes")
    each = f" ({found.bytes / found.events:.1f} an event)" if found.events else ""
    print(
        f"{found.events} events archived in {found.bytes} bytes{each}; {found.open_records} records are in the log only"
    )
    return 0


async def _archive(settings: Settings, folder: Path, until: dict[int, int] | None, rest: bool) -> Archived:
    store = Store(folder, settings.events_topic)
    async with backend.of(settings).log() as history:
        before = await ArchiveHistory(store, settings.partitions).bounds()
        bounds = await history.bounds()
        missing = sum(max(0, end - before.get(number, (0, first))[1]) for number, (first, end) in bounds.items())
        with bar("archiving", missing, "records") as progress:
            written = await archive(history, store, settings.partitions, until=until, rest=rest, progress=progress)
        after = await ArchiveHistory(store, settings.partitions).bounds()
    files = [Written(number, one.name, one.first, one.last, one.events, one.bytes) for number, one in written]
    rest_records = sum(end - max(first, after.get(number, (0, first))[1]) for number, (first, end) in bounds.items())
    return Archived(
        store.topic, str(store.path), sum(one.events for one in files), sum(one.bytes for one in files), files,
        max(0, rest_records),
    )  # fmt: skip


def _verify(folder: Path, as_json: bool) -> int:
    found: list[Verdict] = []
    for store in stores(folder):
        total = sum(one.stat().st_size for one in store.path.rglob("*.field"))
        with bar("verifying", total, "bytes") as progress:
            found.append(verify(store, lambda file, tell=progress: tell(0, file.bytes)))  # type: ignore[misc]
    if as_json:
        print_json(found)
    for one in found:
        for problem in one.problems:
            print(f"field: {problem}", file=sys.stderr)
        if not as_json:
            right = f"{len(one.problems)} problems" if one.problems else "every checksum right, nothing missing"
            print(f"{one.folder}: {one.events} events in {one.files} files, {one.bytes} bytes: {right}")
    return HistoryError.exit_code if any(one.problems for one in found) else 0


def run_publish(folder: Path) -> int:
    """``field publish --archive DIR``."""
    found = stores(folder)
    if len(found) > 1:
        names = ", ".join(str(store.path) for store in found)
        raise InputError(f"{folder} has the archives of several topics; name one of {names}")
    settings = context.load()
    if settings.parts == "embedded":
        raise InputError("an archive is published to Kafka, and this home runs embedded: `field down`, then `field up`"
                         " with parts (FIELD_PARTS=docker, local or none)")  # fmt: skip
    sent = asyncio.run(_publish(settings, found[0]))
    print(f"{sent} events of {found[0].path} acknowledged by the broker (what it had before is not sent again)")
    return 0


async def _publish(settings: Settings, store: Store) -> int:
    history = ArchiveHistory(store)
    limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
    total = sum(file.events for files in history.files.values() for file in files)
    with store.writing():  # two at once would both send
        await topics.create(settings, only=(settings.events_topic,))
        marks = await published(settings, store.topic)
        async with LogPublisher(settings, "frame") as publisher:
            with bar("publishing", total, "events") as progress:
                return await publish(history, publisher, marks, limits, progress)


def ends(positions: list[str]) -> dict[int, int]:
    """``P:OFFSET`` (or several, with commas) as offsets to stop before; raises InputError."""
    found = {}
    for text in ",".join(positions).split(","):
        matched = _POSITION.fullmatch(text.strip())
        if matched is None:
            raise InputError(f"--until {text!r} is not PARTITION:OFFSET, such as 0:1200")
        found[int(matched[1])] = int(matched[2]) + 1
    return found


@contextmanager
def bar(what: str, total: int, unit: str) -> Iterator[Told]:
    """A progress bar on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda _, count: shown.advance(task, count)
