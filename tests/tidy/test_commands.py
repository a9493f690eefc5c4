"""Every command that a page, a runbook or an error names is one that there is, with options that it has."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import cli
from deploy.commands.rejected import chosen
from tests.tidy.source import ROOT, project_files

PARSER = cli.parser()
START = re.compile(r"^(?:field|run --rm(?: --no-deps)? operator) ")
ASSIGNED = re.compile(r"(?:[A-Z_]+=\S* )*")
COMMAND = re.compile(
    r"(?<![\w./$=-])(?<!-n )(?:field|run --rm(?: --no-deps)? operator) ((?:'[^']*'|\"[^\"\n]*\"|[^;|&<>()#\n'\"`])+)"
)
SPAN = re.compile(r"(`{1,2})((?:[A-Z_]+=\S*\s+)*(?:field|run --rm(?: --no-deps)? operator)\s[^`]+)\1")
FENCED = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILES = [
    path for path in project_files()
    if path.suffix in (".md", ".py", ".conf", ".properties", ".sql", ".yaml", ".yml") and path.parts[0] != "tests"
]  # fmt: skip
RUNBOOKS = Path("deploy/runbooks")


def texts(path: Path) -> Iterator[str]:
    """What people read of a file; what stands in the place of a value within a text of ours is X."""
    text = (ROOT / path).read_text()
    if path.suffix != ".py":
        yield text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else "X" for one in node.values)


def typed(path: Path) -> Iterator[str]:
    """Lines of the blocks that are to be typed."""
    for block in FENCED.findall((ROOT / path).read_text() if path.suffix == ".md" else ""):
        for name, value in re.findall(r'^(\w+)="([^"$]*)"$', block, re.MULTILINE):
            block = block.replace(f"${name}", value)
        yield from (found[1] for found in COMMAND.finditer(block.replace("\\\n", " ")))


def named(path: Path) -> Iterator[str]:
    """Commands within a text, between backticks."""
    for text in texts(path):
        for found in SPAN.finditer(FENCED.sub("", text)):
            yield " ".join(ASSIGNED.sub("", " ".join(found[2].split()), count=1).split())


def words(command: str) -> list[str]:
    return shlex.split(START.sub("", command, count=1), comments=True)


def wrong(given: list[str], *, whole: bool) -> str:
    """What is not right with a command, or nothing. Unless it is ``whole`` values may be missing."""
    if whole:
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                args = PARSER.parse_args(given)
        except SystemExit as end:
            return said.getvalue() if end.code else ""
        return "" if given[:2] != ["rejected", "retry"] or chosen(args) else "which letters?"
    parser, left = PARSER, list(given)
    while left and (steps := [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]):
        name, left = left[0], left[1:]
        if any(one not in steps[0].choices for one in name.split("|")):
            return f"there is no {name}"
        parser = steps[0].choices[name.partition("|")[0]]
    unknown = [one for one in left if one.startswith("-") and one not in parser._option_string_actions]
    return f"no option {unknown}" if unknown else ""


@pytest.mark.parametrize("path", FILES, ids=str)
def test_commands_that_are_named_are_there(path: Path) -> None:
    whole = path.is_relative_to(RUNBOOKS)
    found = {command: wrong(words(command), whole=False) for command in named(path)}
    found |= {command: wrong(words(command), whole=True) for command in typed(path)}
    if whole:
        found |= {command: wrong(words(command), whole=True) for command in named(path) if to_be_done(path, command)}
    assert not {command: why for command, why in found.items() if why}


def to_be_done(path: Path, command: str) -> bool:
    """Whether a runbook says to do it, as it stands there."""
    return f"`{command}`" in " ".join((ROOT / path).read_text().partition("## What to do")[2].split())


def test_commands_are_found() -> None:
    assert "rejected list" in " ".join(named(Path("deploy/runbooks/FieldDeadLetters.md")))
    assert any("lock kafka" in one for one in typed(Path("deploy/SECURITY.md")))
    assert sum(1 for path in FILES for _ in named(path)) > 200


@pytest.mark.parametrize(
    ("command", "whole"),
    [("lock certificates", False), ("rejected retry", True), ("top --alive", False), ("nothing", False),
     ("replay switch", True), ("archive --to DIR --every", False)],
)  # fmt: skip
def test_what_is_not_there_is_seen(command: str, whole: bool) -> None:
    assert wrong(words(command), whole=whole)
