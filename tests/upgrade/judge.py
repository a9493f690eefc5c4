"""What must not have happened in a rehearsed upgrade."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def wrong(figures: Mapping[str, Any], *, nameless: bool = False) -> list[str]:
    """A line for each figure that is not what an upgrade promises; ``nameless`` workers may move partitions."""
    found = [
        f"{name}: {figures[name]}"
        for name in ("difference", "acknowledged and lost", "requests not answered well", "rebalances of the workers")
        if figures[name] and not (nameless and name == "rebalances of the workers")
    ]
    equal = re.fullmatch(r"(\d+) of (\d+) digests equal", figures["verifier"])
    if equal is None or equal[1] != equal[2]:
        found.append(f"verifier: {figures['verifier']}")
    return found
