"""``field state`` and ``field digest``: what the worker has kept, read from its changelog."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from deploy import backend, context, generations
from deploy.commands import as_of
from deploy.commands.output import print_json
from streams.changelog import Picture
from streams.changes import ShardView, load_view, merge
from streams.errors import InputError
from streams.fold.digest import digest
from streams.fold.merge import read_devices, read_pairs, read_rooms
from streams.fold.rules import Rules
from streams.replay.span import moment, position
from streams.settings import Settings

FIELD: Final = "field"
TABLES: Final = (FIELD, "resonance", "rooms", "entanglements", "particles", "quantum_fields")
KEYS: Final = {
    "resonance": ("device_id",),
    "rooms": ("room_id",),
    "entanglements": ("low", "high"),
    "particles": ("id", "device_id"),
    "quantum_fields": ("id", "device_id"),
}
"""What ``--key`` is compared with."""
TIMES: Final = ("at", "watermark", "opened", "last", "timestamp", "last_seen", "joined", "established")
SECONDS: Final = (("entanglements", "last"), ("entanglements", "established"))
"""Those of ``TIMES`` that are epoch seconds; the others are milliseconds."""


class Digest(msgspec.Struct):
    """``field digest``: SHA-256 by table at these positions (last offset folded, by partition)."""

    tables: dict[str, str]
    positions: dict[int, int]


class State(msgspec.Struct):
    """``field state``: rows of one table at ``at`` (epoch ms), out of the fold at these positions.

    ``as_of``: what was asked for, "position" or "time"; None is what the worker has kept.
    """

    table: str
    at: int
    watermark: int
    positions: dict[int, int]
    rows: list[dict[str, Any]]
    as_of: str | None = None


def register(commands: Any) -> None:
    state = commands.add_parser("state", help="the field, or one of its tables, at a time")
    state.add_argument("table", nargs="?", choices=TABLES, default=FIELD, metavar="TABLE", help=", ".join(TABLES))
    state.add_argument("--key", metavar="K", help="only this device, room or id")
    state.add_argument("--at", metavar="T", help="RFC 3339 or epoch ms (default: now, or the newest event)")
    state.add_argument("--as-of", metavar="POSITION|TIME", help=as_of.HELP)
    state.add_argument("--json", action="store_true", help="as schema/cli/state.json says")
    state.set_defaults(handler=run_state)
    digests = commands.add_parser("digest", help="SHA-256 of the state by table")
    digests.add_argument("--json", action="store_true", help="as schema/cli/digest.json says")
    for command in (state, digests):
        command.add_argument("--generation", metavar="G", help="another than the one that readers see")
    digests.set_defaults(handler=run_digest)


def run_digest(args: argparse.Namespace) -> int:
    settings = generations.followed(context.load(), args.generation)
    picture = asyncio.run(kept(settings))
    found = Digest(digest(picture.values.values(), settings.rules), dict(sorted(picture.positions.items())))
    if args.json:
        print_json(found)
        return 0
    for table, value in found.tables.items():
        print(f"{value}  {table}")
    print("at", " ".join(f"{partition}:{at}" for partition, at in found.positions.items()) or "nothing folded yet")
    return 0


def run_state(args: argparse.Namespace) -> int:
    if args.key is not None and args.table == FIELD:
        raise InputError("--key needs a table: " + ", ".join(TABLES[1:]))
    asked = None if args.at is None else moment(args.at, "--at")
    settings = generations.followed(context.load(), args.generation)
    if args.as_of is None:
        picture = asyncio.run(kept(settings))
        views = [load_view(value, settings.rules) for value in picture.values.values()]
        found = read(views, args.table, args.key, asked, settings.rules)
        found.positions = dict(sorted(picture.positions.items()))
    else:
        found = _read_past(args, asked, settings)
    if args.json:
        print_json(found)
    else:
        show(found)
    return 0


def _read_past(args: argparse.Namespace, asked: int | None, settings: Settings) -> State:
    prefix = position(args.as_of, "--as-of")
    if prefix is None:
        if asked is not None:
            raise InputError("--at goes with --as-of POSITION; a TIME is read at that time")
        asked = moment(args.as_of, "--as-of")
    past = asyncio.run(as_of.look(settings, prefix or {}, asked))
    found = read(past.views, args.table, args.key, past.at, settings.rules)
    found.positions, found.as_of = past.positions, "time" if prefix is None else "position"
    return found


async def kept(settings: Settings) -> Picture:
    """What the worker has kept by now, each partition at its position; raises PartUnavailable."""
    return await backend.of(settings).kept()


def read(views: Sequence[ShardView], table: str, key: str | None, asked: int | None, rules: Rules) -> State:
    """Rows of a table at ``asked`` ms; None is a live reading: the later of now and the watermark.

    Raises InputError for a time before the watermark: the shards do not hold what they were then.
    """
    watermark = max((view.watermark for view in views), default=-1)
    if asked is not None and asked < watermark:
        raise InputError(
            f"--at {time_text(asked)} is before the newest event folded ({time_text(watermark)}), and the worker keeps "
            f"no past: `field state {table} --as-of {time_text(asked)}` folds the log up to then"
        )
    at = max(int(time.time() * 1000), watermark) if asked is None else asked
    rows = [row for row in _rows(views, table, at, rules) if key is None or key in (row[name] for name in KEYS[table])]
    return State(table, at, watermark, {}, rows)


def _rows(views: Sequence[ShardView], table: str, at: int, rules: Rules) -> list[dict[str, Any]]:
    readers: dict[str, Callable[[Sequence[ShardView], int, Rules], Sequence[Any]]] = {
        "resonance": read_devices,
        "rooms": read_rooms,
        "entanglements": read_pairs,
    }
    if table in readers:
        return [msgspec.to_builtins(row) for row in readers[table](views, at, rules)]
    field = merge(views, at, rules)
    if table == FIELD:
        whole = msgspec.to_builtins(field)
        # Its long lists are tables of their own; here they are counted.
        return [{name: len(value) if isinstance(value, list) else value for name, value in whole.items()}]
    return [msgspec.to_builtins(row) for row in getattr(field, table)]


def show(state: State) -> None:
    """A table for people (tabs where it is no terminal); the field itself as name and value."""
    console = Console()
    vector = " ".join(f"{partition}:{at}" for partition, at in state.positions.items())
    past = f" as of a {state.as_of}" if state.as_of else ""
    head = f"{state.table} at {time_text(state.at)}{past}, positions {vector or 'none'}"
    console.print(head, highlight=False, soft_wrap=True)
    if state.table == FIELD:
        for name, value in state.rows[0].items():
            console.print(f"  {name:<28} {_cell(FIELD, name, value)}", highlight=False)
        return
    if not state.rows:
        console.print("  nothing")
        return
    names = [name for name in state.rows[0] if name != "participants"]
    if not console.is_terminal:
        print("\t".join(names))
        for row in state.rows:
            print("\t".join(_cell(state.table, name, row[name]) for name in names))
        return
    table = Table(*names)
    for row in state.rows:
        table.add_row(*(_cell(state.table, name, row[name]) for name in names))
    console.print(table)


def _cell(table: str, name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if name in TIMES and isinstance(value, int):
        return time_text(value * 1000 if (table, name) in SECONDS else value)
    if isinstance(value, dict | list | tuple):
        return msgspec.json.encode(value).decode()
    return "" if value is None else str(value)


def time_text(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return str(ms)
