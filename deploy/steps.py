"""Commands that run as steps of a roll-out or by a timer, in containers that end: their lines as those of a process.

Only where FIELD_LOG_FORMAT=json asks for it: whoever types ``field migrate`` reads text, also through a pipe.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from streams import logs
from streams.errors import SettingError
from streams.settings import Settings, read

LOG: Final = logging.getLogger("field.step")
_OF_THE_LOG: Final = ("FIELD_LOG_LEVEL", "FIELD_GENERATION")


class Lines(io.TextIOBase):
    """Each whole line that is printed becomes a line of the log."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._begun = ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in filter(None, whole):
            LOG.log(self._level, "%s", line)
        return len(text)

    def end(self) -> None:
        """What has no line end."""
        self.write("\n" if self._begun else "")


def role(args: argparse.Namespace) -> str:
    """Under which name the command logs; empty where it prints: a document that was asked for is no log."""
    wanted = os.environ.get("FIELD_LOG_FORMAT") == "json" and not getattr(args, "json", False)
    return str(args.command) if wanted and getattr(args, "is_step", False) else ""


@contextlib.contextmanager
def logged(name: str) -> Iterator[None]:
    """What is printed within goes into the log of ``name``."""
    try:
        settings = read({one: os.environ[one] for one in _OF_THE_LOG if one in os.environ})
    except SettingError:
        settings = Settings()  # the command itself says what is wrong
    logs.start(name, replace(settings, log_format="json"), waits=True)
    said, problems = Lines(logging.INFO), Lines(logging.WARNING)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(problems):
            yield
    finally:
        said.end()
        problems.end()
