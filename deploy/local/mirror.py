"""Which Debian mirror this machine uses, read from the text of its own apt configuration. Pure.

Both formats are understood: classic one-line ``sources.list`` and deb822 ``*.sources``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

_OPTIONS = re.compile(r"\[[^\]]*\]")


class Source(NamedTuple):
    """One archive in one suite: ``deb URI suite components...``."""

    uri: str
    suite: str
    components: tuple[str, ...]


def parse(name: str, text: str) -> list[Source]:
    """The binary archives of one apt file; its name tells the format (``.sources`` is deb822)."""
    return list(_deb822(text) if name.endswith(".sources") else _classic(text))


def choose(sources: Iterable[Source], codename: str) -> str | None:
    """The URI that serves the release itself: its main suite first, then any suite of that release.

    A security archive is never chosen: it has no other release's packages. None when nothing fits.
    """
    fitting = [s for s in sources if "main" in s.components and "security" not in s.suite + s.uri]
    exact = [s for s in fitting if s.suite == codename]
    related = [s for s in fitting if s.suite.startswith(codename + "-")]
    nameless = [s for s in fitting if s.suite in ("stable", "oldstable", "testing")]  # the release by another name
    return next((s.uri.rstrip("/") for s in exact + related + nameless), None)


def release(os_release: str) -> Mapping[str, str]:
    """The fields of ``/etc/os-release``."""
    pairs = (line.split("=", 1) for line in os_release.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _classic(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        words = _OPTIONS.sub(" ", line.split("#", 1)[0]).split()
        if len(words) >= 3 and words[0] == "deb":
            yield Source(words[1], words[2], tuple(words[3:]))


def _deb822(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, tuple(fields.get("components", "").split()))


def _fields(stanza: str) -> dict[str, str]:
    """Names in lower case; a line that begins with a blank goes on with the field before it."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace() and name:
            fields[name] += " " + line.strip()
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields
