"""What the manifests say, as the tests ask for it: settings, secrets and ways of each process."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, Final

from tests.kubernetes.kustomize import ROOT, Document, containers, pod, resolve

OVERLAYS: Final = ("example", "production")
NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
OURS: Final = "the-field"
ROLES: Final = ("worker", "projector", "publisher", "gateway")
PORTS: Final = {"kafka": 9092, "postgres": 5432, "redis": 6379}
NEEDS: Final = {
    "worker": {"kafka"},
    "projector": {"kafka", "postgres"},
    "publisher": {"kafka", "postgres", "redis"},
    "gateway": {"kafka", "postgres", "redis"},
    "migrate": {"kafka", "postgres"},
    "backup": {"kafka", "postgres"},
    "operator": {"kafka", "postgres", "redis"},
}
"""The arrows of the README's flow ("How it flows"), by process; ``test_processes.py`` runs each with these alone."""


def overlay(name: str) -> list[Document]:
    """All that is applied of an overlay; whoever asks may change it."""
    return copy.deepcopy(_resolved(name))


@cache
def _resolved(name: str) -> list[Document]:
    return resolve(ROOT / "overlays" / name)


def makers(found: list[Document]) -> dict[str, Document]:
    """What makes our pods, by component."""
    ours = [d for d in found if pod(d) is not None and d["metadata"].get("labels", {}).get(NAME) == OURS]
    return {document["metadata"]["labels"][COMPONENT]: document for document in ours}


def container_of(maker: Document) -> Document:
    """Its one container."""
    (one,) = containers(maker)
    return one


def settings_map(found: list[Document]) -> dict[str, str]:
    (one,) = (d for d in found if d["kind"] == "ConfigMap" and d["metadata"]["name"] == "field-settings")
    return dict(one["data"])


def environment(found: list[Document], maker: Document) -> dict[str, str]:
    """What a process finds; secrets as NAME_FILE. The name of the pod is ``name-0``."""
    container = container_of(maker)
    assert [one["configMapRef"]["name"] for one in container["envFrom"]] == ["field-settings"]
    environ = settings_map(found)
    for one in container.get("env", ()):
        if "valueFrom" in one:
            assert one["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
            environ[one["name"]] = f"{maker['metadata']['name']}-0"
        else:
            environ[one["name"]] = one["value"]
    return environ


def selects(selector: Document, labels: Document) -> bool:
    """Whether a label selector means a pod with these labels."""
    plain = all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    assert all(one["operator"] == "In" for one in selector.get("matchExpressions", ()))
    return plain and all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", ()))


def pod_of(maker: Document) -> Document:
    """The pod that it makes."""
    made = pod(maker)
    assert made is not None
    return made


def labels_of(maker: Document) -> dict[str, Any]:
    return dict(pod_of(maker)["metadata"]["labels"])
