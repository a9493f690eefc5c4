"""Under which licences: what the packages' metadata say, held to a list of those that may be used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib import metadata
from typing import Any, Final

from deploy import context
from deploy.audit.installed import Package

ALLOWED: Final = frozenset((
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "LGPL-3.0-only", "MIT", "MPL-2.0",
    "PSF-2.0", "Unlicense", "Zlib", "BSD (not said which)", "Repoze (BSD-like)",
))  # fmt: skip
"""SPDX names, and two that metadata do not say better. LGPL and MPL: used as they are, not changed, and replaceable."""

_SPOKEN: Final = (
    ("apache", "Apache-2.0"), ("mit", "MIT"), ("mozilla public license 2", "MPL-2.0"), ("mpl 2", "MPL-2.0"),
    ("mpl-2", "MPL-2.0"), ("python software foundation", "PSF-2.0"), ("psf", "PSF-2.0"), ("bsd-3", "BSD-3-Clause"),
    ("bsd-2", "BSD-2-Clause"), ("repoze", "Repoze (BSD-like)"), ("bsd", "BSD (not said which)"), ("isc", "ISC"),
)  # fmt: skip
UNKNOWN: Final = "not said"


def licence(found: metadata.Distribution) -> str:
    """Its SPDX expression, else what its classifiers or words mean; ``not said`` where that is nothing we know.

    Two classifiers may mean a choice or both: both is the safer reading.
    """
    said: Any = found.metadata
    if expression := said.get("License-Expression"):
        return str(expression)
    classifiers = [one for one in said.get_all("Classifier") or [] if one.startswith("License :: ")]
    words = [one.rpartition(" :: ")[2] for one in classifiers if not one.endswith("DFSG approved")]
    text = str(said.get("License") or "")
    meant = {_meaning(word) for word in words} or ({_meaning(text)} if len(text) < 100 else {UNKNOWN})
    return " AND ".join(sorted(meant))


def allowed(expression: str) -> bool:
    """Of an AND all parts, of an OR one; brackets are not looked into, so that they need a person."""
    return any(all(part.strip() in ALLOWED for part in one.split(" AND ")) for one in expression.split(" OR "))


def refused(packages: Iterable[Package]) -> list[str]:
    """Those that may not be used, for people."""
    found = [(one, licence(one.found)) for one in packages]
    return [f"{one.name} {one.version}: licence {name} is not on the list" for one, name in found if not allowed(name)]


def page(packages: Iterable[Package]) -> str:
    """``deploy/LICENCES.md``."""
    lines = [
        "# Licences", "",
        "What the field needs to run, by the metadata of the installed packages. This page is made from them: `field",
        "audit --licences`. What is not on the list in `deploy/audit/licences.py` fails the tests.", "",
        "| package | licence | needed by |", "| --- | --- | --- |",
        *(f"| {one.name} | {licence(one.found)} | {one.by or 'the field'} |" for one in packages),
        *(f"| {name} (the page) | {name_of} | the field |" for name, name_of in _page_parts()), "",
        "Wheels bring libraries along whose licences stand in their own folders: GEOS (LGPL-2.1) in shapely, libpq",
        "(PostgreSQL) and OpenSSL (Apache-2.0) in psycopg-binary, OpenBLAS and the GCC runtime in numpy. Not part of",
        "the field and installed beside it: Kafka (Apache-2.0) with its jars, PostgreSQL, TimescaleDB (Apache-2.0; its",
        "Community edition under the Timescale License), PostGIS (GPL-2.0-or-later) and Redis (BSD-3-Clause up to",
        "7.2, RSALv2 or SSPLv1 from 7.4 on).",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _page_parts() -> list[tuple[str, str]]:
    """What is built into the live page."""
    file = context.clone() / "projections" / "gateway" / "page" / "package-lock.json"
    if not file.is_file():
        return []
    found = json.loads(file.read_text(encoding="utf-8"))["packages"]
    return [
        (path.rpartition("node_modules/")[2], str(one.get("license", UNKNOWN)))
        for path, one in sorted(found.items()) if path and not one.get("dev")
    ]  # fmt: skip


def _meaning(text: str) -> str:
    low = text.lower()
    return next((name for word, name in _SPOKEN if re.search(rf"\b{re.escape(word)}", low)), UNKNOWN)
