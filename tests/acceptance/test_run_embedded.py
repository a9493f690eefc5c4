"""`field run --embedded` and `field up` without any part: live, every command of the home, Ctrl-C, down, clean."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from deploy import processes
from deploy.local import compose
from streams.embedded.store import file_of
from streams.settings import Settings
from tests.acceptance.stack import REPOSITORY, until
from tests.embedded.process import Home, Running


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", FIELD_CHECKPOINT_MS="200")


def test_run_is_live_and_every_command_of_the_home_finds_it(home: Home, tmp_path: Path) -> None:
    with home.start("run", "--embedded", "--devices", "30", "--rate", "100") as running:
        line = running.says("active nodes 30")
        assert all(name in line for name in ("events/s", "resonance", "rooms", "entanglements", "worker lag 0:"))
        said = "".join(running.lines)
        assert "embedded: one process" in said
        assert "in a browser: the living field" in said
        assert f"{file_of(Settings(home=str(home.folder)))}" in said
        assert [found.pid for found in processes.read_all(home.folder)] == [running.pid], "one process"
        for words in (("run", "--embedded"), ("run",)):
            assert f"it runs already here (supervisor pid {running.pid})" in home.field(*words, code=1)
        assert "up already" in home.field("up")

        (tmp_path / "lines").write_text(
            home.field("simulate", "--devices", "9", "--rate", "50", "--duration", "2", "--print")
        )
        assert home.field("publish", str(tmp_path / "lines")) == "100 events acknowledged by the embedded log\n"
        assert "40 events acknowledged by the embedded log" in home.field("simulate", "--rate", "40", "--duration", "1")
        assert "everything reflects the log" in home.field("wait")
        status = json.loads(home.field("status", "--json"))
        jsonschema.validate(status, json.loads((REPOSITORY / "schema/cli/status.json").read_text()))
        assert status["counts"]["events"] >= 140
        assert status["field"]["active_nodes"] >= 30
        state = json.loads(home.field("state", "rooms", "--json"))
        jsonschema.validate(state, json.loads((REPOSITORY / "schema/cli/state.json").read_text()))
        assert state["rows"]
        code, rest = running.interrupt()
    assert (code, "stopped; data is kept" in rest) == (0, True), rest
    assert processes.read_all(home.folder) == []
    digest = json.loads(home.field("digest", "--json"))
    assert sum(digest["positions"].values()) > 100, "what was kept is read without a process"
    assert "everything reflects the log" in home.field("wait", "--timeout", "0"), "the last checkpoint holds all"


def test_up_down_up_again_clean(home: Home) -> None:
    home.environ["FIELD_PARTS"] = "embedded"
    assert "up in" in home.field("up")
    home.field("simulate", "--rate", "200", "--duration", "1")
    home.field("wait")
    before = home.field("digest")
    del home.environ["FIELD_PARTS"]
    assert home.field("digest") == before, "the home remembers what runs in it"
    assert "data is kept" in home.field("down")
    assert "behind" in home.field("status")
    home.environ["FIELD_PARTS"] = "embedded"
    home.field("up")
    home.field("wait")
    assert home.field("digest") == before
    (home.folder / "flood").write_text("{\n" * 2_000)
    home.field("publish", str(home.folder / "flood"))
    until(lambda: "exit 3" in home.field("status"), "it leaves at the flood, and the status says why")
    home.environ["FIELD_FLOOD_SHARE"] = "2"
    home.field("up")
    home.field("wait")
    assert "malformed_json 2000" in home.field("status")
    home.field("clean")
    assert not (home.folder / "embedded").exists()
    assert "field run --embedded" in home.field("state", code=7)


def test_sigterm_makes_a_last_checkpoint(home: Home) -> None:
    home.environ["FIELD_CHECKPOINT_MS"] = "600000"
    with home.start("run", "--embedded", "--rate", "0") as running:
        running.says("live:")
        home.field("simulate", "--rate", "200", "--duration", "1")
        code, rest = running.interrupt(signal.SIGTERM)
    assert code == 0, rest
    assert "everything reflects the log" in home.field("wait", "--timeout", "0")


def test_embedded_and_something_else_is_refused(home: Home) -> None:
    home.environ["FIELD_PARTS"] = "docker"
    assert "FIELD_PARTS=docker" in home.field("run", "--embedded", code=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, who is not root")
def test_run_falls_back_to_it_where_nothing_else_can_run(tmp_path: Path) -> None:
    """As a user who may install nothing, on a machine without Docker, Java and the cache of programs."""
    nobody, folder = 65534, Path("/tmp") / f"field-{os.getpid()}"
    if compose.why_not() == "" or shutil.which("setpriv") is None:
        pytest.skip("needs a machine without Docker, and setpriv")
    become = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
    if subprocess.run([*become, "test", "-r", str(REPOSITORY / "pyproject.toml")]).returncode:
        pytest.skip("this clone lies in a folder that only its owner may enter")
    folder.mkdir()
    os.chown(folder, nobody, nobody)
    home = Home(folder / "home", FIELD_PARTS="auto", HOME=str(folder), XDG_CACHE_HOME=str(folder))
    try:
        with Running(
            [*become, sys.executable, "-m", "deploy.cli", "run", "--devices", "10", "--rate", "100"], home.environ
        ) as running:
            assert "not root on Debian" in running.says("the field runs embedded, in one process")
            running.says("active nodes 10")
            assert running.interrupt()[0] == 0
    finally:
        shutil.rmtree(folder)
