"""The recorded conference, counted straight from its file: what the system must report after it was published.

Rows are ``t <tab> i <tab> j``. A row is two targeted touches at ``t`` s, so it is one echo of its two badges.
``python -m tests.oracle.contacts FILE`` prints the figures.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Contacts:
    """Counts of a contacts file. Devices are ``badge-<i>``; pairs are (smaller id, larger id) as texts."""

    events: int = 0
    ids: set[str] = field(default_factory=set)
    """names that the event ids are made of"""
    by_device: Counter[str] = field(default_factory=Counter)
    by_minute: Counter[int] = field(default_factory=Counter)
    """epoch minute -> events"""
    devices_by_minute: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    """pair -> seconds of its echoes"""
    is_sorted: bool = True

    @property
    def established(self) -> dict[tuple[str, str], int]:
        """Pair -> the first second that is the third distinct one within 60 s."""
        found = ((pair, third_within(sorted(seconds), 60)) for pair, seconds in self.seconds.items())
        return {pair: second for pair, second in found if second is not None}

    def figures(self) -> dict[str, int | bool]:
        """The figures that everybody compares."""
        return {
            "events": self.events,
            "distinct_ids": len(self.ids),
            "devices": len(self.by_device),
            "pairs_touched": len(self.seconds),
            "pairs_established": len(self.established),
            "minutes": len(self.by_minute),
            "minute_devices_max": max((len(devices) for devices in self.devices_by_minute.values()), default=0),
            "minute_events_max": max(self.by_minute.values(), default=0),
            "sorted": self.is_sorted,
        }


def third_within(seconds: list[int], window_s: int) -> int | None:
    """First element that closes three in a row spanning at most ``window_s``; ``seconds`` rising and distinct."""
    for first, third in zip(seconds, seconds[2:], strict=False):
        if third - first <= window_s:
            return third
    return None


def count(path: Path) -> Contacts:
    """Read a contacts file, gzip or plain."""
    contacts, before = Contacts(), -1
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            t, i, j = (int(part) for part in line.split())
            contacts.is_sorted = contacts.is_sorted and t >= before
            before = t
            for one, other in ((i, j), (j, i)):
                device = f"badge-{one}"
                contacts.events += 1
                contacts.ids.add(f"touch:{t}:{one}:{other}")
                contacts.by_device[device] += 1
                contacts.by_minute[t // 60] += 1
                contacts.devices_by_minute[t // 60].add(device)
            low, high = sorted((f"badge-{i}", f"badge-{j}"))
            contacts.seconds[low, high].add(t)
    return contacts


if __name__ == "__main__":
    print(json.dumps(count(Path(sys.argv[1])).figures(), indent=2))
