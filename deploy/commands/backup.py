"""``field backup`` and ``field restore``: log, database and dead letters into a folder and back into an empty place."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy import bringup, context, generations
from deploy.backup import manifest
from deploy.backup.make import backup
from deploy.backup.manifest import Manifest
from deploy.backup.restore import Restored, check_settings, restore
from deploy.commands.archive import bar
from deploy.commands.output import print_json
from deploy.local import parts
from deploy.locked.home import restoring
from streams.errors import BackupError, InputError

WAIT_S: Final = 60.0


class Made(msgspec.Struct):
    """``field backup``: ``bytes`` of all files, ``fresh_bytes`` of those that this backup has added."""

    name: str
    folder: str
    rows: int
    events: int
    letters: int
    bytes: int
    fresh_bytes: int
    state: bool
    seconds: dict[str, float]
    removed: list[str]


class Verified(msgspec.Struct):
    """``field backup verify``: ``problems`` are lines that say what is wrong."""

    name: str
    folder: str
    files: int
    bytes: int
    problems: list[str]


def register(commands: Any) -> None:
    make = commands.add_parser("backup", help="log, database and dead letters into a folder, or verify one")
    make.add_argument("words", nargs="+", metavar="[verify] DIR", help="verify: reads every byte of the newest one")
    make.add_argument("--at", metavar="NAME", help="verify: another one than the newest")
    make.add_argument("--keep", type=_positive, metavar="N", help="then remove all backups but the newest N")
    make.add_argument(
        "--timeout", type=float, default=WAIT_S, metavar="S", help="for the worker to fold what there is (default 60)"
    )
    make.add_argument("--json", action="store_true", help="as schema/cli/backup.json says")
    make.set_defaults(handler=run_backup, is_step=True)
    back = commands.add_parser("restore", help="a backup into an empty place; compares what comes out")
    back.add_argument("folder", type=Path, metavar="DIR")
    back.add_argument("--at", metavar="NAME", help="another one than the newest")
    back.add_argument("--json", action="store_true", help="as schema/cli/restore.json says")
    back.set_defaults(handler=run_restore, is_step=True)


def run_backup(args: argparse.Namespace) -> int:
    *action, folder = args.words
    if action and action != ["verify"]:
        raise InputError(f"`field backup {' '.join(args.words)}`: one folder, or verify and a folder")
    if action:
        return _verify(Path(folder), args.at, args.json)
    if args.at:
        raise InputError("--at goes with verify")
    settings = generations.followed(context.load(role="backup"))
    target = Path(folder)
    before = {one.name for one in manifest.load(target).files()} if _has_some(target) else set()
    with bar("archiving", 0, "records") as progress:
        found = backup(settings, target, args.timeout, progress)
    removed = manifest.forget(target, args.keep) if args.keep else []
    made = _made(found, target, before, removed)
    if not made.state:
        print("field: the worker has not folded all of the log in time, so a restore of this backup cannot compare "
              "the state; the log and the rows are whole", file=sys.stderr)  # fmt: skip
    if args.json:
        print_json(made)
        return 0
    print(f"{target / made.name}: {made.rows} rows, {made.events} events, {made.letters} letters, {made.bytes} bytes"
          f" ({made.fresh_bytes} of them new) in {_told(made.seconds)}")  # fmt: skip
    for name in removed:
        print(f"removed {target / name}")
    return 0


def _has_some(folder: Path) -> bool:
    return folder.is_dir() and bool(manifest.names(folder))


def _made(found: Manifest, folder: Path, before: set[str], removed: list[str]) -> Made:
    files = found.files()
    return Made(
        found.name, str(folder), sum(one.rows for one in found.database.tables.values()), found.log.events,
        found.letters.records, sum(one.bytes for one in files),
        sum(one.bytes for one in files if one.name not in before), found.state is not None, found.seconds, removed,
    )  # fmt: skip


def _verify(folder: Path, name: str | None, as_json: bool) -> int:
    found = manifest.load(folder, name)
    total = sum(one.bytes for one in found.files())
    with bar("verifying", total, "bytes") as progress:
        problems = manifest.problems(folder, found, lambda size: progress(0, size))
    verified = Verified(found.name, str(folder), len(found.files()), total, problems)
    if as_json:
        print_json(verified)
    for problem in problems:
        print(f"field: {problem}", file=sys.stderr)
    if not as_json:
        right = f"{len(problems)} problems" if problems else "every byte as it was written"
        print(f"{folder / found.name}: {verified.files} files, {total} bytes: {right}")
    return BackupError.exit_code if problems else 0


def run_restore(args: argparse.Namespace) -> int:
    home = context.home_of(os.environ)
    running = bringup.supervisor_of(home)
    if running is not None:
        raise InputError(f"processes run here (supervisor pid {running.pid}); a restore wants an empty place at rest")
    found = manifest.load(args.folder, args.at)
    say = _aside if args.json else print
    check_settings(context.load(), found)
    settings = bringup.places(os.environ, say)
    if parts.choose(settings)[0] != "none":  # whoever runs them starts them
        parts.start(settings, echo=say)
    restored = restore(restoring(settings), args.folder, found, bar)
    if args.json:
        print_json(restored)
        return 0
    _tell(restored)
    return 0


def _tell(found: Restored) -> None:
    print(f"{found.name}: {found.rows} rows in {found.tables} tables, as they were saved; {found.events} events, "
          f"{found.letters} letters; in {_told(found.seconds)}")  # fmt: skip
    if found.state is None:
        print("the state was folded and not compared: the backup has no digests of this fold")
    else:
        for table, value in found.state.items():
            print(f"  {table:<15} {value[:16]}  equal")
    print("`field up` starts the processes; the rows of the state follow from the changelog")


def _told(seconds: dict[str, float]) -> str:
    each = ", ".join(f"{step} {spent:.1f}" for step, spent in seconds.items())
    return f"{sum(seconds.values()):.1f} s ({each})"


def _aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
