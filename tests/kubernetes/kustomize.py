"""As much of kustomize as ``deploy/kubernetes`` uses, so that its tests need no other program.

Where ``kubectl`` is on the path, ``test_manifests.py`` holds it to what the real one makes of every overlay.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
KEYS: Final = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath"}
"""Lists that a patch merges by this key; any other list it replaces."""

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    """All of a file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def resolve(folder: Path, below: list[Document] | None = None) -> list[Document]:
    """What is applied of an overlay; names of generated ConfigMaps and Secrets have no hash.

    ``below``: what a component is laid on.
    """
    (told,) = documents(folder / "kustomization.yaml")
    found = copy.deepcopy(below or [])
    for name in told.get("resources", ()):
        found += resolve(folder / name) if (folder / name).is_dir() else documents(folder / name)
    for kind, generator in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
        for one in told.get(generator, ()):
            _generate(found, kind, one)
    for name in told.get("components", ()):
        found = resolve(folder / name, found)
    for patch in told.get("patches", ()):
        text = (folder / patch["path"]).read_text() if "path" in patch else patch["patch"]
        for content in yaml.safe_load_all(text):
            _patch(found, content, patch.get("target"))
    for one in told.get("replicas", ()):
        for document in found:
            if document["metadata"]["name"] == one["name"] and document["kind"] in ("Deployment", "StatefulSet"):
                document["spec"]["replicas"] = one["count"]
    for one in told.get("images", ()):
        for container in (box for document in found for box in containers(document)):
            if container["image"] == one["name"]:
                container["image"] = f"{one['newName']}:{one['newTag']}"
    return found


def pod(document: Document) -> Document | None:
    """The pod's own part of what makes pods."""
    if document["kind"] == "CronJob":
        by_the_clock: Document = document["spec"]["jobTemplate"]["spec"]["template"]
        return by_the_clock
    made: Document | None = document.get("spec", {}).get("template")
    return made if document["kind"] in ("Deployment", "StatefulSet", "Job") else None


def containers(document: Document) -> list[Document]:
    """All containers of what makes pods."""
    made = pod(document)
    return [] if made is None else [*made["spec"]["containers"], *made["spec"].get("initContainers", ())]


def _generate(found: list[Document], kind: str, one: Document) -> None:
    given = dict(line.split("=", 1) for line in one.get("literals", ()))
    if one.get("behavior") == "merge":
        (there,) = (d for d in found if d["kind"] == kind and d["metadata"]["name"] == one["name"])
        there["data"] |= given
        return
    labels = one.get("options", {}).get("labels", {})
    metadata = {"name": one["name"], "labels": labels}
    found.append({"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": given})


def _patch(found: list[Document], content: Any, target: Document | None) -> None:
    if isinstance(content, list):
        for document in _targets(found, target or {}):
            for step in content:
                _step(document, step)
        return
    (there,) = _targets(found, {"kind": content["kind"], "name": content["metadata"]["name"]})
    _merge(there, content)


def _targets(found: list[Document], target: Document) -> Iterator[Document]:
    for document in found:
        group = document["apiVersion"].rpartition("/")[0]
        labels = {f"{name}={value}" for name, value in document["metadata"].get("labels", {}).items()}
        wanted = (
            target.get("kind", document["kind"]) == document["kind"]
            and target.get("name", document["metadata"]["name"]) == document["metadata"]["name"]
            and target.get("group", group) == group
            and set(filter(None, target.get("labelSelector", "").split(","))) <= labels
        )
        if wanted:
            yield document


def _step(document: Document, step: Document) -> None:
    *way, last = step["path"].strip("/").split("/")
    here: Any = document
    for word in way:
        here = here[int(word)] if isinstance(here, list) else here[word]
    if step["op"] == "remove":
        del here[last]
    elif step["op"] == "add" and last == "-":
        here.append(copy.deepcopy(step["value"]))
    else:
        raise NotImplementedError(f"{step}: no patch of ours needs it so far")


def _merge(there: Document, content: Document) -> None:
    for name, value in content.items():
        if isinstance(value, dict) and isinstance(there.get(name), dict):
            _merge(there[name], value)
        elif name in KEYS and isinstance(there.get(name), list):
            key = KEYS[name]
            for item in value:
                same = [one for one in there[name] if one[key] == item[key]]
                if same:
                    _merge(same[0], item)
                else:
                    there[name].append(copy.deepcopy(item))
        else:
            there[name] = copy.deepcopy(value)
