"""``field replay plan``: what a replay would read, take and write, estimated from a folded sample; touches nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from streams import engine
from streams.archive.history import open_history
from streams.errors import InputError
from streams.history import History
from streams.replay.span import Span
from streams.settings import Settings
from streams.wire import encode_event

SAMPLE_EVENTS: Final = 5_000
"""Of each partition: enough to be past the fold's first, dearer moments."""
START_S: Final = 2.0
"""A process with its imports, its connections and its last checkpoint, for each partition that one takes."""


class PartitionPlan(msgspec.Struct):
    """Records ``first``..``last`` of a partition; events and bytes as the sample has them."""

    partition: int
    first: int
    last: int
    records: int
    events: int
    bytes: int


class Plan(msgspec.Struct):
    """``field replay plan``. ``seconds`` with ``processes`` side by side; written bytes by where they go."""

    generation: str
    fold_version: str
    events_topic: str
    span: Span
    switchable: bool
    partitions: list[PartitionPlan]
    records: int
    events: int
    bytes: int
    events_per_s: float
    processes: int
    seconds: float
    written_bytes: dict[str, int]
    disk_bytes: int


async def ends(settings: Settings, span: Span) -> dict[int, tuple[int, int]]:
    """(first offset to fold, offset after the last) by partition; raises PartUnavailable."""
    async with open_history(settings) as history:
        return within(await history.bounds(), span)


def within(bounds: Mapping[int, tuple[int, int]], span: Span) -> dict[int, tuple[int, int]]:
    """The part of the bounds that a span names; raises InputError where the log has no such part."""
    _check(bounds, span)
    found = {}
    for partition, (start, end) in sorted(bounds.items()):
        last = min(end, span.last.get(partition, end - 1) + 1)
        found[partition] = min(max(start, span.first.get(partition, 0)), max(last, 0)), max(last, 0)
    return found


def _check(bounds: Mapping[int, tuple[int, int]], span: Span) -> None:
    for partition, offset in (*span.first.items(), *span.last.items()):
        if partition not in bounds:
            raise InputError(f"{partition}:{offset}: partitions are 0 to {len(bounds) - 1}")
        last = bounds[partition][1] - 1
        if offset > last:
            raise InputError(f"{partition}:{offset} is beyond the log of the partition: its last record is {last}")
    for partition, offset in span.first.items():
        if offset < bounds[partition][0]:
            raise InputError(f"{partition}:{offset} is not kept any more: its first record is {bounds[partition][0]}")
        if offset > span.last.get(partition, offset):
            raise InputError(f"what is to be folded of partition {partition} ends before it begins")
    if span.since_ms is not None and span.until_ms is not None and span.since_ms > span.until_ms:
        raise InputError("what is to be folded ends before it begins")


class _Sample(NamedTuple):
    """Of one partition: records read and events folded, their bytes as JSON, bytes of state and rows, seconds."""

    records: int
    events: int
    json_bytes: int
    kept_bytes: int
    rows_bytes: int
    seconds: float


async def plan(settings: Settings, span: Span, processes: int) -> Plan:
    """Reads a sample of each partition and folds it in memory. Raises PartUnavailable, HistoryError, InputError."""
    samples: list[_Sample] = []
    parts: list[PartitionPlan] = []
    async with open_history(settings) as history:
        for partition, (start, end) in within(await history.bounds(), span).items():
            found = await _sample(history, settings, span, partition, start, end)
            each = (end - start) / found.records if found.records else 0.0
            samples.append(found)
            parts.append(PartitionPlan(
                partition, start, end - 1, end - start, round(found.events * each), round(found.json_bytes * each)
            ))  # fmt: skip
    records, events = sum(part.records for part in parts), sum(part.events for part in parts)
    read, folded = sum(one.records for one in samples), sum(one.events for one in samples)
    spent_s = sum(one.seconds for one in samples)
    processes = max(1, min(processes, len(parts)))
    # every record is read, whether or not its events are folded; one process after the other takes a partition
    seconds = (spent_s * records / read if read else 0.0) / processes + START_S * -(-len(parts) // processes)
    rows = round(sum(one.rows_bytes for one in samples) * (events / folded if folded else 0.0))
    # a shard's records are written at every checkpoint and compacted to one; rows grow with what happens
    written = {"changelog": 2 * sum(one.kept_bytes for one in samples), "changes": rows, "database": rows}
    return Plan(
        settings.generation, settings.rules.version, settings.events_topic, span, span.whole, parts, records, events,
        sum(part.bytes for part in parts), folded / spent_s if spent_s else 0.0, processes, seconds, written,
        sum(written.values()),
    )  # fmt: skip


async def _sample(history: History, settings: Settings, span: Span, partition: int, start: int, end: int) -> _Sample:
    """From the middle of what is to be folded, SAMPLE_EVENTS at least where there are so many."""
    began = time.perf_counter()
    fold = engine.make(partition, settings)
    records, seen, folded, size = 0, 0, 0, 0
    middle = start + max(0, (end - start - SAMPLE_EVENTS) // 2)
    async for entries in history.entries(partition, middle, end):
        for entry in entries:
            events = [event for event in entry.events if span.admits(event)]
            fold.fold(entry.offset, events)
            folded += len(events)
            seen += len(entry.events)
            size += sum(len(encode_event(event)) for event in events)
        records += len(entries)
        if max(records, seen) >= SAMPLE_EVENTS:
            break
    checkpoint = fold.checkpoint("0-00000000")
    kept, rows = (sum(len(value) for _, value in some) for some in (checkpoint.records, checkpoint.changes))
    return _Sample(records, folded, size, kept, rows, time.perf_counter() - began)


def lines(found: Plan) -> Iterator[str]:
    """A plan for people."""
    yield f"fold {found.fold_version}, topic {found.events_topic}: {found.records} records, about {found.events} events"
    for part in found.partitions:
        yield (
            f"  partition {part.partition}: records {part.first}..{part.last}, about {part.events} events, "
            f"{part.bytes / 1e6:.1f} MB as JSON"
        )
    if not found.switchable:
        yield "  a part of the log: the result can be looked at, and never takes the place of the live state"
    yield (
        f"about {found.seconds:,.0f} s with {found.processes} processes, at {found.events_per_s:,.0f} events/s each "
        "(measured now, on a sample)"
    )
    each = ", ".join(f"{where} {size / 1e6:.1f} MB" for where, size in found.written_bytes.items())
    yield f"will be written, about: {each}; disk needed: {found.disk_bytes / 1e6:.1f} MB"
    yield "nothing was touched; no events are published by a replay, raw rows and aggregates stay as they are"
