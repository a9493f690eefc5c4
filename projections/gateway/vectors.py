"""Positions in a log as text, ``9f3c21ab~0:41,1:17``: the last offset by partition that a reader has (-1: none of it).

What stands before ``~`` says of which log they are: offsets of another one mean nothing here. Who leaves it out means
the log that there is now.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

PARTITIONS_MAX: Final = 10_000
_PLACE: Final = "[0-9]{1,5}:(?:-1|[0-9]{1,18})"
PATTERN: Final = f"(?:([0-9a-f]{{8}})~)?({_PLACE}(?:,{_PLACE})*)"
"""Of the whole text; ``schema/openapi.py`` tells it, too."""
_TEXT: Final = re.compile(PATTERN)
_TEXT_MAX: Final = 32 * PARTITIONS_MAX

Vector = dict[int, int]


class Log(NamedTuple):
    """A topic, whose number of partitions is for life."""

    topic: str
    partitions: int

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that tell it from others."""
        return hashlib.blake2b(f"{self.topic}/{self.partitions}".encode(), digest_size=4).hexdigest()


class Place(NamedTuple):
    """Positions and the id of the log that they are of; empty: of what there is now."""

    log: str
    positions: Vector


def parse(text: str) -> Place:
    """Raises ValueError for anything else than distinct partitions with an offset each."""
    found = _TEXT.fullmatch(text) if len(text) <= _TEXT_MAX else None
    if not found:
        raise ValueError(f"{text[:80]!r} is no list of positions like 0:41,1:17")
    pairs = [part.split(":") for part in found[2].split(",")]
    positions = {int(partition): int(offset) for partition, offset in pairs}
    if len(positions) != len(pairs):
        raise ValueError(f"{text[:80]!r} names a partition twice")
    return Place(found[1] or "", positions)


def render(log: Log, positions: Mapping[int, int]) -> str:
    """The text, partitions in order."""
    return f"{log.id}~" + ",".join(f"{partition}:{positions[partition]}" for partition in sorted(positions))
