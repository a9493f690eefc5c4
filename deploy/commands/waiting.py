"""``field wait``: until everything reflects the end of the log as it was when asked."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from typing import Any, Final

from deploy import backend, context, generations, positions
from deploy.backend import Reader, Watch
from deploy.positions import Behind, Positions
from streams.errors import PartUnavailable
from streams.settings import Settings

PAUSE_S: Final = 0.1
LOOK_S: Final = 1.0
"""Each part gets this long to answer even where the deadline is nearer: ``--timeout 0`` is one look."""


def register(commands: Any) -> None:
    wait = commands.add_parser("wait", help="until every projection reflects the log as it is now")
    wait.add_argument("--timeout", type=_seconds, default=120.0, metavar="S", help="seconds (default 120)")
    wait.add_argument("--generation", metavar="G", help="another than the one that readers see")
    wait.set_defaults(handler=run_wait)


def run_wait(args: argparse.Namespace) -> int:
    begun = time.monotonic()
    late = asyncio.run(reach(generations.followed(context.load(), args.generation), args.timeout))
    for line in late:
        print(f"field wait: {line}", file=sys.stderr)
    if late:
        return 1
    print(f"everything reflects the log as it was {time.monotonic() - begun:.1f} s ago")
    return 0


async def reach(settings: Settings, timeout_s: float) -> list[str]:
    """Empty once all is reached; at the timeout one line for each projection that lags or part that does not answer.

    Without the log there is nothing to wait for: then its own line comes at once.
    """
    deadline = time.monotonic() + timeout_s
    keeps = backend.of(settings)
    log = keeps.watch()
    try:
        async with asyncio.timeout(_left(deadline)):
            await log.__aenter__()
            targets = await log.ends()
    except (PartUnavailable, TimeoutError) as error:
        await log.stop()
        where = f"{keeps.log_name} does not answer in time"
        return [f"the log cannot be asked for its end: {str(error) or where}"]
    try:
        return await _until_reached(settings, log, targets, deadline)
    finally:
        await log.stop()


async def _until_reached(settings: Settings, log: Watch, targets: Positions, deadline: float) -> list[str]:
    keeps = backend.of(settings)
    readers: dict[str, Reader] = {keeps.log_name: lambda _: _worker(log), **keeps.projections()}
    while True:
        left = _left(deadline)
        answers = await asyncio.gather(*(_ask(part, reader, targets, left) for part, reader in readers.items()))
        lines = [line for found in answers for line in found]
        # What is reached stays reached: positions only rise.
        readers = {part: readers[part] for part, found in zip(readers, answers, strict=True) if found}
        if not lines or time.monotonic() >= deadline:
            return lines
        await asyncio.sleep(PAUSE_S)


async def _ask(part: str, reader: Reader, targets: Positions, timeout_s: float) -> list[str]:
    try:
        async with asyncio.timeout(timeout_s):
            found = await reader(min(timeout_s, positions.ASK_S))
    except PartUnavailable as error:
        return [str(error)]
    except TimeoutError:
        return [f"{part} does not answer in time"]
    late: list[Behind] = []
    for projection, at in found.items():
        late += positions.behind(projection, at, targets)
    return positions.told(late)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), LOOK_S)


def _seconds(text: str) -> float:
    value = float(text)
    if math.isnan(value) or value < 0:
        raise argparse.ArgumentTypeError("must be 0 or more seconds")
    return value


async def _worker(log: Watch) -> dict[str, Positions]:
    return {positions.WORKER: await log.worker()}
