"""``field doctor``: is everything as it should be, and what to do where it is not."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from deploy import context, generations
from deploy.commands.output import print_json
from deploy.doctor.examine import examine
from deploy.doctor.findings import Finding, line
from streams.errors import SettingError


def register(commands: Any) -> None:
    doctor = commands.add_parser("doctor", help="checks everything and says what to do; exit code 1: something is bad")
    doctor.add_argument("--json", action="store_true", help="as schema/cli/doctor.json says")
    doctor.add_argument("--warn", action="store_true", help="exit code 1 also where somebody should look (for a timer)")
    doctor.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    try:
        found = asyncio.run(examine(generations.followed(context.load())))
    except SettingError as error:
        found = [Finding("settings", "bad", str(error), "mend it; deploy/SETTINGS.md lists all")]
    if args.json:
        print_json(found)
    else:
        for item in found:
            print(line(item))
        counted = {state: sum(item.state == state for item in found) for state in ("ok", "warn", "bad")}
        print(", ".join(f"{count} {state}" for state, count in counted.items()))
    told = {"bad", "warn"} if args.warn else {"bad"}
    return int(any(item.state in told for item in found))
