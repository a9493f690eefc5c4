"""Known vulnerabilities, out of data that the operator brings: OSV's JSON, as files, a folder, or its zip for PyPI.

Nothing is asked over a network. What such data do not know, this does not know.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from deploy.audit.installed import Package, normal
from streams.errors import InputError

_VERSION: Final = re.compile(r"^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(.*)$")
_PHASES: Final = (("dev", -4), ("a", -3), ("b", -2), ("rc", -1), ("c", -1), ("post", 1))


class Hit(NamedTuple):
    """A package that an advisory is about."""

    package: str
    version: str
    advisory: str
    summary: str


class Data(NamedTuple):
    """What was read: how many advisories of PyPI, and the time of the newest one as it says it."""

    advisories: list[dict[str, Any]]
    newest: str


def read(path: Path) -> Data:
    """Raises InputError when there is nothing in it that is an advisory."""
    found = [one for one in _documents(path) if _of_pypi(one) and not one.get("withdrawn")]
    if not found:
        raise InputError(f"{path}: no advisory about PyPI packages in OSV's form (*.json, or its zip)")
    return Data(found, max(str(one.get("modified", "")) for one in found))


def hits(data: Data, packages: Iterable[Package]) -> list[Hit]:
    """Installed versions that are named, or lie in a range that is named."""
    here = {one.name: one for one in packages}
    found = set()
    for advisory in data.advisories:
        for affected in advisory["affected"]:
            package = here.get(normal(str(affected.get("package", {}).get("name", ""))))
            ours = affected.get("package", {}).get("ecosystem") == "PyPI"
            if package is not None and ours and _concerns(affected, package.version):
                text = str(advisory.get("summary") or advisory.get("details") or "").strip().splitlines() or [""]
                found.add(Hit(package.name, package.version, str(advisory.get("id")), text[0][:120]))
    return sorted(found)


def _documents(path: Path) -> Iterator[Any]:
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*.json")):
                yield json.loads(file.read_bytes())
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                for name in packed.namelist():
                    if name.endswith(".json"):
                        yield json.loads(packed.read(name))
        else:
            found = json.loads(path.read_bytes())
            yield from found if isinstance(found, list) else [found]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None


def _of_pypi(one: Any) -> bool:
    return isinstance(one, dict) and any(
        affected.get("package", {}).get("ecosystem") == "PyPI" for affected in one.get("affected", [])
    )


def _concerns(affected: dict[str, Any], version: str) -> bool:
    if version in affected.get("versions", []):
        return True
    ranges = [one for one in affected.get("ranges", []) if one.get("type") == "ECOSYSTEM"]
    return any(_within(one.get("events", []), key(version)) for one in ranges)


def _within(events: Iterable[dict[str, str]], at: tuple[Any, ...]) -> bool:
    """Between an ``introduced`` and the ``fixed`` (outside) or ``last_affected`` (inside) that follows it."""
    inside = False
    for kind, where in sorted(((kind, key(text)) for one in events for kind, text in one.items()), key=lambda e: e[1]):
        if kind == "introduced" and at >= where:
            inside = True
        elif (kind == "fixed" and at >= where) or (kind == "last_affected" and at > where):
            inside = False
    return inside


def key(version: str) -> tuple[Any, ...]:
    """Versions of packages in their order: epoch, numbers, then what comes before a release and after it."""
    match = _VERSION.match(version.strip().lower())
    if match is None:
        return (0, (), 0, 0)
    epoch, numbers, rest = match.groups()
    release = [int(part) for part in numbers.split(".")]
    while release and release[-1] == 0:
        release.pop()
    phase, number = 0, 0
    for word, place in _PHASES:
        if found := re.match(rf"^[._-]?{word}[a-z]*[._-]?(\d*)", rest):
            phase, number = place, int(found[1] or 0)
            break
    return (int(epoch or 0), tuple(release), phase, number)
