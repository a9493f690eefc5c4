"""The verifier's modules for tests: loaded by their path, since they are a script and belong to no package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve().parent.parent / "schema" / "verifier.py"

sys.path.insert(0, str(SCRIPT.parent))
try:
    verifier: Any = importlib.import_module("verifier")
    verifier_events: Any = importlib.import_module("verifier_events")
finally:
    sys.path.remove(str(SCRIPT.parent))

RECEIVED_MS = 1_800_000_000_000
"""After all events of the tests' worlds."""


@contextmanager
def constants(over: Mapping[str, float]) -> Iterator[None]:
    """The verifier with other constants."""
    before = dict(verifier.RULES)
    verifier.RULES.update(over)
    try:
        yield
    finally:
        verifier.RULES.update(before)


def verified(logs: Iterable[Iterable[bytes]], over: Mapping[str, float]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Tables and digests as the verifier has them; ``logs``: values of the records by partition."""
    logs = [list(values) for values in logs]
    with constants(over):
        partitions = [verifier.Partition(number, len(logs), "log", set()) for number in range(len(logs))]
        for partition, values in zip(partitions, logs, strict=True):
            for offset, value in enumerate(values):
                partition.record(offset, RECEIVED_MS, {}, value)
        assert not any(partition.refused for partition in partitions)
        return verifier.tables(partitions), verifier.digests(partitions)
