"""The ``field`` command: the composition root, the one place that knows all parts.

Every error that this system raises on purpose ends as one line on stderr and its exit code; Ctrl-C ends quietly.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from deploy.commands import (
    archive,
    audit,
    backup,
    daemons,
    doctor,
    info,
    lock,
    migrate,
    publishing,
    reading,
    rejected,
    replay,
    stack,
    status,
    token,
    top,
    waiting,
)
from streams import logs
from streams.errors import FieldError
from streams.settings import Settings

FAMILIES = (
    stack, status, top, doctor, publishing, archive, backup, waiting, reading, rejected, replay, migrate, lock, daemons,
    token, audit, info,
)  # fmt: skip
INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    root = argparse.ArgumentParser(prog="field", description="The field: one living picture out of many small events.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for family in FAMILIES:
        family.register(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = parser().parse_args(argv)
    daemon = getattr(args, "logs", False)
    if not daemon:
        # Client libraries report every failed attempt; a command says the outcome once.
        logging.basicConfig(level=logging.CRITICAL)
    try:
        return int(args.handler(args))
    except FieldError as error:
        if daemon:  # its settings are wrong: it has not begun its log
            logs.start(getattr(args, "role", "supervisor"), Settings())
            logs.ends(logging.getLogger("field.process"), error, error.exit_code)
        else:
            print(f"field: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; the interpreter must not complain about it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
