"""Vectors of log positions, as the gateway's callers write and read them: ``1:17,2:5``.

A position is the offset of the last record of a partition; pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

Positions = dict[int, int]

OFFSET_MAX: Final = (1 << 63) - 1
_FORM: Final = re.compile(r"[0-9]{1,5}:[0-9]{1,19}(?:,[0-9]{1,5}:[0-9]{1,19})*")


def parse(text: str, partitions: int) -> Positions:
    """The vector; raises ValueError that says what is wrong with it."""
    if not _FORM.fullmatch(text):
        raise ValueError("is not PARTITION:OFFSET,PARTITION:OFFSET...")
    found: Positions = {}
    for part in text.split(","):
        partition, offset = (int(number) for number in part.split(":"))
        if partition >= partitions:
            raise ValueError(f"names partition {partition}: there are {partitions}, from 0 on")
        if offset > OFFSET_MAX:
            raise ValueError(f"names offset {offset}, beyond every log")
        if partition in found:
            raise ValueError(f"names partition {partition} twice")
        found[partition] = offset
    return found


def told(positions: Mapping[int, int]) -> str:
    """The vector as ``parse`` reads it."""
    return ",".join(f"{partition}:{positions[partition]}" for partition in sorted(positions))


def reached(positions: Mapping[int, int], wanted: Mapping[int, int]) -> bool:
    """Whether ``positions`` reflect all of ``wanted``."""
    return all(positions.get(partition, -1) >= offset for partition, offset in wanted.items())


def lowest(vectors: Iterable[Mapping[int, int]]) -> Positions:
    """What all of them reflect, by partition; one that a vector does not have is in none."""
    vectors = list(vectors)
    known = set.intersection(*(set(vector) for vector in vectors)) if vectors else set()
    return {partition: min(vector[partition] for vector in vectors) for partition in sorted(known)}


def never_behind(positions: Positions, bound_ms: int) -> bool:
    """Where nobody watches the log."""
    return False
