"""On which parts the locked tests run, where Docker answers, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import bring, compose
from tests.locked.conftest import planted


def taken(home: Path) -> str:
    try:
        return planted(home).settings.parts
    except pytest.skip.Exception as skipped:
        return str(skipped)


def test_local_parts_are_taken_beside_docker_and_else_the_tests_say_that_they_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compose, "why_not", lambda: "")
    monkeypatch.setattr(bring, "why_not", lambda: "")
    monkeypatch.delenv("FIELD_PARTS", raising=False)
    assert taken(tmp_path / "can") == "local"
    monkeypatch.setattr(bring, "why_not", lambda: "this is not root on Debian")
    assert "FIELD_PARTS=local" in taken(tmp_path / "cannot")
    monkeypatch.setenv("FIELD_PARTS", "docker")
    monkeypatch.setattr(bring, "why_not", lambda: "")
    assert "FIELD_PARTS=local" in taken(tmp_path / "other")
