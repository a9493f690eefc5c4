"""One process of a replay: folds one partition, says how far it is on standard output, takes its pace from standard
input (``rate N`` events a second, ``rate -`` as fast as it goes, ``stop``; the end of input stops it, too).
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Final

import msgspec
import uvloop

from deploy.replay.locks import WAIT_S, locked
from streams.app import GC_THRESHOLDS
from streams.archive.history import open_history
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


def run(settings: Settings, partition: int, end: int, span: Span, rate: float | None) -> int:
    """Fold up to before offset ``end``; the exit code. Raises what ``ReplayFold.run`` raises, and InputError.

    One that outlives its killed parent for a moment is waited for: two at once would show each other's rows.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with locked(settings, str(partition), WAIT_S):
        return uvloop.run(_run(settings, partition, end, span, Pace(rate)))


async def _run(settings: Settings, partition: int, end: int, span: Span, pace: Pace) -> int:
    listening = asyncio.create_task(_listen(pace))
    try:
        async with open_history(settings) as history:
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
