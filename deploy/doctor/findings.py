"""What a check says: one line about what is, and one about what to do where that is not as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec

State = Literal["ok", "warn", "bad"]
MARKS: Final[Mapping[State, str]] = {"ok": "ok  ", "warn": "WARN", "bad": "BAD "}


class Finding(msgspec.Struct):
    """``bad``: it does not work, or will lose something. ``warn``: it works, and somebody should look.

    ``advice`` is empty where all is well.
    """

    check: str
    state: State
    what: str
    advice: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """A finding whose check has no name yet."""

    state: State
    what: str
    advice: str = ""


def ok(what: str) -> Verdict:
    return Verdict("ok", what)


def warn(what: str, advice: str) -> Verdict:
    return Verdict("warn", what, advice)


def bad(what: str, advice: str) -> Verdict:
    return Verdict("bad", what, advice)


Facts = TypeVar("Facts")
Check = Callable[[Facts], Iterable[Verdict]]
"""A generator function; its name, with spaces, is that of the check."""


def run(checks: Iterable[Callable[[Any], Iterable[Verdict]]], facts: Any) -> Iterator[Finding]:
    """All findings of a list of checks."""
    for check in checks:
        name = check.__name__.replace("_", " ")
        for found in check(facts):
            yield Finding(name, found.state, found.what, found.advice)


def line(item: Finding) -> str:
    """For people; the advice below it."""
    text = f"{MARKS[item.state]} {item.check}: {item.what}"
    return f"{text}\n       -> {item.advice}" if item.advice else text
