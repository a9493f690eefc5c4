"""An embedded field grows up: its history moves into Kafka by an archive, and the worker folds the same state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from streams.settings import Settings
from tests.acceptance.stack import Stack
from tests.embedded.process import Home

NOISE = ("--late", "0.03", "--duplicates", "0.03", "--malformed", "0.02", "--opts", "0.005")


def test_the_history_of_an_embedded_field_moves_into_kafka(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    home = Home(tmp_path / "embedded", FIELD_PARTS="embedded")
    with home.start("run", "--embedded", "--devices", "20", "--rate", "100") as running:
        running.says("worker lag")
        home.field("simulate", "--devices", "60", "--rate", "1000", "--seed", "4", "--duration", "4", *NOISE)
        home.field("wait")
        assert running.interrupt()[0] == 0
    before = json.loads(home.field("digest", "--json"))
    home.field("archive", "--all", "--to", str(tmp_path / "archive"))
    assert "runs embedded" in home.field("publish", "--archive", str(tmp_path / "archive"), code=2)
    with Stack(make_settings()) as stack:
        stack.field("publish", "--archive", str(tmp_path / "archive"))
        stack.field("wait")
        assert stack.json("digest")["tables"] == before["tables"]
