"""``field status``: parts, edition, versions, processes, lag, positions, freshness."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from typing import Any

from deploy import backend, context, generations, live
from deploy.commands.output import print_json
from deploy.observe import Status


def register(commands: Any) -> None:
    status = commands.add_parser("status", help="what runs, how far it is, and how fresh")
    status.add_argument("--json", action="store_true", help="as schema/cli/status.json says")
    status.add_argument("--generation", metavar="G", help="another than the one that readers see")
    status.set_defaults(handler=run_status)


def run_status(args: argparse.Namespace) -> int:
    status = asyncio.run(backend.look(generations.followed(context.load(), args.generation)))
    if args.json:
        print_json(status)
    else:
        print("\n".join(lines(status)))
    return 0


def lines(status: Status) -> Iterator[str]:
    """The status for people."""
    yield f"generation {status.generation}, fold {status.fold_version}, home {status.home}"
    for part in status.parts:
        state = " ".join(("up", part.version)).strip() if part.up else "DOWN"
        problem = f": {part.problem}" if part.problem else ""
        yield f"  {part.part:<10} {part.where:<22} {part.runs:<14} {state}{problem}"
    if status.edition is not None:
        yield f"TimescaleDB, {status.edition.name} edition: {status.edition.meaning}"
        native = ", ".join(status.edition.native_aggregates) or "none"
        yield f"  native continuous aggregates: {native}"
    yield "processes:" if status.processes or status.endpoints else "processes: none of this home"
    for role in status.processes:
        how = "killed" if role.exit_code is None else f"exit {role.exit_code}"
        age = f"up {time.time() - role.started:,.0f} s" if role.up else f"DOWN ({how})"
        restarts = f", restarted {role.restarts} times" if role.restarts else ""
        yield f"  {role.role:<10} pid {role.pid:<8} {age}{restarts}{'; ' + role.advice if role.advice else ''}"
    for one in status.endpoints:
        yield f"  {one.role or '?':<10} {one.where:<22} {'up' if one.up else 'does not answer'}"
    yield "positions (last offset reflected, by partition) and records behind:"
    yield f"  {'log':<10} {_vector(status.end)}"
    for item in status.projections:
        fresh = "" if item.freshness_s is None else f"   {item.freshness_s:.1f} s old"
        behind = "?" if item.lag is None else sum(item.lag.values())
        yield f"  {item.projection:<10} {_vector(item.positions)}   behind {behind}{fresh}"
    counts = status.counts
    if counts.events is not None:
        bad = ", ".join(f"{reason} {number}" for reason, number in counts.rejected.items()) or "none"
        yield (
            f"events counted since the worker started: {counts.events}, folded {counts.folded}, duplicate "
            f"{counts.duplicate}, late {counts.late}, copied {counts.copied}, rejected: {bad}"
        )
    if not (status.processes or status.endpoints or any(part.up for part in status.parts)):
        yield "nothing runs here: `field up` starts it"
    figures = ", ".join(f"{name} {value}" for name, value in live.figures(status))
    yield f"the field: {figures or 'no fresh snapshot'}"


def _vector(positions: dict[int, int]) -> str:
    return " ".join(f"{partition}:{at}" for partition, at in sorted(positions.items())) or "none"
