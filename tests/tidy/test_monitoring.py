"""Nothing is asked of Prometheus that nobody serves; every alert has a page and a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deploy.local.monitoring import SOURCES
from projections import hot, raw, samples, state
from tests.monitoring import files
from tests.monitoring.alerts import UNCAUSED
from tests.tidy.source import ROOT

ALERTS = {rule["alert"]: rule for rule in files.rules("alert")}
PAGES = sorted(files.RUNBOOKS.glob("Field*.md"))


def test_every_metric_of_a_rule_or_dashboard_is_served() -> None:
    wanted = {rule["expr"] for kind in ("alert", "record") for rule in files.rules(kind)}
    wanted |= {query.text for query in files.queries() if not query.sql}
    names = {name for text in wanted for name in files.asked(text)}
    assert {"field_fold_position", "up", "field:fold_lag_records:sum", "field_gateway_seconds_bucket"} <= names
    assert not names - files.exposed()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_runbook_a_test_and_says_what_is_the_matter(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"deploy/runbooks/{name}.md"
    text = (ROOT / rule["annotations"]["runbook_url"]).read_text()
    assert re.findall("^# (.+)|^## (.+)", text, re.MULTILINE) == [
        (name, ""), ("", "What it means"), ("", "What to look at"), ("", "What to do"),
    ]  # fmt: skip
    tests = yaml.safe_load((SOURCES / "alerts_test.yml").read_text())["tests"]
    fired = {sample["labels"] for one in tests for check in one["promql_expr_test"] for sample in check["exp_samples"]}
    assert f'{{alertname="{name}"}}' in fired


def test_a_runbook_is_of_an_alert_and_leads_nowhere_else() -> None:
    assert {path.stem for path in PAGES} == set(ALERTS)
    for path in [*PAGES, files.RUNBOOKS / "README.md"]:
        for link in re.findall(r"\]\(([^)#]+)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_runbook_names_panels_that_there_are_and_says_where_else_one_may_be(path: Path) -> None:
    text = path.read_text()
    assert "](README.md#where-am-i)" in text
    titles = {name: {panel["title"] for panel in board["panels"]} for name, board in files.dashboards().items()}
    known = set().union(*titles.values())
    said = re.sub(r"`[^`]*`|\[[^]]*\]\([^)]*\)(?:, \"[^\"]*\")?", "", " ".join(text.split()))  # no commands, no links
    for board, panel in re.findall(r'\*(\w+)\*|"([^"]+)"', said):
        assert not board or board in titles, f"there is no dashboard {board}"
        known = titles[board] if board else known
        assert not panel or panel in known, f"there is no panel {panel}"


def test_what_is_held_back_and_who_is_told_are_alerts() -> None:
    alerting = yaml.safe_load((SOURCES / "alertmanager.yml").read_text())
    named = set(re.findall(r"Field\w+", str(alerting["inhibit_rules"])))
    assert named
    assert named <= set(ALERTS)
    projections = set(re.findall(r'projection!?="(\w+)"', str(alerting["inhibit_rules"])))
    assert projections
    assert projections <= {raw.NAME, state.NAME, samples.NAME, hot.NAME}, "no such label is ever served"


@pytest.mark.parametrize("name", files.dashboards())
def test_a_dashboard_is_whole(name: str) -> None:
    board = files.dashboards()[name]
    assert board["uid"] == f"field-{name}"
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies over another"
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] in ("field-prometheus", "field-postgres")


@pytest.mark.parametrize("name", files.dashboards())
def test_a_table_of_labels_shows_them_as_they_are(name: str) -> None:
    for panel in files.dashboards()[name]["panels"]:
        if panel["type"] == "table" and panel["datasource"]["type"] == "prometheus":
            unit = panel["fieldConfig"]["defaults"]["unit"]
            assert unit == "string", f"{panel['title']}: a position is rounded, a label that looks like a number is one"


def test_the_datasources_are_the_ones_that_dashboards_name() -> None:
    folder = files.DASHBOARDS.parent / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "field.yaml").read_text())["datasources"]
    asked = {t["datasource"]["uid"] for b in files.dashboards().values() for p in b["panels"] for t in p["targets"]}
    assert asked == {source["uid"] for source in sources}


def test_the_datasources_are_given_what_they_ask_for() -> None:
    text = (files.DASHBOARDS.parent / "provisioning" / "datasources" / "field.yaml").read_text()
    asked = set(re.findall(r"\$([A-Z_]+)", text))
    assert {"POSTGRES_SSLMODE", "POSTGRES_CA_FILE", "POSTGRES_USER"} <= asked
    given = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["grafana"]["environment"]
    assert asked <= set(given), "what is not given is empty, and nothing says so"


def test_the_viewer_may_read_what_the_public_dashboard_shows_and_nothing_else() -> None:
    asked = {query.text for query in files.queries() if query.sql and query.dashboard == "public"}
    shown = {name for text in asked for name in re.findall(r"\bFROM (\w+)", text)}
    assert len(shown) == 5
    grants = (ROOT / "schema" / "sql" / "grants.sql").read_text()
    given = re.findall(r"GRANT ([^;]*) TO field_viewer;", grants)
    assert all(one.startswith("SELECT ON") for one in given)
    names = {name for one in given for name in re.findall(r"\w+", one.removeprefix("SELECT ON"))}
    assert names == shown | {"current_generation"}
    assert len(given) == grants.count("TO field_viewer")


def test_how_long_an_alert_takes_is_worked_out_from_its_rule() -> None:
    assert files.in_reality("FieldTargetDown") == "1 min"
    assert files.in_reality("FieldStale") == "1.5 min"
    assert files.in_reality("FieldNoEvents") == "10 to 12 min"
    assert files.in_reality("FieldGatewayErrors") == "5 to 10 min"  # the five minutes are those of a recorded rule


def test_the_page_says_how_long_each_alert_takes_in_reality() -> None:
    page = (ROOT / "deploy" / "README.md").read_text()
    said = dict(re.findall(r"^\| [^|]+ \| (Field\w+) \| ([^|]+) \| [\d-]+ \|", page, re.MULTILINE))
    assert said == {alert: files.in_reality(alert) for alert in said}
    assert set(said) | UNCAUSED == set(ALERTS)
