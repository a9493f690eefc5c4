"""Every client comes to its server the one way that has accounts and TLS in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.tidy.source import modules, parse

KAFKA = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "AIOKafkaClient"}
OWN_WAY = {"deploy/locked/kafka.py"}
"""By the admin's certificate."""
CODE = modules("streams", "projections", "deploy")


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    found = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            found.append((name, node))
    return found


def spread(call: ast.Call) -> str:
    """What stands behind ** in a call."""
    return " ".join(ast.unparse(word.value) for word in call.keywords if word.arg is None)


def test_there_are_some() -> None:
    names = [name for path in CODE for name, _ in calls(path)]
    assert sum(name in KAFKA for name in names) > 15
    assert names.count("Redis") >= 3


@pytest.mark.parametrize("path", CODE, ids=str)
def test_no_client_knows_only_an_address(path: Path) -> None:
    if str(path) in OWN_WAY:
        return
    for name, call in calls(path):
        if name in KAFKA:
            assert "access.brokers(" in spread(call) or spread(call) == "line", f"{path}:{call.lineno}"
        if name == "Redis":
            assert "redis_at(" in spread(call), f"{path}:{call.lineno}"
