"""``field audit``: what is installed against what was asked for, known vulnerabilities, licences. Without a network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from deploy.audit import advisories, installed, licences


def register(commands: Any) -> None:
    audit = commands.add_parser("audit", help="dependencies: pins, known vulnerabilities, licences; asks no network")
    audit.add_argument("--advisories", type=Path, metavar="PATH", help="OSV's JSON about PyPI: a file, folder or zip")
    audit.add_argument("--licences", action="store_true", help="print the list of licences instead (Markdown)")
    audit.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    requirements = installed.asked()
    packages, problems = installed.needed(requirements)
    if args.licences:
        print(licences.page(packages), end="")
        return 0
    problems += installed.pins(requirements) + licences.refused(packages)
    print(f"{len(packages)} packages installed for {len(requirements)} requirements")
    if args.advisories is None:
        print(
            "NOT CHECKED FOR KNOWN VULNERABILITIES: no advisory data was given. Bring OSV's export for PyPI (all.zip) "
            "and say `field audit --advisories PATH`",
            file=sys.stderr,
        )
    else:
        data = advisories.read(args.advisories)
        found = advisories.hits(data, packages)
        problems += [f"{one.package} {one.version}: {one.advisory}: {one.summary}" for one in found]
        newest = f"the newest of {data.newest or 'unknown time'}"
        print(f"checked against {len(data.advisories)} advisories, {newest}: {len(found)} concern what is installed")
    for problem in problems:
        print(f"  {problem}")
    print(f"{len(problems)} problems" if problems else "no problem found in what was checked")
    return 1 if problems else 0
