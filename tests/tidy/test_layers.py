"""Data flows one way: wire -> validate -> fold -> changes -> rows -> stores; and the core touches nothing outside."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.tidy.source import imports, module_file, modules, parse

PURE = (
    "streams.events",
    "streams.wire",
    "streams.validate",
    "streams.changes",
    "streams.table",
    "streams.entry",
    "streams.archive.format",
    "projections.rows",
    "projections.field",
    "projections.patterns",
    "projections.gateway.pseudonyms",
    "projections.gateway.tokens",
    "projections.gateway.strict",
    "projections.gateway.buckets",
)
"""Beside all of ``streams.fold``. What a pure module imports of the project is held to the same rules."""
# fmt: off
HARMLESS = frozenset((
    "__future__", "abc", "base64", "binascii", "bisect", "cmath", "collections", "collections.abc",
    "dataclasses", "enum", "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math", "msgspec",
    "numpy", "numpy.typing", "operator", "re", "shapely", "string", "struct", "types", "typing", "zlib",
))
# fmt: on
"""shapely: trees and boxes in memory; nothing of it that is used reads or writes anything."""
FORBIDDEN_CALLS = frozenset(("open", "input", "print", "hash", "id", "exec", "eval", "__import__", "breakpoint"))
"""``hash`` and ``id`` differ from process to process."""
STREAMS_FOR_PROJECTIONS = frozenset(
    f"streams.{name}"
    for name in (
        "access",
        "changes",
        "events",
        "settings",
        "errors",
        "metrics",
        "health",
        "logs",
        "traces",
        "changelog",
        "validate",
        "wire",
        "table",
        "entry",
        "chunks",
        "fetching",
        "native.cursor",
        "native.library",
        "native.rows",
    )
)

STREAMS_FOR_GATEWAY = frozenset(
    f"streams.{name}"
    for name in (
        "packing",
        "publish",
        "history",
        "archive.marks",
        "envelope",
        "topics",
        "fold.rules",
        "fold.reading",
        "fold.entanglements",
    )
)
"""It publishes what devices say, and plays the log from where somebody has left it."""
STREAMS_FOR_EMBEDDED = STREAMS_FOR_GATEWAY | {f"streams.embedded.{name}" for name in ("log", "state", "store")}
"""Its gateway reads state and log where they are: no other process brings them."""


def pure_modules() -> list[Path]:
    """The pure modules and, from there, everything of the project that they import."""
    seeds = [path for path in map(module_file, PURE) if path is not None]
    todo, found = [*seeds, *modules("streams/fold")], set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += [file for file in map(module_file, imports(path)) if file is not None]
    return sorted(found)


@pytest.mark.parametrize("path", pure_modules(), ids=str)
def test_pure_modules_import_only_what_cannot_touch_the_world(path: Path) -> None:
    outside = {name for name in imports(path) if module_file(name) is None}
    assert outside <= HARMLESS, f"{path} imports {sorted(outside - HARMLESS)}"


@pytest.mark.parametrize("path", pure_modules(), ids=str)
def test_pure_modules_ask_neither_files_nor_addresses(path: Path) -> None:
    called = {
        f"{node.func.id} in line {node.lineno}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS
    }
    assert not called


@pytest.mark.parametrize("path", modules("streams"), ids=str)
def test_streams_never_imports_what_is_built_on_it(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] in ("projections", "deploy", "tests")}


@pytest.mark.parametrize("path", modules("projections"), ids=str)
def test_projections_see_only_what_a_fold_says_has_changed(path: Path) -> None:
    core = {name for name in imports(path) if name.split(".")[0] == "streams"}
    more = {"gateway": STREAMS_FOR_GATEWAY, "embedded": STREAMS_FOR_EMBEDDED}
    seen = STREAMS_FOR_PROJECTIONS | more.get(path.parts[1], frozenset())
    assert core <= seen, f"{path} imports {sorted(core - seen)}"
    assert not {name for name in imports(path) if name.split(".")[0] in ("deploy", "tests")}


@pytest.mark.parametrize("path", modules("deploy"), ids=str)
def test_nothing_that_runs_imports_tests(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] == "tests"}


@pytest.mark.parametrize("path", modules("tests/oracle"), ids=str)
def test_oracle_shares_no_code_with_the_fold(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] in ("streams", "projections", "deploy")}


VERIFIER = [path for path in modules("schema") if path.name.startswith("verifier")]


@pytest.mark.parametrize("path", VERIFIER, ids=str)
def test_the_verifier_shares_no_code_with_the_project(path: Path) -> None:
    own = {path.stem for path in VERIFIER}
    outside = {name.split(".")[0] for name in imports(path)} - own
    assert outside <= sys.stdlib_module_names | {"aiokafka"}, f"{path} imports {sorted(outside)}"


@pytest.mark.parametrize("path", modules("streams", "projections", "deploy", "schema"), ids=str)
def test_the_project_needs_no_verifier(path: Path) -> None:
    used = {name for name in imports(path) if name.rpartition(".")[2].startswith("verifier")}
    assert not used or path in VERIFIER
