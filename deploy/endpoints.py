"""The metrics endpoints that ``FIELD_ENDPOINTS`` names: of processes that run elsewhere, in Compose or Kubernetes."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import msgspec

from deploy import scrape
from deploy.scrape import ROLES, Samples
from streams.settings import Settings

AT_ONCE: Final = 16
"""Endpoints that are asked side by side."""


class Endpoint(msgspec.Struct):
    """A process elsewhere, at host:port. ``role`` is what it says of itself; empty, and not up, where it says none."""

    where: str
    role: str
    up: bool


class Answer(NamedTuple):
    """An endpoint, and what it has told."""

    endpoint: Endpoint
    samples: Samples | None


def ask(settings: Settings, further: Iterable[str] = ()) -> list[Answer]:
    """Asks all of the settings and ``further`` ones (host:port); blocks a second or so for one that does not answer."""
    named = [one.strip() for one in settings.endpoints.split(",") if one.strip()]
    places = [place for one in (*named, *further) for place in addresses(one)]
    if not places:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(places))) as pool:
        return list(pool.map(_ask, dict.fromkeys(places)))


def addresses(where: str) -> list[str]:
    """``where`` itself, or one for each address if its host has several, as a headless Service of Kubernetes has."""
    host, _, port = where.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError:
        return [where]
    # IPv4 where there is: the same process is not told twice
    ips = {str(entry[4][0]) for entry in found if entry[0] is socket.AF_INET}
    if len(ips) <= 1:
        return [where]
    return [f"{ip}:{port}" for ip in sorted(ips, key=socket.inet_aton)]


def _ask(where: str) -> Answer:
    samples = scrape.fetch(where)
    named = scrape.labelled(samples, "field_process_info", "role")
    role = next((role for role, value in named.items() if value and role in ROLES), "")
    return Answer(Endpoint(where, role, bool(role)), samples if role else None)


def summed(found: Iterable[Samples | None]) -> Samples | None:
    """Of several processes as of one; None where none has answered."""
    out: Samples = {}
    for samples in found:
        for key, value in (samples or {}).items():
            out[key] = out.get(key, 0.0) + value
    return out or None
