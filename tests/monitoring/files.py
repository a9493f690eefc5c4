"""Alert rules, dashboards and runbooks as data, and the metrics that they ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from deploy.local.monitoring import SOURCES
from streams import metrics

DASHBOARDS = SOURCES.parent / "grafana" / "dashboards"
RUNBOOKS = SOURCES.parent / "runbooks"
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
_OTHERS = {"up", "ALERTS", "alertmanager_notifications_failed_total"}


class Query(NamedTuple):
    """One target of a panel; ``text`` is PromQL, or SQL where ``sql``."""

    dashboard: str
    panel: str
    text: str
    sql: bool


def rules(kind: str) -> list[dict[str, Any]]:
    """All of the rules that are an ``alert`` or a ``record``."""
    groups = yaml.safe_load((SOURCES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def dashboards() -> dict[str, dict[str, Any]]:
    """By name of the file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def queries() -> Iterator[Query]:
    """Of all dashboards."""
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                sql = target["datasource"]["type"] == "postgres"
                yield Query(name, panel["title"], target["rawSql" if sql else "expr"], sql)


def exposed() -> set[str]:
    """Names of all samples that processes of ours serve, and of what rules make of them."""
    ours = {family.name + suffix for family in metrics.REGISTRY.collect() for suffix in _SUFFIXES.get(family.type, ())}
    return ours | {rule["record"] for rule in rules("record")} | _OTHERS


def asked(promql: str) -> set[str]:
    """Names of metrics in a query: what stands before a selector, or alone; no labels, functions or words."""
    text = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without|group_left|group_right)\s*\([^)]*\)', " ", promql)
    words = re.findall(r"(?<![\w.:$])[A-Za-z_][\w:]*(?!\w)(?!\s*\()", text)
    return set(words) - {
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "group_left",
        "group_right",
        "sum",
        "by",
        "max",
        "min",
    }
