"""A real Alertmanager with the files of a stack: what a part that is away holds back, and what waits for the day."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local import monitoring
from deploy.local.prometheus import Programs
from streams.errors import SettingError
from streams.settings import Settings
from tests.acceptance.stack import until
from tests.monitoring import files
from tests.monitoring.watching import Pager, settings_of

ALL = {
    "FieldCommitAge", "FieldGatewayErrors", "FieldLagGrowing", "FieldNoEvents", "FieldProjectionStuck/redis",
    "FieldProjectionStuck/raw", "FieldStale/redis", "FieldStale/raw", "FieldTargetDown",
}  # fmt: skip
"""Alerts, with the projection that they speak of."""
ALERTS = {rule["alert"]: rule for rule in files.rules("alert")}


@pytest.fixture
def pager() -> Iterator[Pager]:
    one = Pager()
    yield one
    one.close()


@contextmanager
def alertmanager(programs: Programs, pager: Pager, folder: Path, **over: Any) -> Iterator[int]:
    """Running; its port."""
    settings = replace(Settings(), **settings_of(pager, folder, 0.02) | over)
    monitoring.render(settings, (), folder)
    command = [
        str(programs.alertmanager), f"--config.file={folder / 'alertmanager.yml'}", "--cluster.listen-address=",
        f"--storage.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{settings.alertmanager_port}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            until(lambda: answers(settings.alertmanager_port), "Alertmanager answers")
            yield settings.alertmanager_port
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        return bool(monitoring.ask(port, "/-/ready", None))
    except OSError:
        return False


def tell(port: int, *alerts: dict[str, str], **annotations: str) -> None:
    body = json.dumps([{"labels": labels, "annotations": annotations} for labels in alerts]).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v2/alerts", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()


def held_back(port: int) -> set[str]:
    found = monitoring.ask(port, "/api/v2/alerts?active=false&inhibited=true&silenced=false")
    return {"/".join(alert["labels"][one] for one in ("alertname", "projection") if one in alert["labels"])
            for alert in found if alert["status"]["inhibitedBy"]}  # fmt: skip


@pytest.mark.parametrize(
    ("part", "held"),
    [
        ("kafka", ALL - {"FieldTargetDown"}),
        ("postgres", {"FieldProjectionStuck/raw", "FieldStale/raw", "FieldGatewayErrors"}),
        ("redis", {"FieldProjectionStuck/redis", "FieldStale/redis"}),
    ],
)
def test_a_part_that_is_away_holds_back_what_follows_from_it_and_nothing_else(
    programs: Programs, pager: Pager, tmp_path: Path, part: str, held: set[str]
) -> None:
    with alertmanager(programs, pager, tmp_path) as port:
        rest = [
            {"alertname": name, "severity": "page"} | ({"projection": projection} if projection else {})
            for name, _, projection in (one.partition("/") for one in sorted(ALL))
        ]
        tell(port, {"alertname": "FieldPartDown", "severity": "page", "part": part}, *rest)
        until(lambda: held_back(port) == held, f"{held} are held back, {held_back(port)}")
        until(lambda: ("trigger", "FieldTargetDown") in pager.told, "the pager is told of what has another reason")
        told = {alert for _, alert in pager.told}
        assert not told & ({one.partition("/")[0] for one in held} - {one.partition("/")[0] for one in ALL - held})


def test_one_process_that_does_not_reach_a_part_holds_nothing_back(
    programs: Programs, pager: Pager, tmp_path: Path
) -> None:
    alone = ALERTS["FieldPartUnreached"]
    assert alone["labels"]["severity"] == "page"
    with alertmanager(programs, pager, tmp_path) as port:
        one = {"alertname": "FieldPartUnreached", "severity": "page", "part": "kafka", "instance": "gateway-1:8000"}
        tell(port, one, {"alertname": "FieldNoEvents", "severity": "page"})
        until(lambda: {alert for _, alert in pager.told} == {"FieldPartUnreached", "FieldNoEvents"}, "both are told")
        assert held_back(port) == set()


def test_a_ticket_waits_for_its_hours_and_a_page_does_not(programs: Programs, pager: Pager, tmp_path: Path) -> None:
    later = datetime.now(UTC) + timedelta(hours=3)
    hours = f"{later:%H}:00-{later:%H}:59"
    with alertmanager(programs, pager, tmp_path, ticket_hours=hours) as port:
        tell(port, {"alertname": "FieldDeadLetters", "severity": "ticket"})
        time.sleep(0.5)
        tell(port, {"alertname": "FieldNoEvents", "severity": "page"})
        until(lambda: ("trigger", "FieldNoEvents") in pager.told, "the page is told")
        time.sleep(2.0)  # twice group_wait
        assert pager.told == [("trigger", "FieldNoEvents")]


def test_a_ticket_is_told_in_its_hours(programs: Programs, pager: Pager, tmp_path: Path) -> None:
    with alertmanager(programs, pager, tmp_path) as port:
        tell(port, {"alertname": "FieldDeadLetters", "severity": "ticket"}, runbook_url="https://wiki.example/letters")
        until(lambda: ("trigger", "FieldDeadLetters") in pager.told, "the ticket is told")
    assert pager.runbooks["FieldDeadLetters"] == "https://wiki.example/letters"


@pytest.mark.parametrize("hours", ["8-18", "18:00-08:00", "08:00-25:00", "", "08:00-08:00"])
def test_hours_that_are_none_are_refused(tmp_path: Path, hours: str) -> None:
    with pytest.raises(SettingError, match="FIELD_TICKET_HOURS"):
        monitoring.render(replace(Settings(), ticket_hours=hours), (), tmp_path)


def test_an_alert_leads_to_its_runbook(tmp_path: Path) -> None:
    monitoring.render(replace(Settings(), runbook_url="https://wiki.example/runbooks/"), (), tmp_path)
    text = (tmp_path / "alerts.yml").read_text()
    assert "runbook_url: https://wiki.example/runbooks/FieldNoEvents.md" in text
    assert "runbook_url: deploy" not in text
    monitoring.render(Settings(), (), tmp_path)
    assert "runbook_url: deploy/runbooks/FieldNoEvents.md" in (tmp_path / "alerts.yml").read_text()
