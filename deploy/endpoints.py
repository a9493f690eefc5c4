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
    """Asks all of the settings and ``further`` ones (host:port), each once.

    Blocks for TIMEOUT_S where one does not answer, and as long as the resolver takes where a name is not known.
    """
    named = [*(one.strip() for one in settings.endpoints.split(",") if one.strip()), *further]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        places = [place for found in pool.map(addresses, named) for place in found]
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


def summed(found: Iterable[Answer], role: str) -> Samples | None:
    """Of all processes of a role as of one; None where none has answered."""
    out: Samples = {}
    for samples in (one.samples for one in found if one.endpoint.role == role):
        for key, value in (samples or {}).items():
            out[key] = out.get(key, 0.0) + value
    return out or None
