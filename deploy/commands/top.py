"""``field top``: what runs, by process and partition, drawn anew every second; or once, for people or programs."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from deploy import context, generations
from deploy.commands.output import print_json
from deploy.top import draw
from deploy.top.look import Looker
from deploy.top.rows import Look, Top, top
from streams.errors import InputError
from streams.setting_checks import place_problem

WIDTH: Final = 120
"""Of what is printed where there is no terminal, which would say how wide it is."""


def register(commands: Any) -> None:
    command = commands.add_parser("top", help="processes, partitions and gateways, live; most lag first")
    command.add_argument("--once", action="store_true", help="print one table, after two looks")
    command.add_argument("--json", action="store_true", help="print one document, as schema/cli/top.json says")
    command.add_argument("--interval", type=float, default=1.0, metavar="S", help="between two looks (default 1)")
    command.add_argument("--endpoint", action="append", default=[], metavar="HOST:PORT", help="of one more process")
    command.add_argument("--generation", metavar="G", help="another than the one that readers see")
    command.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    if args.interval <= 0:
        raise InputError("--interval must be above 0 seconds")
    for where in args.endpoint:
        if problem := place_problem(where):
            raise InputError(f"--endpoint: {problem}")
    asyncio.run(_run(args))
    return 0


async def _run(args: argparse.Namespace) -> None:
    looker = Looker(generations.followed(context.load(), args.generation), args.endpoint)
    console = Console()
    try:
        if args.json or args.once or not console.is_terminal:
            found = await _twice(looker.look, args.interval)
            if args.json:
                print_json(found)
            else:
                Console(width=None if console.is_terminal else WIDTH).print(draw.picture(found))
        else:
            await _live(looker.look, args.interval, console)
    finally:
        await looker.stop()


async def _twice(look: Callable[[], Awaitable[Look]], interval_s: float) -> Top:
    first = await look()
    await asyncio.sleep(interval_s)
    return top(first, await look())


async def _live(look: Callable[[], Awaitable[Look]], interval_s: float, console: Console) -> None:
    before: Look | None = None
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            now = await look()
            live.update(draw.picture(top(before, now)), refresh=True)
            before = now
            await asyncio.sleep(interval_s)
