"""One process of a replay: folds one partition, says how far it is on standard output, takes its pace from standard
input (``rate N`` events a second, ``rate -`` as fast as it goes, ``stop``; the end of input stops it, too).

A program of its own, ``python -m deploy.replay.child``: all that ``field`` imports would take a second for each
partition.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import Final

import msgspec
import uvloop

from deploy import context
from deploy.replay.locks import WAIT_S, locked
from streams import engine
from streams.archive.history import open_history
from streams.errors import FieldError
from streams.replay.fold import ReplayFold
from streams.replay.pace import Pace
from streams.replay.span import Span
from streams.settings import Settings

PAUSED: Final = 75
"""Exit code of one that was stopped before its end (EX_TEMPFAIL)."""


class Told(msgspec.Struct):
    """A line of standard output: last offset folded, events folded since the start of the process."""

    position: int
    events: int


def command(partition: int, end: int, span: Span, rate: str, role: str) -> list[str]:
    """Arguments that start one; ``rate`` as it is told on standard input, ``role``: whose account it has."""
    told = msgspec.json.encode(span).decode()
    words = {"partition": str(partition), "end": str(end), "span": told, "rate": rate, "role": role}
    return [sys.executable, "-m", __name__, *(f"--{name}={word}" for name, word in words.items())]


def main() -> int:
    """As the command line says; the exit code."""
    parser = argparse.ArgumentParser()
    for name, kind in (("partition", int), ("end", int), ("span", str), ("rate", str), ("role", str)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)  # whoever started it wants one line, the reason of its end
    span = msgspec.json.decode(args.span, type=Span, strict=False)
    rate = None if args.rate == "-" else float(args.rate)
    try:
        return run(context.load(role=args.role), args.partition, args.end, span, rate)
    except FieldError as error:
        print(f"field: {error}", file=sys.stderr)
        return error.exit_code


def run(settings: Settings, partition: int, end: int, span: Span, rate: float | None) -> int:
    """Fold up to before offset ``end``; the exit code. Raises what ``ReplayFold.run`` raises, and InputError.

    One that outlives its killed parent for a moment is waited for: two at once would show each other's rows.
    """
    engine.collect_seldom()
    with locked(settings, str(partition), WAIT_S):
        return uvloop.run(_run(settings, partition, end, span, Pace(rate)))


async def _run(settings: Settings, partition: int, end: int, span: Span, pace: Pace) -> int:
    listening = asyncio.create_task(_listen(pace))
    try:
        async with open_history(settings, partition) as history:
            fold = ReplayFold(settings, partition, history, span, pace)
            return 0 if await fold.run(end, _tell) else PAUSED
    finally:
        listening.cancel()


async def _listen(pace: Pace) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        word, _, value = line.decode().strip().partition(" ")
        if word == "rate":
            pace.rate = None if value == "-" else float(value)
        elif word == "stop":
            break
    pace.stop.set()


def _tell(position: int, events: int) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(Told(position, events)) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
