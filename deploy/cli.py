"""The ``field`` command: the composition root, the one place that knows all parts.

Every error that this system raises on purpose ends as one line on stderr and its exit code; Ctrl-C ends quietly.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Final

from deploy import steps
from streams import logs
from streams.errors import FieldError
from streams.settings import Settings

FAMILIES: Final = {
    "stack": ("run", "up", "down", "clean", "supervise"),
    "status": ("status",),
    "top": ("top",),
    "doctor": ("doctor",),
    "publishing": ("publish", "simulate"),
    "archive": ("archive",),
    "backup": ("backup", "restore"),
    "waiting": ("wait",),
    "reading": ("state", "digest"),
    "rejected": ("rejected",),
    "replay": ("replay",),
    "migrate": ("migrate",),
    "lock": ("lock",),
    "daemons": ("worker", "projector", "publisher", "gateway"),
    "token": ("token",),
    "audit": ("audit",),
    "info": ("env", "settings"),
}
"""Modules of ``deploy/commands`` and the commands that each registers. One is imported when it is asked for: all of
them take a second of CPU, and a worker that starts has no use for what a backup needs."""
INTERRUPTED = 130


def parser(word: str = "") -> argparse.ArgumentParser:
    """The family of a command with its options; all of them where the word is none."""
    root = argparse.ArgumentParser(prog="field", description="The field: one living picture out of many small events.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for family in [name for name, words in FAMILIES.items() if word in words] or FAMILIES:
        import_module(f"deploy.commands.{family}").register(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    given = sys.argv[1:] if argv is None else argv
    args = parser(next(iter(given), "")).parse_args(given)
    daemon, step = getattr(args, "logs", False), steps.role(args)
    if not daemon and not step:
        # Client libraries report every failed attempt; a command says the outcome once.
        logging.basicConfig(level=logging.CRITICAL)
    try:
        with steps.logged(step) if step else nullcontext():
            return int(args.handler(args))
    except FieldError as error:
        if step:
            logs.ends(steps.LOG, error, error.exit_code)
        elif daemon:  # its settings are wrong: it has not begun its log
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
