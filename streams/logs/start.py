"""Begins the log of a process. The libraries under us only speak when something is the matter."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from streams.logs.fields import with_fields
from streams.logs.lines import LIBRARIES_BELOW_US, OURS, JsonLines, TextLines, is_ours
from streams.settings import Settings

REPEAT_S: Final = 10.0
"""A library says the same thing once in so many seconds; so do we of what may come with every record."""

REPEATS_MAX: Final = 1_000
"""Different messages remembered for that; some have a number in their text."""

SELDOM: Final = "field.seldom"
"""Our logger for what may come with every record."""

QUIET: Final = ("aiokafka", "psycopg.pool")
"""Their warnings repeat while a part is away; who waits for it with ``Backoff`` says it once."""

log = logging.getLogger("field.process")


class OncePerWhile(logging.Filter):
    """Lets a message of a library through once in REPEAT_S, whatever its values: with Kafka away they say it at
    every attempt. Ours all go through but those of SELDOM.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        if is_ours(record.name) and record.name != SELDOM:
            return True
        now, what = self._clock(), (record.name, str(record.msg))
        if now - self._said.get(what, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._said) >= REPEATS_MAX:
            self._said.clear()
        self._said[what] = now
        return True


class Standard(logging.StreamHandler[Any]):
    """Standard output, wherever that is now; a line that cannot be written is lost and ends nobody."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def start(role: str, settings: Settings, *, waits: bool = False) -> None:
    """The log of this process from here on. ``waits``: its parts may be away, and it says so itself.

    Faust leaves DEBUG on inside aiokafka and its own topics, where it is asked about for every record (10 %).
    """
    handler = Standard(sys.stdout)
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stdout.isatty())
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    generation = settings.generation
    handler.setFormatter(TextLines(role, generation, colours=colours) if text else JsonLines(role, generation))
    handler.addFilter(OncePerWhile())  # a logger's own filter does not see what its children say
    level: int = logging.getLevelNamesMapping()[settings.log_level]
    floor = logging.INFO if level == logging.DEBUG else max(logging.WARNING, level)
    logging.basicConfig(level=floor, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in ("aiokafka", "asyncio", "faust", "mode", *LIBRARIES_BELOW_US):
        logging.getLogger(name).setLevel(floor)
    for name in QUIET if waits else ():
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = _ignored
    threading.excepthook = _in_thread


def ends(logger: logging.Logger, error: BaseException, exit_code: int) -> None:
    """The last line of a process that an error ends."""
    extra = with_fields({"process.exit_code": exit_code})
    logger.critical("%s", error, exc_info=error if exit_code == 1 else None, extra=extra)


def _uncaught(kind: type[BaseException], error: BaseException, tb: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    ends(log, error, 1)


def _in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        log.error("a thread ended by a fault", exc_info=args.exc_value)


def _ignored(args: Any) -> None:
    if args.exc_value is not None:
        log.error("a fault where nobody can catch it", exc_info=args.exc_value)
