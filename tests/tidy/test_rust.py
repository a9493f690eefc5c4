"""Rust keeps the rules of the house: small files and functions, a word on each file, unsafe at the border only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.rust import Function, bare, functions
from tests.tidy.source import ROOT, project_files
from tests.tidy.test_sizes import FUNCTION_LINES_MAX, MODULE_LINES_MAX

LINE_MAX = 120
RUST = [path for path in project_files() if path.suffix == ".rs"]


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RUST, ids=str)
def test_functions_and_files_are_small(path: Path) -> None:
    text = read(path)
    lines = text.splitlines()
    assert len(lines) <= MODULE_LINES_MAX, f"{path} has {len(lines)} lines"
    assert not [at for at, line in enumerate(lines, 1) if len(line) > LINE_MAX]
    assert not [one for one in functions(text) if one.lines > FUNCTION_LINES_MAX]


@pytest.mark.parametrize("path", RUST, ids=str)
def test_files_say_what_they_are(path: Path) -> None:
    assert read(path).startswith("//! ")


@pytest.mark.parametrize("path", RUST, ids=str)
def test_only_the_border_is_unsafe(path: Path) -> None:
    assert path.name.startswith("ffi") or not re.search(r"\bunsafe\b", bare(read(path)))


def test_there_is_something_to_look_at() -> None:
    assert len(RUST) > 10
    assert any(functions(read(path)) for path in RUST)


def test_functions_are_found_whatever_stands_in_them() -> None:
    text = """
/// fn in a comment {
impl<'a> One<'a> {
    fn one(&'a self) -> char {
        let text = "} \\" {"; // }
        fn inner() {}
        '}'
    }
    fn declared(&self) -> u8;
}
fn raw() -> &'static str {
    r#"" } "#
}
"""
    assert functions(text) == [Function("one", 4, 5), Function("inner", 6, 1), Function("raw", 11, 3)]
