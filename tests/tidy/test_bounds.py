"""No cache and no queue without a bound: what remembers by itself says in the same line how much."""

from __future__ import annotations

import ast

import pytest

from tests.tidy.source import modules, parse

UNBOUNDED_IS_RIGHT = {("streams/simulate.py", "deque"): "of a generator, which empties it at every step"}
BOUND_NAMES = {"lru_cache": "maxsize", "deque": "maxlen", "Queue": "maxsize", "FlowControlQueue": "maxsize"}


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def unbounded(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.args:  # else there is one result
            found += [name for one in node.decorator_list if (name := name_of(one)) in ("cache", "lru_cache")]
        if isinstance(node, ast.Call) and name_of(node.func) in BOUND_NAMES:
            name = name_of(node.func)
            given = [word.value for word in node.keywords if word.arg == BOUND_NAMES[name]]
            if not given or (isinstance(given[0], ast.Constant) and not given[0].value):
                found.append(name)
    return found


def test_caches_and_queues_have_a_bound() -> None:
    found = {
        (str(path), name) for path in modules("streams", "projections", "deploy") for name in unbounded(parse(path))
    }
    assert found == set(UNBOUNDED_IS_RIGHT)


@pytest.mark.parametrize(
    "code",
    [
        "@cache\ndef f(x): ...", "@functools.lru_cache\ndef f(x): ...", "@lru_cache(maxsize=None)\ndef f(x): ...",
        "q = asyncio.Queue()", "q = asyncio.Queue(maxsize=0)", "d = deque()",
    ],
)  # fmt: skip
def test_what_has_none_is_found(code: str) -> None:
    assert len(unbounded(ast.parse(code))) == 1
