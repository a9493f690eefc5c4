"""The Python packages that are installed and needed, by their own metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from deploy import context
from streams.errors import SetupError

DISTRIBUTION: Final = "the-field"
_LINE: Final = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:\[([A-Za-z0-9,._ -]+)\])?\s*\(?([^;()]*)\)?\s*(?:;(.*))?$")


class Asked(NamedTuple):
    """A requirement: ``version`` is that of a pin (==), else empty; ``marker`` is when it is needed."""

    name: str
    extras: frozenset[str]
    version: str
    marker: str


class Package(NamedTuple):
    """An installed package; ``by``: which package asks for it first, empty for our own requirements."""

    name: str
    version: str
    by: str
    found: metadata.Distribution


def normal(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked() -> list[Asked]:
    """Our own requirements: of the clone's file, else those of the installed distribution. Raises SetupError."""
    file = context.clone() / "requirements.txt"
    if file.is_file():
        return list(_parsed(_lines(file)))
    try:
        return list(_parsed(metadata.requires(DISTRIBUTION) or []))
    except metadata.PackageNotFoundError:
        raise SetupError("neither requirements.txt nor the installed distribution says what is needed") from None


def needed(requirements: Iterable[Asked]) -> tuple[list[Package], list[str]]:
    """(all that these packages need, by name; what is missing, for people).

    What is needed only under a condition (another system, an older Python) counts where it is installed.
    """
    todo = [(one, "") for one in requirements]
    found: dict[str, Package] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    missing = []
    while todo:
        one, by = todo.pop(0)
        if (one.name, one.extras) in done:
            continue
        done.add((one.name, one.extras))
        try:
            distribution = metadata.distribution(one.name)
        except metadata.PackageNotFoundError:
            if not one.marker:
                missing.append(f"{one.name} is not installed, which {by or 'the field'} needs")
            continue
        found.setdefault(one.name, Package(one.name, distribution.version, by, distribution))
        for other in _parsed(distribution.requires or []):
            if "extra" not in other.marker or any(_names(other.marker, extra) for extra in one.extras):
                todo.append((other, one.name))
    return sorted(found.values()), missing


def pins(requirements: Iterable[Asked]) -> list[str]:
    """What is not as it was asked for, for people."""
    told = []
    for one in requirements:
        if not one.version:
            told.append(f"{one.name} has no pin (name==version) in requirements.txt")
            continue
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            continue  # ``needed`` tells it
        if version != one.version:
            told.append(f"{one.name} {version} is installed, {one.version} was asked for")
    return told


def _lines(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text and not text.startswith("-"):
            yield text


def _parsed(lines: Iterable[str]) -> Iterator[Asked]:
    for line in lines:
        match = _LINE.match(line.strip())
        if match is None:
            raise SetupError(f"a requirement cannot be read: {line!r}")
        name, extras, version, marker = match.groups()
        pin = version.strip().removeprefix("==").strip() if version.strip().startswith("==") else ""
        wanted = frozenset(normal(extra.strip()) for extra in (extras or "").split(",") if extra.strip())
        yield Asked(normal(name), wanted, pin, (marker or "").strip())


def _names(marker: str, extra: str) -> bool:
    return any(normal(found) == extra for found in re.findall(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker))
