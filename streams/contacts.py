"""A recorded proximity file as events: who stood face to face with whom, as TOUCH of both.

A row is ``t i j`` (Unix seconds, badge numbers), separated by tabs or spaces; gzip is understood. Each row
becomes two targeted TOUCH events at ``t``: badge i to badge j, then the other way round, in room
``hall-<(i + j) mod 8>``, intensity 0.5, ``seq`` counting up by device in the order of the file.
"""

from __future__ import annotations

import gzip
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from streams.errors import InputError
from streams.events import MILLION, TOUCH, Event, Touch

HALLS: Final = 8


class Row(NamedTuple):
    """One contact: ``t`` Unix seconds, ``i`` and ``j`` badge numbers."""

    t: int
    i: int
    j: int


def read_rows(path: Path) -> list[Row]:
    """All rows of a file in its order; raises InputError that names the line."""
    try:
        blob = path.read_bytes()
        if blob[:2] == b"\x1f\x8b":
            blob = gzip.decompress(blob)
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: {error}") from None
    return [_row(path, number, line) for number, line in enumerate(blob.split(b"\n"), 1) if line.strip()]


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        t, i, j = (int(word) for word in line.split())
    except ValueError:
        raise InputError(f"{path}, line {number}: expected three whole numbers t i j") from None
    if t < 0 or i == j:
        raise InputError(f"{path}, line {number}: time before 1970, or somebody meets himself")
    return Row(t, i, j)


def shift_for(rows: Iterable[Row], now: int, speed: float) -> int:
    """Seconds to add so that the file is played into the present and no event lies in the future.

    ``now`` Unix seconds of the first sending; ``speed`` file seconds a second, ``inf`` for at once. At speed 1
    and below the first row gets ``now``, above it the last row gets the time at which it will be sent.
    """
    times = [row.t for row in rows]
    if not times:
        return 0
    first, last = min(times), max(times)
    if speed <= 1:
        return now - first
    return now + int((last - first) / speed) - last


def events(rows: Iterable[Row], shift: int = 0, epoch: int = 0) -> Iterator[Event]:
    """Two events a row; ``shift`` seconds are added to the times, and ids come from the shifted ones."""
    numbers: Counter[int] = Counter()
    for t, i, j in rows:
        for here, there in ((i, j), (j, i)):
            numbers[here] += 1
            room, target = f"hall-{(i + j) % HALLS}", f"badge-{there}"
            yield Event(
                timestamp=(t + shift) * 1000,
                id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"touch:{t + shift}:{here}:{there}")),
                type=TOUCH,
                device_id=f"badge-{here}",
                key=room,
                intensity=MILLION // 2,
                seq=numbers[here],
                epoch=epoch,
                room_id=room,
                target=target,
                data=Touch(target_device=target),
            )
