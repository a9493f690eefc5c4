"""Steps (``field migrate`` and the like) log as processes do, where a container asks for it."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from deploy import cli
from deploy.commands import migrate
from deploy.local import compose, loopback
from streams.logs.fields import FIELDS
from tests.kubernetes.world import container_of, makers, overlay


@pytest.fixture(autouse=True)
def its_own_log() -> Iterator[None]:
    """What a command begins ends with its test."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


def lines(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    for one in found:
        assert {field.name for field in FIELDS if field.always} <= one.keys() <= {field.name for field in FIELDS}
    return found


def test_what_a_step_prints_is_its_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def says(args: Any) -> int:
        print("topics created: none")
        print("half a line", end="")
        return 0

    monkeypatch.setattr(migrate, "run", says)
    monkeypatch.setenv("FIELD_LOG_FORMAT", "json")
    assert cli.main(["migrate"]) == 0
    said = capsys.readouterr()
    assert [(one["message"], one["log.logger"], one["service.node.role"]) for one in lines(said.out)] == [
        ("topics created: none", "field.step", "migrate"), ("half a line", "field.step", "migrate"),
    ]  # fmt: skip
    assert said.err == ""
    monkeypatch.setenv("FIELD_LOG_FORMAT", "auto")
    assert cli.main(["migrate"]) == 0
    assert capsys.readouterr().out == "topics created: none\nhalf a line"


ENDING = (
    "migrate --timeout 0", "backup verify nowhere", "restore nowhere", "lock kafka nowhere --brokers a:1",
    "lock postgres nowhere",
)  # fmt: skip


@pytest.mark.parametrize("words", ENDING)
def test_the_error_that_ends_a_step_is_a_line_with_its_code(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIELD_LOG_FORMAT", "json")
    monkeypatch.setenv("KAFKA_BROKERS", f"127.0.0.1:{loopback.free()}")
    code = cli.main(words.split())
    said = capsys.readouterr()
    *_, last = lines(said.out)
    assert code != 0
    assert (last["process.exit_code"], last["log.level"], last["service.node.role"]) == (
        code,
        "CRITICAL",
        words.split()[0],
    )
    assert said.err == ""


def test_a_document_that_was_asked_for_is_no_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIELD_LOG_FORMAT", "json")
    assert cli.main(["restore", "nowhere", "--json"]) != 0
    assert capsys.readouterr().err.startswith("field: ")


def test_it_is_set_where_they_run_in_containers() -> None:
    found = yaml.safe_load((compose.FILE.parent / "compose.production.yaml").read_text())["services"]
    for name in ("lock", "migrate", "backup", "restore"):
        assert found[name]["environment"]["FIELD_LOG_FORMAT"] == "json", name
    made = makers(overlay("production"))
    for name in ("migrate", "backup"):
        given = {one["name"]: one.get("value") for one in container_of(made[name])["env"]}
        assert given["FIELD_LOG_FORMAT"] == "json", name
