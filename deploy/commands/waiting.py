"""``field wait``: until everything reflects the end of the log as it was when asked."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from deploy import context, positions
from deploy.positions import Behind, Positions
from streams.errors import PartUnavailable
from streams.settings import Settings

PAUSE_S: Final = 0.1
EXPECTED: Final = (positions.RAW, positions.STATE, positions.STATES)
"""Projections that must have positions in the database; one that has none yet is wholly behind."""


def register(commands: Any) -> None:
    wait = commands.add_parser("wait", help="until every projection reflects the log as it is now")
    wait.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds (default 120)")
    wait.set_defaults(handler=run_wait)


def run_wait(args: argparse.Namespace) -> int:
    begun = time.monotonic()
    late = asyncio.run(reach(context.load(), args.timeout))
    for line in late:
        print(f"field wait: {line}", file=sys.stderr)
    if late:
        return 1
    print(f"everything reflects the log as it was {time.monotonic() - begun:.1f} s ago")
    return 0


async def reach(settings: Settings, timeout_s: float) -> list[str]:
    """Empty once all is reached; at the timeout one line for each thing that lags or does not answer.

    Raises PartUnavailable only when the log itself cannot be asked for its ends.
    """
    async with positions.LogWatch(settings) as log:
        return await _until_reached(settings, log, timeout_s)


async def _until_reached(settings: Settings, log: positions.LogWatch, timeout_s: float) -> list[str]:
    targets = await log.ends()
    deadline = time.monotonic() + timeout_s
    readers: list[Callable[[], Awaitable[dict[str, Positions]]]] = [
        lambda: _worker(log),
        lambda: asyncio.to_thread(_database, settings),
        lambda: asyncio.to_thread(_redis, settings),
    ]
    while True:
        answers = await asyncio.gather(*(_ask(reader, targets) for reader in readers))
        lines = [line for found in answers for line in found]
        # What is reached stays reached: positions only rise.
        readers = [reader for reader, found in zip(readers, answers, strict=True) if found]
        if not lines or time.monotonic() >= deadline:
            return lines
        await asyncio.sleep(PAUSE_S)


async def _ask(reader: Callable[[], Awaitable[dict[str, Positions]]], targets: Positions) -> list[str]:
    try:
        found = await reader()
    except PartUnavailable as error:
        return [str(error)]
    late: list[Behind] = []
    for projection, at in found.items():
        late += positions.behind(projection, at, targets)
    return [str(item) for item in late]


async def _worker(log: positions.LogWatch) -> dict[str, Positions]:
    return {positions.WORKER: await log.worker()}


def _database(settings: Settings) -> dict[str, Positions]:
    found = positions.of_database(settings)
    return {name: found.get(name, {}) for name in (*EXPECTED, *found)}


def _redis(settings: Settings) -> dict[str, Positions]:
    return {positions.REDIS: positions.of_redis(settings)}
