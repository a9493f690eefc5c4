"""How the consumer groups of projectors are called."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "project-"
"""Otherwise than the workers' groups, so that rights can tell them apart: nobody may join both."""


def group(scope: str, projection: str) -> str:
    """The projectors of ``projection`` that share its partitions; ``scope``: the generation, or the log of raw rows."""
    return f"{PREFIX}{scope}-{projection}"
