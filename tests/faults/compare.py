"""The comparer: what stands in every tier of an instance against what the log says, by an independent oracle.

``report = await compare(settings)`` waits until all tiers reflect the end of the log, then computes, row by row,
difference = missing + extra + unequal. Tiers:

    tables/<name>   the canonical tables of the fold, from the changelog       events, minutes   raw rows, aggregates
    copies          events that came on a wrong partition stand on theirs      sessions, pairs   rows of the state
    letters         dead letters, distinct                                     states            readings by node
    redis           field:current, read at its own time                        redis_pairs       the living pairs
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from projections.hot import Names
from streams.changelog import ChangelogFollower, whole
from streams.settings import Settings
from tests.faults import tiers
from tests.faults.oracle_log import Rows, Wanted, read_log
from tests.property.adapter import differences

FOLD = ("tables", "copies", "letters")
DATABASE = ("events", "minutes", "sessions", "pairs", "states")
REDIS = ("redis", "redis_pairs")
ALL = FOLD + DATABASE + REDIS

LIMIT_S = 120.0
"""A bound on hanging, never a performance check."""
SHOWN = 5
"""Differing rows of a tier that a report tells in full."""


class Unsettled(AssertionError):
    """The tiers did not reach the end of the log within the limit; the line says which lag, and where they are."""


@dataclass
class Difference:
    """Rows of one tier that differ; the lists hold lines for people."""

    tier: str
    rows: int
    """rows that there must be: a tier that must be empty proves little"""
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.missing) + len(self.extra) + len(self.unequal)


@dataclass
class Report:
    """Differences by tier. ``difference`` 0: all tiers are what the log says."""

    tiers: list[Difference] = field(default_factory=list)

    @property
    def difference(self) -> int:
        return sum(tier.count for tier in self.tiers)

    @property
    def rows(self) -> dict[str, int]:
        """Compared rows by tier."""
        return {tier.tier: tier.rows for tier in self.tiers}

    def of(self, tier: str) -> int:
        """The difference of a tier; of ``tables``: of all of them."""
        return sum(one.count for one in self.tiers if one.tier.partition("/")[0] == tier or one.tier == tier)

    def __str__(self) -> str:
        lines = [f"difference {self.difference}"]
        for tier in self.tiers:
            if tier.count:
                counts = f"{len(tier.missing)} missing, {len(tier.extra)} extra, {len(tier.unequal)} unequal"
                lines.append(f"  {tier.tier}: {counts} of {tier.rows}")
                for kind in ("missing", "extra", "unequal"):
                    lines += [f"    {kind} {line}"[:1000] for line in getattr(tier, kind)[:SHOWN]]
        return "\n".join(lines)

    def add(self, tier: str, got: Rows, wanted: Rows) -> None:
        """Compare two tiers row by row; floats to 1e-9."""
        found = Difference(tier, len(wanted))
        for key in sorted(wanted.keys() | got.keys(), key=repr) if got != wanted else ():
            if key not in got:
                found.missing.append(f"{key!r}: {wanted[key]!r}")
            elif key not in wanted:
                found.extra.append(f"{key!r}: {got[key]!r}")
            elif lines := differences(got[key], wanted[key]):
                found.unequal.append(f"{key!r} {'; '.join(lines)}")
        self.tiers.append(found)


async def compare(settings: Settings, which: tuple[str, ...] = ALL, limit_s: float = LIMIT_S) -> Report:
    """Wait for the tiers (see ``settled``), then compare; nobody may publish meanwhile. Raises Unsettled."""
    follower = await settled(settings, which, limit_s)
    wanted = await asyncio.to_thread(Wanted, await read_log(settings))
    report, content = Report(), wanted.content
    if "tables" in which:
        got, expected = tiers.tables(list(follower.values.values()), settings), wanted.tables()
        for name in expected:
            report.add(f"tables/{name}", got[name], expected[name])
    if "copies" in which:
        report.add("copies", dict.fromkeys(content.placed, ""), dict.fromkeys(content.owed, ""))
    if "letters" in which:
        report.add("letters", await tiers.letters(settings), wanted.letters())
    await asyncio.to_thread(_add_database, report, settings, wanted, which)
    if set(which) & set(REDIS):
        at, current, living = await asyncio.to_thread(tiers.redis_field, settings)
        expected_now = wanted.snapshot(at) if at >= 0 else {"field:current": "is there"}
        report.add("redis", current, expected_now)
        pairs = {name[1:]: row for name, row in expected_now.items() if isinstance(name, tuple) and name[0] == "pair"}
        report.add("redis_pairs", living, pairs)
    return report


def _add_database(report: Report, settings: Settings, wanted: Wanted, which: tuple[str, ...]) -> None:
    if not set(which) & set(DATABASE):
        return
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        for name in ("events", "minutes", "sessions", "pairs"):
            if name in which:
                report.add(name, getattr(tiers, name)(connection), getattr(wanted, name)())
        if "states" in which:
            got = tiers.states(connection)
            nodes = {"field", *(str(number) for number, end in wanted.content.ends.items() if end)}
            expected = {node: wanted.summary(node, got[node]["at"] if node in got else 0) for node in nodes}
            names = expected["field"].keys()
            plain = {node: {name: state[name] for name in names} for node, state in got.items()}
            report.add("states", plain, expected)


async def settled(settings: Settings, which: tuple[str, ...] = ALL, limit_s: float = LIMIT_S) -> ChangelogFollower:
    """Wait until every tier of ``which`` reflects the end of the log; the changelog as it is then.

    The worker's copies are a part of the log, and are there before the position that they belong to. Raises Unsettled.
    """
    checks: list[Callable[[Settings, Mapping[int, int], int], str]] = []
    checks += [_database_lag] if set(which) & set(DATABASE) else []
    checks += [_redis_lag] if set(which) & set(REDIS) else []
    until = time.monotonic() + limit_s
    places = [TopicPartition(settings.events_topic, number) for number in range(settings.partitions)]
    changes = [TopicPartition(settings.changes_topic, number) for number in range(settings.partitions)]
    async with (
        ChangelogFollower(settings) as follower,
        AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, enable_auto_commit=False) as consumer,
    ):
        while True:
            await follower.poll(100)
            ends = {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}
            lag = _changelog_lag(follower, ends)
            if not lag and checks:
                written = sum((await consumer.end_offsets(changes)).values())
                lags = [await asyncio.to_thread(check, settings, ends, written) for check in checks]
                lag = "; ".join(filter(None, lags))
            if not lag:
                return follower
            if time.monotonic() > until:
                raise Unsettled(f"after {limit_s:g} s the log ends at {ends}, {lag}")
            await asyncio.sleep(0.1)


def _changelog_lag(follower: ChangelogFollower, ends: Mapping[int, int]) -> str:
    """Which partitions are behind the log, or inside a checkpoint."""
    behind = []
    for partition, end in ends.items():
        position = follower.positions.get(partition, -1)
        values = [value for (number, _), value in follower.values.items() if number == partition]
        if position < end - 1 or not whole(values, position):
            behind.append(f"changelog/{partition} at {position}")
    return ", ".join(behind)


def _database_lag(settings: Settings, ends: Mapping[int, int], changes: int) -> str:
    """What is behind in PostgreSQL; empty: nothing. ``changes``: records of field.changes."""
    try:
        with psycopg.connect(settings.database_url) as connection:
            found = connection.execute(
                "SELECT projection, partition, log_offset, input_position FROM projection_positions"
                " WHERE generation IN (%s, %s)",  # raw rows may be said of the log, and of no generation
                (settings.generation, settings.events_topic),
            ).fetchall()
            states = connection.execute("SELECT position FROM consciousness_states WHERE node_id = 'field'").fetchone()
    except psycopg.Error as error:
        return f"PostgreSQL: {error}"
    reached = {(projection, partition): position for projection, partition, _, position in found}
    behind = [
        f"{name}/{partition} at {reached.get((name, partition), -1)}"
        for name in ("raw", "state")
        for partition, end in ends.items()
        if reached.get((name, partition), -1) < end - 1
    ]
    read = sum(offset + 1 for projection, _, offset, _ in found if projection == "state")
    if read < changes:
        behind.append(f"state has read {read} of {changes} changes")
    if not _reached(states[0] if states else {}, ends):
        behind.append(f"states at {states[0] if states else None}")
    return ", ".join(behind)


def _redis_lag(settings: Settings, ends: Mapping[int, int], changes: int) -> str:
    names = Names.of(settings.generation)
    try:
        with tiers.client(settings) as redis:
            position, current = redis.get(names.position), redis.get(names.current)
    except Exception as error:
        return f"Redis: {error!r}"
    shown: Any = json.loads(current)["positions"] if current else {}
    return "" if position and _reached(shown, ends) else f"Redis at {shown}"


def _reached(positions: Mapping[str, int], ends: Mapping[int, int]) -> bool:
    return all(positions.get(str(number), -1) >= end - 1 for number, end in ends.items() if end)
