"""``field state --as-of``: what the field was, out of the log folded once more up to a position or a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deploy import backend
from streams.changes import ShardView
from streams.errors import InputError
from streams.fold.as_of import FOREVER, AsOf
from streams.fold.rules import Rules
from streams.history import History
from streams.settings import Settings

HELP: Final = (
    "what it was: TIME (RFC 3339 or epoch ms: events up to it, read at it) or POSITION (partition:offset,...: the log "
    "up to and with these records; a partition that is not named is taken whole, p:-1 is nothing of it; read at --at, "
    "else at the newest event in it)"
)


class Past(NamedTuple):
    """Views to be read at ``at`` (ms); ``positions``: the last offset looked at, by partition (-1: none)."""

    views: list[ShardView]
    at: int
    positions: dict[int, int]


async def look(settings: Settings, prefix: Mapping[int, int], at: int | None) -> Past:
    """``past`` of the log of these settings; raises PartUnavailable too."""
    async with backend.of(settings).history() as history:
        return await past(history, prefix, at, settings.rules)


async def past(history: History, prefix: Mapping[int, int], at: int | None, rules: Rules) -> Past:
    """Fold the log up to ``prefix`` (other partitions whole) as of ``at`` ms, or of its newest event.

    Raises InputError when the log has no such position, HistoryError when its beginning is gone.
    """
    ends = {partition: end - 1 for partition, (_, end) in (await history.bounds()).items()}
    for partition, offset in prefix.items():
        if partition not in ends:
            raise InputError(f"--as-of {partition}:{offset}: partitions are 0 to {len(ends) - 1}")
        if offset > ends[partition]:
            last = f"its last record is {ends[partition]}" if ends[partition] >= 0 else "it is empty"
            raise InputError(f"--as-of {partition}:{offset} is beyond the log of the partition: {last}")
    positions = dict(sorted((ends | dict(prefix)).items()))
    fold = await _folded(history, positions, AsOf([FOREVER if at is None else at], rules))
    ((_, views),) = fold.readings()
    watermark = max((view.watermark for view in views), default=-1)
    return Past(views, max(watermark, 0) if at is None else at, positions)


async def _folded(history: History, positions: Mapping[int, int], fold: AsOf) -> AsOf:
    """Hand in the log from its beginning; shows how far that is where somebody looks on."""
    console = Console(stderr=True)
    columns = (TextColumn("folding the log"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=sum(positions.values()) + len(positions))
        for partition, last in positions.items():
            async for entries in history.entries(partition, 0, last + 1):
                for entry in entries:
                    fold.fold(partition, entry.offset, entry.events)
                progress.advance(task, len(entries))
    return fold
