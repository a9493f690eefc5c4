"""Positions in the log as text, ``0:41,1:17``: the last offset by partition that a reader has (-1: none of it yet)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

PARTITIONS_MAX: Final = 10_000
_TEXT: Final = re.compile(r"\d{1,5}:(-1|\d{1,18})(,\d{1,5}:(-1|\d{1,18}))*", re.ASCII)
_TEXT_MAX: Final = 32 * PARTITIONS_MAX

Vector = dict[int, int]


def parse(text: str) -> Vector:
    """Raises ValueError for anything else than distinct partitions with an offset each."""
    if len(text) > _TEXT_MAX or not _TEXT.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no list of positions like 0:41,1:17")
    pairs = [part.split(":") for part in text.split(",")]
    found = {int(partition): int(offset) for partition, offset in pairs}
    if len(found) != len(pairs):
        raise ValueError(f"{text[:80]!r} names a partition twice")
    return found


def render(positions: Mapping[int, int]) -> str:
    """The text, partitions in order."""
    return ",".join(f"{partition}:{positions[partition]}" for partition in sorted(positions))
