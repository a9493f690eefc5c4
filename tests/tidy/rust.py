"""Rust as far as the tidy tests have to understand it: where functions begin and end."""

from __future__ import annotations

import re
from typing import NamedTuple

# Comments, texts (raw ones, too) and characters may hold braces; a lifetime is no character.
_SILENT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(?P<marks>\#*)".*?"(?P=marks)|b?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\\n]|\\[^\n]+?)'""", re.DOTALL
)
_FUNCTION = re.compile(r"\bfn\s+(\w+)")


class Function(NamedTuple):
    """A function, its first line and how many it has."""

    name: str
    line: int
    lines: int


def bare(text: str) -> str:
    """The code alone, with as many lines."""
    return _SILENT.sub(lambda match: "\n" * match.group().count("\n"), text)


def functions(text: str) -> list[Function]:
    """All functions with a body, those within others as well."""
    code = bare(text)
    found = []
    for match in _FUNCTION.finditer(code):
        body = re.search(r"[{;]", code[match.end() :])
        if body is None or body.group() == ";":
            continue
        end = _closing(code, match.end() + body.start())
        first = code.count("\n", 0, match.start()) + 1
        found.append(Function(match[1], first, code.count("\n", match.start(), end) + 1))
    return found


def _closing(code: str, start: int) -> int:
    """Where the brace that opens at ``start`` is closed."""
    depth = 0
    for match in re.finditer(r"[{}]", code[start:]):
        depth += 1 if match.group() == "{" else -1
        if not depth:
            return start + match.start()
    raise AssertionError("braces do not match")
