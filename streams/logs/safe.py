"""What may stand in a line: text that cannot forge another line, and of an exception only what tells no payload.

An event, an id or a secret gets into a log by two ways: as an argument of a message, and in the text of an exception
(a database quotes the row that it refuses, a decoder the bytes). Both are filtered here, for our lines and for those of
libraries.
"""

from __future__ import annotations

import re
import sqlite3
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from streams.errors import FieldError, InputError, LogError, WireError

TEXT_MAX: Final = 2_000
"""Characters of a message; the rest is cut."""
FRAMES_MAX: Final = 30
"""Frames of a stack, the innermost ones."""
CAUSES_MAX: Final = 5
"""Exceptions of a chain."""
ITEMS_MAX: Final = 20
"""Items of a list in a library's message."""

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Controls (CR, LF, escape codes of both kinds), line separators, what turns the direction, halves of a pair."""

_OF_REDIS: Final = ("ConnectionError", "TimeoutError", "OutOfMemoryError", "ReadOnlyError", "BusyLoadingError")
"""Other errors of redis may quote what was sent."""
_CLASSES_OF_SERVERS: Final = ("08", "25", "28", "3D", "40", "42", "53", "55", "57", "58")
"""SQLSTATE classes whose text speaks of the server or of our own statements, never of a row."""


class Shown(str):
    """Text that ``%r`` shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def clean(text: str, most: int = TEXT_MAX) -> str:
    """One line, without anything that a terminal or a reader would obey: ``\\x1b`` is four characters."""
    text = text if len(text) <= most else text[:most] + " ..."
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def described(error: BaseException) -> str:
    """The class of an exception and, where it cannot hold a payload, its text."""
    said = message_of(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def message_of(error: BaseException) -> str:
    """The text of an exception of which we know what it holds; else empty."""
    family = type(error).__module__.partition(".")[0]
    if isinstance(error, WireError):
        return error.reason  # the detail quotes the event
    if isinstance(error, InputError):
        return ""
    if isinstance(error, FieldError | OSError | sqlite3.Error):
        return clean(str(error))
    if family == "aiokafka":
        return clean(str(error))
    if family in ("psycopg", "psycopg_pool"):
        return _of_postgres(error)
    if family == "redis":
        return clean(str(error)) if type(error).__name__ in _OF_REDIS else ""
    return ""


def _of_postgres(error: BaseException) -> str:
    state: str | None = getattr(error, "sqlstate", None)
    if state is not None:
        primary: str | None = getattr(getattr(error, "diag", None), "message_primary", None)
        return f"{state} {clean(primary)}" if primary and state[:2] in _CLASSES_OF_SERVERS else state
    lost = type(error).__name__ in ("OperationalError", "ConnectionTimeout", "PoolTimeout", "TooManyRequests")
    return clean(str(error).partition("\n")[0]) if lost else ""  # others may quote the address, password and all


def argument(value: Any, ours: bool) -> Any:
    """An argument of a message as it may be shown. Of libraries only plain values, and lists of such."""
    if isinstance(value, BaseException):
        return Shown(described(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return Shown(f"<{len(value)} bytes>")
    if value is None or isinstance(value, bool | int | float | str) or ours:
        return value
    if isinstance(value, Mapping):
        return Shown("{" + _listed(f"{argument(k, ours)!r}: {argument(v, ours)!r}" for k, v in value.items()) + "}")
    if isinstance(value, tuple | list | set | frozenset):
        return Shown("[" + _listed(repr(argument(item, ours)) for item in value) + "]")
    return Shown(f"<{type(value).__name__}>")


def _listed(items: Iterable[str]) -> str:
    found: list[str] = []
    for item in items:
        if len(found) == ITEMS_MAX:
            found.append("...")
            break
        found.append(item)
    return ", ".join(found)


def place_of(error: BaseException) -> dict[str, Any]:
    """Fields that say where in the log an error of ours has happened."""
    if not isinstance(error, LogError):
        return {}
    found: dict[str, Any] = {"kafka.topic": error.topic, "kafka.partition": error.partition}
    return found if error.offset < 0 else found | {"kafka.offset": error.offset}


def stack_of(error: BaseException) -> str:
    """Where it came from, causes first: files, lines, functions and classes; no values, no texts of exceptions."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain and len(chain) < CAUSES_MAX:
        chain.append(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return "\n".join(line for one in reversed(chain) for line in (*_frames(one.__traceback__), type(one).__name__))


def _frames(tb: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(tb)[-FRAMES_MAX:]
    return [
        f"  {_short(frame.filename)}:{frame.lineno} {frame.name}: {clean(frame.line or '', 200)}" for frame in frames
    ]


def _short(file: str) -> str:
    """A path from the package on: the folder of an installation is nobody's business."""
    parts = Path(file).parts
    for top in ("site-packages", "dist-packages"):
        if top in parts:
            return clean("/".join(parts[parts.index(top) + 1 :]))
    for package in ("streams", "projections", "deploy", "schema"):
        if package in parts:
            return clean("/".join(parts[len(parts) - 1 - parts[::-1].index(package) :]))
    return clean("/".join(parts[-2:]))
