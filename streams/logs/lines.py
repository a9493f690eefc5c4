"""A record of ``logging`` -> a line: JSON for machines, text for a terminal. Both hold the same fields."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from streams.logs.fields import ATTRIBUTE
from streams.logs.safe import argument, clean, message_of, place_of, stack_of

ECS_VERSION: Final = "8.11.0"
OURS: Final = ("field", "streams", "projections", "deploy")
"""First words of the names of our loggers."""
LIBRARIES_BELOW_US: Final = ("streams.app", "streams.transport")
"""What Faust says through classes that we derive from its own."""

_COLOURS: Final = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_encode = msgspec.json.Encoder().encode


def is_ours(name: str) -> bool:
    """Whether a logger is one of ours, whose arguments we know."""
    return name.partition(".")[0] in OURS and name not in LIBRARIES_BELOW_US


def message(record: logging.LogRecord) -> str:
    """The message with what its arguments may show; of a library's only the first line, which names no values."""
    ours = is_ours(record.name)
    text = str(record.msg)
    args = record.args
    try:
        if isinstance(args, Mapping):
            text = text % {name: argument(value, ours) for name, value in args.items()}
        elif args:
            text = text % tuple(argument(value, ours) for value in args)
    except (TypeError, ValueError, KeyError):
        pass  # the words without the values are better than no line
    return clean(text if ours else text.strip().partition("\n")[0])


def error_of(record: logging.LogRecord) -> BaseException | None:
    """The exception that a record speaks of: its own, or one among its arguments."""
    if record.exc_info and record.exc_info[1] is not None:
        return record.exc_info[1]
    args = record.args if isinstance(record.args, tuple) else ()
    return next((value for value in args if isinstance(value, BaseException)), None)


class JsonLines(logging.Formatter):
    """One JSON object a line. ``role`` and ``generation`` are those of the process."""

    def __init__(self, role: str, generation: str) -> None:
        super().__init__()
        self._same = {
            "ecs.version": ECS_VERSION,
            "service.name": "field",
            "service.node.role": role,
            "process.pid": os.getpid(),
            "field.generation": generation,
        }

    def format(self, record: logging.LogRecord) -> str:
        return _encode(self.document(record)).decode()

    def document(self, record: logging.LogRecord) -> dict[str, Any]:
        """The fields of a line."""
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found: dict[str, Any] = {
            "@timestamp": f"{second}.{int(record.msecs):03d}Z",
            "log.level": record.levelname,
            "message": message(record),
            **self._same,
            "log.logger": clean(record.name),
        }
        error = error_of(record)
        if error is not None:
            found |= {"error.type": type(error).__name__, **place_of(error)}
            if said := message_of(error):
                found["error.message"] = said
            if record.exc_info:
                found["error.stack_trace"] = stack_of(error)
        for name, value in getattr(record, ATTRIBUTE, {}).items():
            found[name] = clean(value) if isinstance(value, str) else value
        return found


class TextLines(logging.Formatter):
    """Time, level, role, message and what else is known; the frames of an exception indented below."""

    def __init__(self, role: str, generation: str, *, colours: bool) -> None:
        super().__init__()
        self._json = JsonLines(role, generation)
        self._role = role
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        found = self._json.document(record)
        level = f"{record.levelname:<8}"
        if self._colours and record.levelname in _COLOURS:
            level = f"\x1b[{_COLOURS[record.levelname]}m{level}\x1b[0m"
        more = [
            f"{name.rpartition('.')[2]}={found[name]}"
            for name in found
            if name.startswith(("kafka.", "http.", "field.reason")) or (name == "error.message" and record.exc_info)
        ]
        line = f"{found['@timestamp'][11:23]} {level} {self._role} {found['log.logger']}: {found['message']}"
        line += f" [{' '.join(more)}]" if more else ""
        stack = found.get("error.stack_trace", "")
        return line + "".join(f"\n    | {frame}" for frame in stack.split("\n")) if stack else line
