"""A function fits a screen, a module is one idea."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.tidy.source import PACKAGES, ROOT, modules, parse

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400


@pytest.mark.parametrize("path", modules(*PACKAGES, "tests"), ids=str)
def test_functions_and_modules_are_small(path: Path) -> None:
    lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES_MAX, f"{path} has {lines} lines"
    long = {
        f"{path}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert not long


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=str)
def test_modules_say_what_they_are(path: Path) -> None:
    tree = parse(path)
    assert not tree.body or ast.get_docstring(tree), f"{path} has no docstring"
