"""``field replay``: rebuild the state from history beside the live one, prove that it is right, switch to it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from deploy import context, generations
from deploy.commands.output import print_json
from deploy.generations import Generation
from deploy.replay import checks, compare, planning, runs, switching, tiers
from deploy.replay.compare import Verdict
from streams import engine
from streams.errors import InputError
from streams.replay.span import Span, span
from streams.settings import Settings

INTERRUPTED = 130
SHOWN = 10
"""Differing rows printed; the report has more."""


def register(commands: Any) -> None:
    replay = commands.add_parser("replay", help="rebuild the state from history, compare, switch, undo")
    actions = replay.add_subparsers(dest="action", required=True, metavar="ACTION")
    plan = actions.add_parser("plan", help="what a replay would read, take and write; touches nothing")
    run = actions.add_parser("run", help="fold history into a new generation beside the live one; Ctrl-C pauses")
    for command in (plan, run):
        command.add_argument("--from", dest="since", metavar="PLACE", help="POSITION (0:41,1:7) or TIME")
        command.add_argument("--until", metavar="PLACE", help="POSITION or TIME; a part of the log is only looked at")
        command.add_argument("--room", help="only this room (to look at)")
        command.add_argument("--device", help="only this device and what names it (to look at)")
        command.add_argument(
            "--processes", type=_positive, default=os.cpu_count() or 1, help="at once (default: cores)"
        )
    plan.add_argument("--json", action="store_true", help="as schema/cli/replay-plan.json says")
    run.add_argument("--name", help="of the new generation (default: made of the time)")
    run.add_argument("--resume", metavar="NAME", help="go on with one that was paused or killed")
    run.add_argument("--max-rate", type=float, metavar="N", help="events a second at most")
    verify = actions.add_parser("verify", help="compare it with the live state, row by row, and with every store")
    verify.add_argument("name", nargs="?", help="default: the generation that readers see, with its stores only")
    verify.add_argument("--tiers", action="store_true", help="its database rows, aggregates and Redis as well")
    verify.add_argument("--json", action="store_true", help="as schema/cli/replay-verify.json says")
    switch = actions.add_parser("switch", help="let readers see it; refused while it differs")
    switch.add_argument("name")
    switch.add_argument("--accept", type=Path, metavar="REPORT", help="the differences in this report are meant")
    actions.add_parser("undo", help="back to the generation before the last switch")
    listing = actions.add_parser("list", help="all generations")
    listing.add_argument("--json", action="store_true", help="as schema/cli/replay-list.json says")
    drop = actions.add_parser("drop", help="stop it and delete all that it has")
    drop.add_argument("name")
    handlers = {
        plan: run_plan, run: run_run, verify: run_verify, switch: run_switch, listing: run_list, drop: run_drop,
        actions.choices["undo"]: run_undo,
    }  # fmt: skip
    for command, handler in handlers.items():
        command.set_defaults(handler=handler)


def run_plan(args: argparse.Namespace) -> int:
    found = asyncio.run(planning.plan(runs.new(_settings(), "planned"), _span(args), args.processes))
    if args.json:
        print_json(found)
    else:
        print("\n".join(planning.lines(found)))
    return 0


def run_run(args: argparse.Namespace) -> int:
    if args.max_rate is not None and not args.max_rate > 0:
        raise InputError("--max-rate must be more than 0 events a second")
    if args.resume and (args.name or not _span(args).whole):
        raise InputError("--resume goes on with what was begun: without --name, --from, --until, --room and --device")
    settings = _settings()
    begun = time.monotonic()
    if args.resume:
        replay = runs.resumed(settings, args.resume)
    else:
        replay = asyncio.run(runs.begin(settings, args.name or time.strftime("r%Y%m%d-%H%M%S"), _span(args)))
    name = replay.ours.generation
    print(f"folding into {name}", file=sys.stderr)
    done, folded = asyncio.run(runs.run(replay, args.processes, args.max_rate))
    if not done:
        print(f"paused; `field replay run --resume {name}` goes on")
        return INTERRUPTED
    print(f"{name}: {folded} events folded in {time.monotonic() - begun:.1f} s")
    if not replay.span.whole:
        generations.stage(settings, name, "inspection")
        print(f"a part of the log, to look at: `field state --generation {name}`; `field replay drop {name}` ends it")
        return 0
    engine.collect_seldom()
    verdict = asyncio.run(compare.compare(replay.live, replay.ours))
    _store(replay.ours, verdict)
    _tell(verdict)
    followed = switching.follow(settings, replay.ours)
    generations.stage(settings, name, "following")  # last: killed before, --resume comes here again
    if followed:
        print(
            f"{name} follows the log beside {replay.live.generation}; `field replay switch {name}` shows it to readers"
        )
    else:
        print(f"no processes run from this home: start worker, projector and publisher of {name} with")
        print("  " + " ".join(f"{key}={value}" for key, value in runs.differing(settings, replay.ours).items()))
    return 0 if verdict.equal else switching.NotEqual.exit_code


def run_verify(args: argparse.Namespace) -> int:
    settings = _settings()
    seen = generations.current(settings)
    named = generations.find(settings, args.name) if args.name else seen
    if named.stage != "following":
        raise InputError(f"{named.name} is {named.stage}: only what follows the log can be compared as a whole")
    ours, beside = named.over(settings), None if named.current else seen.over(settings)
    engine.collect_seldom()
    verdict = None if beside is None else asyncio.run(compare.compare(beside, ours))
    found = asyncio.run(tiers.check(ours, beside)) if beside is None or args.tiers else []
    if verdict is not None:
        # stores that were found to differ stay so until they are looked at again
        before = (named.verdict or {}).get("stores", [])
        verdict.stores = [check.tier for check in found if not check.equal] if args.tiers else before
        _store(ours, verdict)
    if args.json:
        print_json({"verdict": verdict, "tiers": found})
    else:
        if verdict is not None:
            _tell(verdict)
        for check in found:
            print(checks.line(check))
    equal = verdict is None or (verdict.equal and not verdict.stores)
    equal = equal and all(check.equal for check in found)
    return 0 if equal else switching.NotEqual.exit_code


def run_switch(args: argparse.Namespace) -> int:
    settings = _settings()
    before = switching.switch(settings, args.name, args.accept)
    print(f"readers see {args.name}; {before.name} runs on, `field replay undo` goes back to it")
    return 0


def run_undo(args: argparse.Namespace) -> int:
    before, now = switching.undo(_settings())
    print(f"readers see {now.name} again; {before.name} runs on")
    return 0


def run_list(args: argparse.Namespace) -> int:
    found = generations.known(_settings())
    if args.json:
        print_json(found)
    else:
        for generation in found:
            print(_line(generation))
    return 0


def run_drop(args: argparse.Namespace) -> int:
    left = asyncio.run(switching.drop(_settings(), args.name))
    for line in left:
        print(f"not deleted, {line}", file=sys.stderr)
    print(f"{args.name} is gone")
    return 0


def _settings() -> Settings:
    """Of this home; raises InputError where its log is in SQLite, which rebuilds its state by itself."""
    settings = context.load()
    if settings.parts == "embedded":
        raise InputError("the embedded field rebuilds its state by itself, at its start; `field archive` moves its log")
    return settings


def _span(args: argparse.Namespace) -> Span:
    return span(args.since, args.until, args.room, args.device)


def _store(ours: Settings, verdict: Verdict) -> None:
    path = switching.store(ours, ours.generation, verdict)
    print(f"report: {path}", file=sys.stderr)


def _tell(verdict: Verdict) -> None:
    at = " ".join(f"{partition}:{offset}" for partition, offset in verdict.positions[verdict.replayed].items())
    print(f"{verdict.replayed} against {verdict.live} at {at}: {'equal' if verdict.equal else 'DIFFERENT'}")
    if verdict.stores:
        print(f"  stores that differ, as last looked at with --tiers: {', '.join(verdict.stores)}")
    for table, digest in verdict.digests[verdict.replayed].items():
        count = verdict.counts[table]
        print(f"  {table:<15} {digest[:16]}  {f'{count} rows differ' if count else 'equal'}")
    for item in verdict.differences[:SHOWN]:
        key = "/".join(str(value) for value in item.key)
        print(f"  {item.table} {key}")
        print(f"    {verdict.live}: {_row(item.live)}\n    {verdict.replayed}: {_row(item.replayed)}")


def _row(row: list[Any] | None) -> str:
    return "nothing" if row is None else msgspec.json.encode(row).decode()


def _line(generation: Generation) -> str:
    seen = "readers see it" if generation.current else "before the last switch" if generation.previous else ""
    verdict = generation.verdict
    told = "" if verdict is None else f"{'equal to' if verdict['equal'] else 'differs from'} {verdict['live']}"
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(generation.made))
    words = (generation.name, generation.stage, f"fold {generation.fold_version}", f"made {made}", told, seen)
    return "  ".join(word for word in words if word)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
