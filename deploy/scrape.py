"""Reads the metrics endpoints of our own processes, for the status and the live view."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from streams.settings import Settings

ROLES: Final = ("worker", "projector", "publisher", "gateway")
TIMEOUT_S: Final = 1.0

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Value by name and sorted labels."""


def scrape(settings: Settings, role: str) -> Samples | None:
    """All samples of one process; None when its endpoint does not answer (or its port is 0, so not known)."""
    port = getattr(settings, f"{role}_metrics_port")
    if not port:
        return None
    return fetch(f"{settings.metrics_host}:{port}")


def fetch(where: str) -> Samples | None:
    """All samples of the endpoint at host:port; None when it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{where}/metrics", timeout=TIMEOUT_S) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples | None, name: str, labels: Mapping[str, str] | None = None) -> float | None:
    """One sample; None when it is not there."""
    return None if samples is None else samples.get((name, tuple(sorted((labels or {}).items()))))


def labelled(samples: Samples | None, name: str, label: str) -> dict[str, float]:
    """Values of a metric by the value of one label."""
    out = {}
    for (found, labels), number in (samples or {}).items():
        if found == name:
            out[dict(labels).get(label, "")] = number
    return out
