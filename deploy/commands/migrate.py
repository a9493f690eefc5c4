"""``field migrate``: topics and the database's schema, once, before any process of a new version starts.

The processes do the same at their start where they may; this is for where they may not (accounts with least rights),
and for a roll-out that has to know whether it went well before it touches anything that runs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg

from deploy import context
from projections import generations, migrate
from streams import topics
from streams.errors import PartUnavailable
from streams.settings import Settings

PAUSE_S: Final = 1.0
T = TypeVar("T")


def register(commands: Any) -> None:
    command = commands.add_parser("migrate", help="create the topics and bring the database to this version's schema")
    command.add_argument("--timeout", type=float, default=60.0, metavar="S", help="for a part to answer (default 60)")
    command.set_defaults(handler=run, is_step=True)


def run(args: argparse.Namespace) -> int:
    logging.getLogger("projections.migrate").setLevel(logging.ERROR)  # what it does is said here
    settings = context.load(role="migrator")
    deadline = time.monotonic() + args.timeout
    created = patiently(lambda: asyncio.run(topics.create(settings)), deadline)
    print(f"topics created: {', '.join(created) or 'none, all are there'}")
    applied = patiently(lambda: _database(settings), deadline)
    numbers = ", ".join(f"{number:03d}" for number in applied)
    print(f"migrations applied: {numbers or f'none, the schema is {len(migrate.migrations()):03d}'}")
    return 0


def _database(settings: Settings) -> list[int]:
    """Raises PartUnavailable, SchemaError, SettingError; psycopg.Error for what waiting does not help."""
    try:
        applied = migrate.migrate(settings.database_url, retention_days=settings.retention_days)
        generations.enter(settings)
    except psycopg.OperationalError as error:
        raise PartUnavailable("postgres", str(error).strip().splitlines()[0]) from error
    return applied


def patiently(work: Callable[[], T], deadline: float) -> T:
    """Again while a part does not answer; raises what the last try raised."""
    while True:
        try:
            return work()
        except PartUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
