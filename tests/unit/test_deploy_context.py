"""Commands find the running stack by its env.json, and the environment always wins."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from deploy import bringup, context, processes
from deploy.processes import Process
from streams.errors import SettingError


def test_the_environment_wins_over_what_is_remembered(tmp_path: Path) -> None:
    context.remember(tmp_path, {"KAFKA_BROKERS": "127.0.0.1:1111", "REDIS_PORT": "2222"})
    here = {"FIELD_HOME": str(tmp_path), "REDIS_PORT": "3333", "PATH": "/bin"}
    settings = context.load(here)
    assert (settings.kafka_brokers, settings.redis_port) == ("127.0.0.1:1111", 3333)
    context.forget(tmp_path)
    assert context.load(here).kafka_brokers == "127.0.0.1:9092"


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    context.remember(tmp_path / "new", {"DATABASE_URL": "postgresql://u:secret@h/d"})
    assert stat.S_IMODE((tmp_path / "new" / "env.json").stat().st_mode) == 0o600


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What would have been sent to a supervisor."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(bringup.os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def test_up_again_revives_what_stays_down_with_the_new_settings(tmp_path: Path, signals: list) -> None:
    running, said = Process("supervisor", 77, 0.0), []
    context.remember(tmp_path, {"REDIS_PORT": "2222", "FIELD_WORKER_METRICS_PORT": "3"})
    here = {"FIELD_HOME": str(tmp_path), "FIELD_FLOOD_SHARE": "2", "REDIS_PORT": "2222"}
    here["FIELD_WORKER_METRICS_PORT"] = "0"
    bringup.revive(running, here, said.append)
    assert signals == []
    assert "FIELD_FLOOD_SHARE" in said.pop()
    processes.write(tmp_path, Process("worker", 78, 0.0, exit_code=3, advice="look"))
    processes.write(tmp_path, Process("projector", 79, 0.0))
    bringup.revive(running, here, said.append)
    assert signals == [(77, bringup.REVIVE)]
    assert said == ["starting again: worker"]
    assert [process.role for process in processes.read_all(tmp_path)] == ["projector"]
    assert context.load({"FIELD_HOME": str(tmp_path)}).flood_share == 2
    assert context.load({"FIELD_HOME": str(tmp_path)}).worker_metrics_port == 3


@pytest.mark.parametrize("name", ["FIELD_GENERATION", "FIELD_RULE_SEATS", "REDIS_PORT", "FIELD_SHARDS"])
def test_up_again_refuses_what_all_must_agree_on(tmp_path: Path, signals: list, name: str) -> None:
    processes.write(tmp_path, Process("worker", 78, 0.0, exit_code=3))
    with pytest.raises(bringup.Running, match=name):
        bringup.revive(Process("supervisor", 77, 0.0), {"FIELD_HOME": str(tmp_path), name: "21"}, print)
    assert signals == []
    assert not (tmp_path / "env.json").exists()


def test_a_spoiled_file_is_named_and_unknown_names_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text('{"REDIS_PORT":')
    with pytest.raises(SettingError, match=r"env\.json"):
        context.load({"FIELD_HOME": str(tmp_path)})
    (tmp_path / "env.json").write_text(json.dumps({"FIELD_OF_AN_OLDER_VERSION": "1", "REDIS_PORT": 7}))
    assert context.load({"FIELD_HOME": str(tmp_path)}).redis_port == 7


def test_a_relative_home_counts_from_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert context.load({}).home == str(Path(context.__file__).parent.parent / ".field")
    assert os.path.isabs(context.load({"FIELD_HOME": "x"}).home)


def test_secrets_only_when_asked(tmp_path: Path) -> None:
    here = {"FIELD_HOME": str(tmp_path), "DATABASE_URL": "postgresql://me:pa%40ss@h:77/db", "REDIS_PASSWORD": "hush"}
    settings = context.load(here)
    plain = context.shell(settings, secrets=False)
    assert not {"DATABASE_URL", "REDIS_PASSWORD", "PGPASSWORD", "REDISCLI_AUTH"} & set(plain)
    assert not [value for value in plain.values() if "hush" in value or "pa%40ss" in value]
    full = context.shell(settings, secrets=True)
    assert not {"PGSSLMODE", "PGSSLROOTCERT"} & set(full)
    here["DATABASE_URL"] += "?sslmode=verify-full&sslrootcert=/some%20where/ca.pem"
    full = context.shell(context.load(here), secrets=True)
    assert (full["PGSSLMODE"], full["PGSSLROOTCERT"]) == ("verify-full", "/some where/ca.pem")
    assert (full["PGHOST"], full["PGPORT"], full["PGUSER"], full["PGPASSWORD"], full["PGDATABASE"]) == (
        "h", "77", "me", "pa@ss", "db",
    )  # fmt: skip
    assert full["REDISCLI_AUTH"] == "hush"
