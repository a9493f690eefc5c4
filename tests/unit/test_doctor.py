"""What the checks of ``field doctor`` say of facts that no server of a test can be made to have."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy import cli, processes
from deploy.backup import manifest
from deploy.doctor import database, findings, hot, log, machine, saved
from deploy.doctor.database import Database
from deploy.doctor.hot import Hot
from deploy.doctor.log import Log, Topic
from deploy.doctor.machine import Machine
from deploy.local import loopback
from projections.migrate import migrations
from streams import topics
from streams.errors import SettingError
from streams.settings import Settings
from tests.commands import SCHEMAS, valid

ALL = Settings(home="nowhere")
DAY_S = 86_400.0


def said(checks: Any, facts: Any, check: str) -> list[tuple[str, str, str]]:
    """(state, what, advice) of one check."""
    return [(one.state, one.what, one.advice) for one in findings.run(checks, facts) if one.check == check]


def a_machine(tmp_path: Path, **over: Any) -> Machine:
    given = {name: over.pop(name) for name in ("requirements", "files_max", "free_share") if name in over}
    return machine.ask(replace(ALL, home=str(tmp_path), **over))._replace(**given)


def a_database(**over: Any) -> Database:
    return Database(
        **{
            "settings": ALL, "problem": "", "version": "17.2", "extensions": {"timescaledb": "2", "postgis": "3"},
            "edition": "community", "applied": tuple(range(1, len(migrations()) + 1)), "connections": (3, 100),
            "now_s": 1_000.0,
        }
        | over
    )  # fmt: skip


def a_log(**over: Any) -> Log:
    three = replace(ALL, replication=3)
    found = {name: Topic(4, 3, 3, config) for name, config in topics.configs(three).items()}
    given = {"settings": three, "problem": "", "brokers": 3, "topics": found, "groups": {"field-live": ("Stable", 2)}}
    return Log(**{**given, **over})


def test_nothing_is_said_of_what_is_well(tmp_path: Path) -> None:
    tidy = a_machine(tmp_path, files_max=9_999, free_share=0.5)
    tidy = tidy._replace(settings=replace(tidy.settings, **{f"{role}_metrics_port": 0 for role in machine.ROLES}))
    tidy = tidy._replace(settings=replace(tidy.settings, gateway_port=0))
    for checks, facts in (
        (machine.CHECKS, tidy), (database.CHECKS, a_database()), (log.CHECKS, a_log()),
        (hot.CHECKS, Hot(ALL, "", "7.2.4", 1 << 20, 0, "noeviction")),
    ):  # fmt: skip
        found = list(findings.run(checks, facts))
        assert found
        assert [one for one in found if one.state != "ok" or one.advice] == []


@pytest.mark.parametrize(
    ("check", "over", "state", "word"),
    [
        ("settings", {"gateway_host": "0.0.0.0"}, "bad", "FIELD_GATEWAY_KEY"),
        ("settings", {"replication": 2, "instance": "a"}, "warn", "3, then 2 must have it"),
        ("settings", {"replication": 3}, "warn", "name"),
        ("compiled fold", {"fold": "simple"}, "warn", "deploy.local.native"),
        ("disk", {"free_share": 0.02}, "bad", "make room now"),
        ("disk", {"free_share": 0.09}, "warn", "FIELD_HOME"),
        ("open files", {"files_max": 1_024}, "warn", "ulimit -n 4096"),
        ("open files", {"files_max": 5_000, "push_connections_max": 6_000}, "warn", "ulimit -n 12000"),
    ],
)
def test_this_machine(tmp_path: Path, check: str, over: dict[str, Any], state: str, word: str) -> None:
    ((found, _, advice),) = said(machine.CHECKS, a_machine(tmp_path, **over), check)
    assert (found, word in advice) == (state, True), advice


def test_the_fullest_disk_is_the_one_that_is_told_of(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    found = machine.ask(replace(ALL, home=str(tmp_path), disks=str(other)))
    shares = {folder: shutil.disk_usage(folder).free / shutil.disk_usage(folder).total for folder in (tmp_path, other)}
    assert found.folder == min(shares, key=lambda folder: shares[folder])
    with pytest.raises(SettingError, match=r"FIELD_DISKS: .*nowhere is no folder"):
        machine.ask(replace(ALL, home=str(tmp_path), disks=f"{other}, {tmp_path / 'nowhere'}"))


def test_packages_of_other_versions(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("msgspec==0.0.1\npsycopg[binary,pool]==0.1\nno-such-package==1\nrich>=1\n")
    ((state, what, advice),) = said(machine.CHECKS, a_machine(tmp_path, requirements=pins), "packages")
    assert (state, what.count(", not"), "make venv" in advice) == ("warn", 3, True)
    assert "no-such-package missing" in what


def test_a_fold_that_is_asked_for_and_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.native.library.problem", lambda: "there is no library")
    ((state, _, advice),) = said(machine.CHECKS, a_machine(tmp_path, fold="compiled"), "compiled fold")
    assert (state, "FIELD_FOLD=auto" in advice) == ("bad", True)


def test_a_port_of_somebody_else_and_a_process_that_stays_down(tmp_path: Path) -> None:
    with loopback_listener() as port:
        facts = a_machine(tmp_path, gateway_port=port)
        assert ("warn", f"{port} is taken by another program") in [
            found[:2] for found in said(machine.CHECKS, facts, "ports in use")
        ]
    processes.write(tmp_path, processes.Process("worker", 1, 0.0, "", 0, 3, "mend the publisher"))
    assert said(machine.CHECKS, facts, "stays down") == [("bad", "worker has ended (3)", "mend the publisher")]


def loopback_listener() -> Any:
    import contextlib
    import socket

    @contextlib.contextmanager
    def listening() -> Any:
        with socket.create_server(("127.0.0.1", loopback.free())) as server:
            yield server.getsockname()[1]

    return listening()


@pytest.mark.parametrize(
    ("check", "over", "state", "word"),
    [
        ("database", {"version": "14.3"}, "warn", "newer"),
        ("database", {"extensions": {"timescaledb": "2"}}, "bad", "CREATE EXTENSION postgis"),
        ("schema", {"applied": (1, 2)}, "bad", "migrates"),
        ("schema", {"applied": tuple(range(1, 100))}, "bad", "newer version"),
        ("edition", {"edition": "apache", "settings": replace(ALL, retention_days=9)}, "warn", "Community"),
        ("retention", {"retention_s": 30 * DAY_S}, "warn", "projector"),
        ("retention", {"settings": replace(ALL, retention_days=9)}, "warn", "projector"),
        ("policies", {"policies": (("policy_retention", "events", 9.0, "Failed"),)}, "bad", "job_errors"),
        ("connections", {"connections": (95, 100)}, "warn", "max_connections"),
        ("connections", {"hidden": 7}, "warn", "pg_monitor"),
        ("database clock", {"ahead_s": -9.0}, "warn", "NTP"),
    ],
)
def test_a_database(check: str, over: dict[str, Any], state: str, word: str) -> None:
    found = said(database.CHECKS, a_database(**over), check)
    assert any(one[0] == state and word in one[2] for one in found), found


@pytest.mark.parametrize(("start_s", "bad"), [(8 * DAY_S, False), (9 * DAY_S, True), (None, True)])
def test_retention_within_a_refresh_window(start_s: float | None, bad: bool) -> None:
    keeps = replace(ALL, retention_days=9)
    facts = a_database(settings=keeps, retention_s=9 * DAY_S, refresh_s=(("consciousness_field_1d", start_s),))
    found = said(database.CHECKS, facts, "retention")
    assert ("bad" in {state for state, _, _ in found}) == bad
    assert bad == any("their buckets are emptied" in what for _, what, _ in found)


@pytest.mark.parametrize(
    ("check", "over", "state", "word"),
    [
        ("brokers", {"brokers": 2}, "bad", "start more"),
        ("worker group", {"groups": {"field-live": ("PreparingRebalance", 2)}}, "warn", "look again"),
        ("worker group", {"groups": {"field-live": ("", 0)}}, "warn", "operator"),
        ("broker clock", {"newest_ms": 60_000, "asked_ms": 1_000}, "bad", "NTP"),
    ],
)
def test_a_log(check: str, over: dict[str, Any], state: str, word: str) -> None:
    ((found, _, advice),) = said(log.CHECKS, a_log(**over), check)
    assert (found, word in advice) == (state, True)


def test_copies_that_lag_or_are_missing() -> None:
    facts = a_log()
    config = facts.topics["field.events"].config
    few = {**facts.topics, "field.events": Topic(4, 1, 1, config), "field.changes": Topic(4, 3, 2, {})}
    found = said(log.CHECKS, facts._replace(topics=few), "copies")
    assert [state for state, _, _ in found] == ["warn", "warn"]
    assert "kafka-reassign-partitions" in found[0][2] + found[1][2]


@pytest.mark.parametrize("hidden", [Topic(4, 3, 3, {}, "TopicAuthorizationFailedError"), Topic(4, 3, 3, {})])
def test_settings_of_a_topic_that_nobody_tells_us_are_not_well(hidden: Topic) -> None:
    facts = a_log()
    found = said(log.CHECKS, facts._replace(topics={**facts.topics, "field.events": hidden}), "topic settings")
    assert found
    assert {state for state, _, _ in found} == {"warn"}
    assert all("field.events" in what and "DESCRIBE_CONFIGS" in advice for _, what, advice in found)
    one = {**facts.topics["field.events"].config}
    del one["retention.ms"]
    few = {**facts.topics, "field.events": Topic(4, 3, 3, one)}
    ((state, what, _),) = said(log.CHECKS, facts._replace(topics=few), "topic settings")
    assert (state, "retention.ms" in what) == ("warn", True)


def test_a_policy_that_redis_does_not_tell_is_not_well() -> None:
    assert [state for state, _, _ in said(hot.CHECKS, Hot(ALL, "", "7.2.4", 1 << 20), "memory")] == ["warn"]


def a_backup(folder: Path, made_s: float) -> None:
    """One that is whole as far as its manifest goes."""
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(made_s))
    dump = manifest.File("database", 0, "")
    database_ = manifest.Database(dump, 17, "2", "apache", "3", "field", 8, {})
    one = manifest.Manifest(
        manifest.VERSION, name, int(made_s * 1000), {}, database_,
        manifest.Log("field.events", {}, 0, []), manifest.Letters("field.rejected", {}, 0, []), None, {},
    )  # fmt: skip
    (folder / f"{name}{manifest.UNFINISHED}").mkdir()
    manifest.store(folder, one)


def test_the_age_of_the_newest_backup(tmp_path: Path) -> None:
    assert said(saved.CHECKS, saved.ask(ALL), "backups") == []

    def now(folder: Path = tmp_path, **over: Any) -> tuple[str, str, str]:
        (one,) = said(saved.CHECKS, saved.ask(replace(ALL, backups=str(folder), **over)), "backups")
        return one

    assert now(tmp_path / "none")[0] == "warn"
    state, what, advice = now()
    assert (state, "no whole backup" in what, "timer" in advice) == ("warn", True, True)
    a_backup(tmp_path, time.time() - 30 * 3_600)
    state, what, advice = now()
    assert (state, "30.0 hours old" in what, "timer" in advice) == ("warn", True, True)
    assert now(backup_hours_max=31.0)[0] == "ok"
    a_backup(tmp_path, time.time() - 3_600)
    assert now() == ("ok", now()[1], "")


def test_hot_values() -> None:
    full = Hot(ALL, "", "6.2", 95 << 20, 100 << 20, "noeviction", 7.0)
    assert {one.check: one.state for one in findings.run(hot.CHECKS, full)} == dict.fromkeys(
        ("hot", "memory", "hot clock"), "warn"
    )


def test_without_any_part_it_says_what_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name, value in {
        "FIELD_HOME": str(tmp_path), "KAFKA_BROKERS": f"127.0.0.1:{loopback.free()}", "FIELD_PARTS": "none",
        "DATABASE_URL": f"postgresql://field:secret9@127.0.0.1:{loopback.free()}/field",
        "REDIS_PORT": str(loopback.free()),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    assert cli.main(["doctor", "--json"]) == 1
    found = {one["check"]: one for one in valid("doctor", capsys.readouterr().out)}
    assert {name: found[name]["state"] for name in ("brokers", "database", "hot")} == {
        "brokers": "bad", "database": "bad", "hot": "warn",
    }  # fmt: skip
    assert all("field up" in found[name]["advice"] for name in ("brokers", "database", "hot"))
    assert "secret9" not in json.dumps(found)
    assert time.monotonic() - began < 60, "a bound on hanging, never a performance check"


@pytest.mark.parametrize(
    ("states", "plain", "warned"), [(["ok"], 0, 0), (["ok", "warn"], 0, 1), (["warn", "bad"], 1, 1), (["bad"], 1, 1)]
)
def test_a_timer_hears_of_warnings_too(
    states: list[Any], plain: int, warned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(settings: Settings) -> list[findings.Finding]:
        return [findings.Finding("a check", state, "what") for state in states]

    monkeypatch.setattr("deploy.commands.doctor.examine", found)
    monkeypatch.setattr("deploy.generations.followed", lambda settings: settings)
    assert (cli.main(["doctor"]), cli.main(["doctor", "--warn"])) == (plain, warned)


def test_a_setting_that_is_none_is_a_finding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("FIELD_PARTITION", "3")
    assert cli.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("BAD  settings: setting FIELD_PARTITION: there is no such setting")
    assert text.endswith("0 ok, 0 warn, 1 bad\n")
    assert (SCHEMAS / "doctor.json").exists()
