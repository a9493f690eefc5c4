"""A generation beside in Kubernetes: the same as production's but for its name, and in nobody's way."""

from __future__ import annotations

import copy
import re
from typing import Any

import kubernetes_validate
import pytest

from deploy.replay import runs
from streams import topics
from streams.settings import Settings, known, read
from tests.kubernetes.kustomize import ROOT, Document
from tests.kubernetes.test_manifests import VERSIONS
from tests.kubernetes.world import (
    COMPONENT,
    NEEDS,
    PORTS,
    container_of,
    labels_of,
    makers,
    overlay,
    selects,
    settings_map,
)  # fmt: skip

ROLES = ("worker", "projector", "publisher")
INSTANCE = "app.kubernetes.io/instance"
README = ROOT / "README.md"


def beside() -> list[Document]:
    """What the steps apply of the overlay."""
    return [d for d in overlay("beside") if d["metadata"].get("labels", {}).get(INSTANCE) == "beside"]


def generation() -> dict[str, str]:
    (one,) = (d for d in beside() if d["kind"] == "ConfigMap")
    return dict(one["data"])


def test_it_is_production_and_three_processes_more() -> None:
    rest = [d for d in overlay("beside") if d not in beside()]
    assert sorted(map(repr, rest)) == sorted(map(repr, overlay("production")))
    assert sorted((d["kind"], d["metadata"]["name"]) for d in beside()) == [
        ("ConfigMap", "field-beside"),
        ("Deployment", "field-projector-beside"),
        ("Deployment", "field-publisher-beside"),
        ("StatefulSet", "field-worker-beside"),
    ]
    assert not [d for d in overlay("production") if INSTANCE in repr(d)]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_follows_the_published_schemas(version: str) -> None:
    for document in beside():
        kubernetes_validate.validate(document, version, strict=True)


def plain(value: Any) -> Any:
    """Without what it has otherwise on purpose; lists by their content."""
    if isinstance(value, dict):
        left = {k: v for k, v in value.items() if k not in (INSTANCE, "replicas", "image", "envFrom")}
        return {k: plain(v) for k, v in left.items() if v is not None}
    if isinstance(value, list):
        items = [plain(one) for one in value if not isinstance(one, dict) or one.get("name") != "FIELD_INSTANCE"]
        return sorted(items, key=repr)
    return value.removesuffix("-beside") if isinstance(value, str) else value


@pytest.mark.parametrize("role", ROLES)
def test_a_process_beside_is_the_same_but_for_its_name_and_image(role: str) -> None:
    made = makers(overlay("beside"))
    one, now = made[f"{role}-beside"], made[role]
    assert plain(one) == plain(now)
    assert container_of(one)["image"] != container_of(now)["image"]
    assert container_of(one)["envFrom"] == [*container_of(now)["envFrom"], {"configMapRef": {"name": "field-beside"}}]
    names = {given["name"] for given in container_of(one)["env"]}
    assert not names & {"FIELD_INSTANCE", *generation()}, (
        "it leaves its group when it ends; its generation is in one place"
    )


def test_its_generation_is_the_one_that_a_replay_makes() -> None:
    given = generation()
    assert given.keys() == {"FIELD_GENERATION", "FIELD_CHANGES_TOPIC"}
    assert given["FIELD_CHANGES_TOPIC"] == runs.new(Settings(), given["FIELD_GENERATION"]).changes_topic
    assert given["FIELD_GENERATION"] != Settings().generation


def test_nothing_of_production_takes_its_pods_for_its_own() -> None:
    """A budget, Service or set with a selector that means them would count, show or delete them."""
    found = overlay("beside")
    made = makers(found)
    for role in ROLES:
        labels = labels_of(made[f"{role}-beside"])
        assert selects(made[f"{role}-beside"]["spec"]["selector"], labels)
        for document in found:
            if document["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
                mine = document["metadata"]["name"] == f"field-{role}-beside"
                assert selects(document["spec"]["selector"], labels) == mine, document["metadata"]["name"]
            if document["kind"] == "Service":
                assert not selects({"matchLabels": document["spec"]["selector"]}, labels)
        assert not selects(made[f"{role}-beside"]["spec"]["selector"], labels_of(made[role]))


@pytest.mark.parametrize("role", ROLES)
def test_it_reaches_what_the_role_needs_and_nobody_reaches_it(role: str) -> None:
    labels = labels_of(makers(overlay("beside"))[f"{role}-beside"])
    policies = {d["metadata"]["name"]: d["spec"] for d in overlay("beside") if d["kind"] == "NetworkPolicy"}
    own = {name for name, policy in policies.items() if selects(policy["podSelector"], labels)}
    assert own == {"field-nothing-else", "field-names", *(f"field-to-{part}" for part in NEEDS[role])}
    assert NEEDS[role] <= PORTS.keys()


def test_its_steps_name_what_there_is() -> None:
    """From the page: selectors, names, the group that KEDA asks for, and the generation in every place."""
    text = README.read_text()
    steps = text.partition("**A changed fold")[2].partition("\n**")[0]
    assert "-l app.kubernetes.io/instance=beside" in steps
    name = generation()["FIELD_GENERATION"]
    assert set(re.findall(r"field replay (?:run --name|verify|switch) (\S+)", steps)) == {name}
    assert f"consumerGroup: {topics.app_id(runs.new(Settings(), name))}" in steps
    assert all(f"{key}={value}" in steps for key, value in generation().items())
    for kind, one in re.findall(r"\b(statefulset|deployment)/(field-[\w-]+)", steps):
        assert [d for d in overlay("beside") if (d["kind"].lower(), d["metadata"]["name"]) == (kind, one)], one
    for file in re.findall(r"overlays/[\w/-]+\.yaml", steps):
        assert (ROOT / file).exists(), file
    (parts,) = re.findall(r"app\.kubernetes\.io/component in \(([^)]*)\)", steps)
    asked = set(parts.split(", "))
    there = {d["metadata"].get("labels", {}).get(COMPONENT) for d in overlay("production")}
    assert {"operator", "migrate"} <= asked <= there
    assert "consumerGroup: field-live" in (ROOT / "overlays" / "production" / "autoscaling.yaml").read_text()


def test_its_settings_are_read() -> None:
    found = overlay("beside")
    made = makers(found)
    for role in ROLES:
        container = copy.deepcopy(container_of(made[role]))
        environ = settings_map(found) | generation() | {one["name"]: one.get("value", "") for one in container["env"]}
        environ = {n: v for n, v in environ.items() if n in known() and n.startswith("FIELD_")}
        assert read(environ).generation == generation()["FIELD_GENERATION"]
