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


def in_reality(alert: str) -> str:
    """How long after a fault it comes, by its rule: ``for`` and the seconds that an age has to reach, and at most the
    longest time that its expression looks back on, beside.
    """
    rule = next(rule for rule in rules("alert") if rule["alert"] == alert)
    records = {record["record"]: record["expr"] for record in rules("record")}
    text = " ".join([rule["expr"], *(expr for name, expr in records.items() if name in rule["expr"])])
    age_s = max((int(one) for one in re.findall(r"(?:age|freshness)_seconds\b[^<>]*> (\d+)", text)), default=0)
    least_s = age_s + _seconds(rule.get("for", "0s"))
    most_s = least_s + max((_seconds(one) for one in re.findall(r"\[(\w+)\]", text)), default=0)
    return f"{least_s / 60:g} to {most_s / 60:g} min" if most_s > least_s else f"{least_s / 60:g} min"


def _seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


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
