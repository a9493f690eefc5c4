"""``field publish`` and ``field simulate``: events onto the log."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

from deploy import backend, context, generations, pacing
from deploy.commands import archive
from streams import contacts, simulate
from streams.errors import InputError
from streams.events import Event
from streams.packing import WIRES
from streams.simulate import Item
from streams.wire import encode_event

READ_BYTES = 1 << 20


def register(commands: Any) -> None:
    publish = commands.add_parser("publish", help="send JSON lines to the log")
    publish.add_argument("file", nargs="?", metavar="FILE", help="one event or array a line; - is standard input")
    publish.add_argument("--archive", type=Path, metavar="DIR", help="what `field archive` wrote, instead of a file")
    publish.add_argument("--wire", choices=WIRES, default="json", help="record form (default: lines as they are)")
    publish.set_defaults(handler=run_publish)

    fleet = commands.add_parser("simulate", help="a simulated fleet, or a recorded conference")
    fleet.add_argument("--devices", type=_positive, default=200)
    fleet.add_argument("--rate", type=float, default=200.0, help="events a second (default 200)")
    fleet.add_argument("--seed", type=int, default=1, help="the same seed gives the same events")
    fleet.add_argument("--duration", type=float, help="seconds; without it until Ctrl-C")
    fleet.add_argument("--start", type=int, help="epoch ms of the first event (default: now)")
    for name in ("late", "duplicates", "malformed", "opts"):
        fleet.add_argument(f"--{name}", type=_share, default=0.0, metavar="SHARE", help=f"share of {name}, 0..1")
    fleet.add_argument("--wire", choices=WIRES, default="json")
    fleet.add_argument("--print", action="store_true", help="JSON lines to standard output instead of the log")
    fleet.add_argument("--contacts", type=Path, metavar="FILE", help="publish a recorded proximity file and end")
    fleet.add_argument("--speed", type=_speed, default=1.0, help="with --contacts: file seconds a second, or max")
    fleet.add_argument("--at", choices=("now",), help="with --contacts: shift its times to the present")
    fleet.set_defaults(handler=run_simulate)


def run_publish(args: argparse.Namespace) -> int:
    if (args.file is None) == (args.archive is None):
        raise InputError("name one FILE (- is standard input), or --archive DIR")
    if args.archive is not None:
        return archive.run_publish(args.archive)
    if args.file != "-" and not Path(args.file).is_file():
        raise InputError(f"{args.file}: there is no such file")
    return asyncio.run(_publish(args))


async def _publish(args: argparse.Namespace) -> int:
    async with backend.of(generations.followed(context.load())).publisher(args.wire) as publisher:
        async for lines in _chunks(args.file):
            for line in lines:
                await publisher.publish_line(line)
            await publisher.push()
        count = await publisher.flush()
    invalid = f", {publisher.invalid} of them look invalid: the worker will reject them" if publisher.invalid else ""
    print(f"{count} events acknowledged by {publisher.store}{invalid}")
    return 0


async def _chunks(name: str) -> AsyncIterator[list[bytes]]:
    """Non-empty lines as they come, so that ``tail -f log | field publish -`` is live."""
    file = sys.stdin.fileno() if name == "-" else os.open(name, os.O_RDONLY)
    rest = b""
    try:
        while chunk := await asyncio.to_thread(os.read, file, READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            yield [line for line in lines if line.strip()]
        if rest.strip():
            yield [rest]
    finally:
        if name != "-":
            os.close(file)


def run_simulate(args: argparse.Namespace) -> int:
    if args.rate <= 0:
        raise InputError("--rate must be more than 0 events a second")
    if args.late + args.duplicates + args.malformed > 1:
        raise InputError("--late, --duplicates and --malformed together are more than 1")
    items, speed = (_contact_items(args), args.speed) if args.contacts else (_fleet_items(args), 1.0)
    if args.print:
        return _print(items)
    return asyncio.run(_play(items, speed, args.wire))


def _fleet_items(args: argparse.Namespace) -> Iterator[Item]:
    start = int(time.time() * 1000) if args.start is None else args.start
    fleet = simulate.Fleet(
        args.devices, args.rate, args.seed, start, args.late, args.duplicates, args.malformed, args.opts
    )
    return simulate.items(fleet, args.duration)


def _contact_items(args: argparse.Namespace) -> Iterator[Item]:
    """The file's events, due at their own times counted from the first one."""
    rows = contacts.read_rows(args.contacts)
    now_ms = int(time.time() * 1000)
    shift = contacts.shift_for(rows, now_ms // 1000, args.speed) if args.at == "now" else 0
    epoch = now_ms if args.at == "now" else 0
    return (Item(event.timestamp, event) for event in contacts.events(rows, shift, epoch))


async def _play(items: Iterable[Item], speed: float, wire: Any) -> int:
    """Publish items when they are due: ``at`` runs ``speed`` times as fast as the clock, ``inf`` is at once."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None
    loop.add_signal_handler(signal.SIGTERM, this.cancel)
    begun = time.monotonic()
    async with backend.of(generations.followed(context.load())).publisher(wire) as publisher:
        try:
            await pacing.play(publisher, items, speed)
        except asyncio.CancelledError:
            # Ctrl-C or SIGTERM is how an endless fleet ends: what was taken is still delivered and counted.
            this.uncancel()
        await publisher.flush()
    seconds = time.monotonic() - begun
    rate = publisher.acknowledged / seconds
    print(f"{publisher.acknowledged} events acknowledged by {publisher.store} in {seconds:.1f} s ({rate:,.0f}/s)")
    return 0


def _print(items: Iterable[Item]) -> int:
    for _, event in items:
        line = encode_event(event) if isinstance(event, Event) else event
        sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return value


def _speed(text: str) -> float:
    value = float("inf") if text == "max" else float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0, or max")
    return value
