"""What a Prometheus in the cluster finds of our pods, and that the rules and dashboards mean it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from deploy.local.monitoring import SOURCES
from streams.settings import Settings
from tests.kubernetes.kustomize import ROOT
from tests.kubernetes.world import ROLES, container_of, labels_of, makers, overlay
from tests.monitoring import files

META = "__meta_kubernetes_"
Labels = dict[str, str]


def label_of(name: str) -> str:
    return f"{META}pod_label_" + re.sub("[^a-zA-Z0-9]", "_", name)


def discovered(phase: str = "Running") -> Iterator[Labels]:
    """As Prometheus has them (role: pod): one for each port of a container, and one without where it has none.

    A generation beside is there, too.
    """
    for role, maker in makers(overlay("beside")).items():
        pod = {
            f"{META}pod_name": f"field-{role}-x7", f"{META}pod_phase": phase, f"{META}namespace": "field",
            **{label_of(name): text for name, text in labels_of(maker).items()},
        }  # fmt: skip
        for port in container_of(maker).get("ports", ()):
            number = str(port["containerPort"])
            at = {"__address__": f"10.1.2.3:{number}", f"{META}pod_container_port_name": port["name"]}
            yield pod | at
        if "ports" not in container_of(maker):
            yield pod | {"__address__": "10.1.2.3"}


def relabelled(labels: Labels, steps: list[dict[str, Any]]) -> Labels | None:
    """What is left of a target; None: it is none. Knows the three actions that are used."""
    found = {**labels, "job": "field", "instance": labels["__address__"]}
    for step in steps:
        match = re.fullmatch(step.get("regex", "(.*)"), ";".join(found.get(n, "") for n in step["source_labels"]))
        action = step.get("action", "replace")
        assert action in ("keep", "drop", "replace")
        if (action == "keep" and not match) or (action == "drop" and match):
            return None
        if action == "replace" and match:
            found[step["target_label"]] = match.expand(step.get("replacement", "$1").replace("$", "\\"))
    return {name: text for name, text in found.items() if not name.startswith(META)}


def targets(phase: str = "Running") -> list[Labels]:
    (job,) = yaml.safe_load((ROOT / "monitoring" / "scrape.yml").read_text())["scrape_configs"]
    assert [one["role"] for one in job["kubernetes_sd_configs"]] == ["pod"]
    found = (relabelled(labels, job["relabel_configs"]) for labels in discovered(phase))
    return [labels for labels in found if labels is not None]


def test_each_process_is_one_target_by_its_name() -> None:
    usual = Settings()
    assert sorted((one["job"], one["__address__"], one["instance"]) for one in targets()) == sorted(
        (f"field-{role}", f"10.1.2.3:{getattr(usual, f'{role}_metrics_port')}", f"field-{role}-x7") for role in ROLES
    )
    assert targets("Succeeded") == []


def test_they_are_called_as_on_one_machine() -> None:
    there = {one["labels"]["job"] for one in json.loads((SOURCES / "targets.json").read_text())}
    assert {one["job"] for one in targets()} == {job for job in there if job.startswith("field-")}


def test_every_selector_of_a_rule_or_dashboard_means_some_of_them() -> None:
    jobs = {one["job"] for one in targets()}
    texts = [rule["expr"] for kind in ("alert", "record") for rule in files.rules(kind)]
    texts += [query.text for query in files.queries() if not query.sql]
    asked = {found for text in texts for found in re.findall(r'\bjob\s*(=~|=)\s*"([^"]*)"', text)}
    ours = {(sign, text) for sign, text in asked if text.startswith("field") and text != "field-replay"}
    assert ("=~", "field-.*") in ours
    assert ("=", "field-worker") in ours
    for sign, text in ours:
        assert [job for job in jobs if (job == text if sign == "=" else re.fullmatch(text, job))], f"{sign} {text}"
