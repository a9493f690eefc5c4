"""``field env`` and ``field settings``: the settings in force, and the page about all of them."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from deploy import context, generations
from streams.settings import page


def register(commands: Any) -> None:
    env = commands.add_parser("env", help="the settings in force as shell exports")
    env.add_argument("--secrets", action="store_true", help="with passwords, and what psql and redis-cli read")
    env.set_defaults(handler=run_env)
    settings = commands.add_parser("settings", help="all settings with default and reason (Markdown)")
    settings.set_defaults(handler=run_settings)


def run_env(args: argparse.Namespace) -> int:
    for name, value in context.shell(generations.followed(context.load()), secrets=args.secrets).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def run_settings(args: argparse.Namespace) -> int:
    print(page(), end="")
    return 0
