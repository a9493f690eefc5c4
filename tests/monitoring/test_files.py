"""The tools of Prometheus and Alertmanager find nothing wrong, and each alert fires when it should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from deploy.local import monitoring
from deploy.local.monitoring import SOURCES
from deploy.local.prometheus import Programs
from streams.metrics import REGISTRY
from streams.settings import Settings

ROLES = ("worker", "projector", "publisher", "gateway")


def run(*words: str | Path, text: str = "") -> str:
    """What a tool says; fails with all of it where the tool does."""
    done = subprocess.run([str(word) for word in words], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_alert_fires_when_it_should(programs: Programs) -> None:
    run(programs.promtool, "test", "rules", SOURCES / "alerts_test.yml")


def test_the_files_as_they_stand_are_right(programs: Programs) -> None:
    run(programs.promtool, "check", "config", SOURCES / "prometheus.yml")
    run(programs.amtool, "check-config", SOURCES / "alertmanager.yml")


def test_how_a_cluster_is_scraped_is_right(programs: Programs, tmp_path: Path) -> None:
    """But for how pods are found: Debian's Prometheus is built without Kubernetes."""
    found = yaml.safe_load((SOURCES.parent / "kubernetes" / "monitoring" / "scrape.yml").read_text())
    for job in found["scrape_configs"]:
        assert job.pop("kubernetes_sd_configs")
        job["static_configs"] = [{"targets": ["pod:9101"]}]
    (tmp_path / "scrape.yml").write_text(yaml.safe_dump(found))
    run(programs.promtool, "check", "config", tmp_path / "scrape.yml")


def test_the_files_of_production_are_right(programs: Programs, tmp_path: Path) -> None:
    """As ``compose.production.yaml`` mounts them."""
    folder = SOURCES.parent / "production" / "prometheus"
    for file in (SOURCES / "prometheus.yml", SOURCES / "alerts.yml", *folder.glob("*.json")):
        shutil.copy(file, tmp_path)
    told = run(programs.promtool, "check", "config", tmp_path / "prometheus.yml")
    assert "rules found" in told


def test_the_lines_of_the_page_put_in_what_field_up_puts_in(tmp_path: Path) -> None:
    """In production the files are mounted; the page has lines that change them as the settings do for ``field up``."""
    deploy = tmp_path / "deploy"
    (deploy / "operator").mkdir(parents=True)
    shutil.copytree(SOURCES, deploy / "prometheus")
    page = (SOURCES.parent / "README.md").read_text()
    (lines,) = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "runbook_url" in block]
    assert "\ndocker compose up -d --no-deps prometheus alertmanager\n" in lines
    run("sh", "-euc", f"cd {deploy}\n" + lines.partition("docker compose")[0])
    key = tmp_path / "key"
    key.write_text("of the pager")
    settings = Settings(
        runbook_url="https://wiki.example/runbooks", ticket_hours="06:00-20:00", pager_key_file=str(key)
    )
    monitoring.render(settings, (), tmp_path / "rendered", in_container=True)
    for name in ("alerts.yml", "alertmanager.yml"):
        assert (deploy / "operator" / name).read_text() == (tmp_path / "rendered" / name).read_text()
        assert (deploy / "operator" / name).read_text() != (SOURCES / name).read_text()
    named = dict(line.split("=") for line in (deploy / ".env").read_text().splitlines())
    mounted = (SOURCES.parent / "compose.production.yaml").read_text()
    assert named == {"FIELD_ALERTS": "./operator/alerts.yml", "FIELD_ALERTMANAGER": "./operator/alertmanager.yml"}
    for variable, name in zip(named, ("alerts.yml", "alertmanager.yml"), strict=True):
        assert f"${{{variable}:-./prometheus/{name}}}:" in mounted


def test_the_names_and_texts_of_our_metrics_are_as_prometheus_wants_them(programs: Programs) -> None:
    assert run(programs.promtool, "check", "metrics", text=generate_latest(REGISTRY).decode()) == ""


@pytest.mark.parametrize(("key", "receiver"), [(True, "pager"), (False, "screen")])
def test_the_files_of_a_stack_are_right(programs: Programs, tmp_path: Path, key: bool, receiver: str) -> None:
    file = tmp_path / "key"
    file.write_text("never in a file")
    settings = Settings(alert_factor=0.02, pager_key_file=str(file) if key else "", worker_metrics_port=7001)
    folder = tmp_path / "monitoring"
    monitoring.render(settings, ROLES, folder)
    run(programs.promtool, "check", "config", folder / "prometheus.yml")
    run(programs.amtool, "check-config", folder / "alertmanager.yml")
    told = run(
        programs.amtool, "config", "routes", "test", "--config.file", folder / "alertmanager.yml", "severity=page"
    )
    assert told.strip() == receiver
    assert (f"routing_key_file: {file}" in (folder / "alertmanager.yml").read_text()) == key
    assert "never in a file" not in (folder / "alertmanager.yml").read_text()
    assert "127.0.0.1:7001" in (folder / "targets.json").read_text()
    assert '"field-gateway"' in (folder / "targets.json").read_text()


def test_times_are_multiplied_and_nothing_else() -> None:
    text = "for: 5m\nexpr: rate(x[10m]) > 300 # 5m\nscrape_interval: 5s\nrepeat_interval: 4h\n"
    shorter = "for: 30000ms\nexpr: rate(x[60000ms]) > 300 # 5m\nscrape_interval: 1000ms\nrepeat_interval: 4h\n"
    assert monitoring.scaled(text, 0.1) == shorter
    assert monitoring.scaled(text, 1.0) == text
