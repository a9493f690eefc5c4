"""How far an archive is in a topic: the header ``archived`` of its copies says so of each partition of the archive.

Pure.
"""

from __future__ import annotations

import re
from typing import Final

MARK: Final = "archived"
Place = tuple[int, int]
"""(offset, index) of an archived event."""
Marks = dict[int, Place]
"""By partition of the archive the last event that is in the topic; none: (-1, -1)."""
NOTHING: Final = (-1, -1)
_MARK: Final = re.compile(rb"([A-Za-z0-9._-]+) ((?:[0-9]{1,9}:[0-9]{1,19}/[0-9]{1,9} ?)+)")


def write_marks(topic: str, marks: Marks) -> bytes:
    """The header: ``topic partition:offset/index ...``."""
    places = " ".join(f"{number}:{offset}/{index}" for number, (offset, index) in sorted(marks.items()))
    return f"{topic} {places}".encode()


def read_marks(header: bytes | None) -> tuple[str, Marks] | None:
    """The archived topic and the marks that a header says; None for any other bytes."""
    if header is None or not (found := _MARK.fullmatch(header)):
        return None
    marks = {}
    for part in found[2].split():
        number, offset, index = (int(digits) for digits in re.split(rb"[:/]", part))
        marks[number] = (offset, index)
    return found[1].decode(), marks
