"""What was folded of the embedded log: the newest record of each shard, positions, counts and dead letters."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from streams.changelog import Picture
from streams.embedded.store import Store
from streams.table import parse_key, position_key, record_key

WRITER: Final = "0-embedded"
"""There is one writer: the newest record of a shard replaces the one before."""
POSITION: Final = -1
"""Stands for a shard's number in the row of a partition's position."""
FOLDED: Final = ("events", "accepted", "duplicate", "late")
"""Counts that begin anew when the state is folded anew."""


class Letter(NamedTuple):
    """A dead letter. ``key`` is the place of the original: a letter that is written twice is one."""

    key: str
    partition: int
    received_ms: int
    reason: str
    detail: str
    value: bytes

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """As in the topic of dead letters."""
        return [
            ("source", self.key.encode()), ("received", b"%d" % self.received_ms),
            ("reason", self.reason.encode()), ("detail", self.detail.encode()),
        ]  # fmt: skip


class Counts(NamedTuple):
    """``events`` and the others by name, dead letters by reason."""

    events: Mapping[str, int]
    rejected: Mapping[str, int]


def load(store: Store) -> dict[int, list[tuple[bytes, bytes]]]:
    """Changelog records (key, value) by partition, as ``PartitionFold.load`` takes them."""
    out: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in range(store.partitions)}
    with store.reading() as db:
        for partition, shard, value in db.execute("SELECT partition, shard, value FROM shards"):
            key = position_key(partition, WRITER) if shard == POSITION else record_key(partition, shard, WRITER)
            out[partition].append((key, value))
    return out


def save(db: sqlite3.Connection, partition: int, position: int, records: Iterable[tuple[bytes, bytes]]) -> None:
    """A checkpoint of one partition at ``position``, within the transaction that is open."""
    rows = []
    for key, value in records:
        shard = parse_key(key)[1]
        rows.append((partition, POSITION if shard is None else shard, position, value))
    db.executemany("INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?)", rows)
    db.execute(
        "UPDATE partitions SET delivered = max(delivered, ?), moved_ms = ? WHERE partition = ?",
        (position, time.time_ns() // 1_000_000, partition),
    )


def add_counts(db: sqlite3.Connection, fresh: Mapping[str, int]) -> None:
    """Add to the counts, within the transaction that is open."""
    db.executemany(
        "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = number + excluded.number",
        list(fresh.items()),
    )


def add_letters(db: sqlite3.Connection, letters: Sequence[Letter]) -> None:
    """Keep dead letters, each once, within the transaction that is open."""
    db.executemany("INSERT OR IGNORE INTO rejected VALUES (?, ?, ?, ?, ?, ?)", letters)


def forget(store: Store) -> None:
    """Drop the state, to be folded anew; what was delivered of the log stays delivered."""
    with store.writing() as db:
        db.execute("DELETE FROM shards")
        db.executemany("DELETE FROM counts WHERE name = ?", [(name,) for name in FOLDED])


def delivered(store: Store) -> dict[int, int]:
    """Up to which offset copies and dead letters have been written, by partition."""
    with store.reading() as db:
        return dict(db.execute("SELECT partition, delivered FROM partitions"))


def positions(store: Store) -> dict[int, int]:
    """Last offset folded and kept, by partition; one without any is missing."""
    with store.reading() as db:
        return dict(db.execute("SELECT partition, position FROM shards WHERE shard = ? ORDER BY 1", (POSITION,)))


def moved_s(store: Store) -> dict[int, float]:
    """When the position last moved (epoch seconds), by partition; one that never did is missing."""
    with store.reading() as db:
        return {
            partition: moved / 1_000
            for partition, moved in db.execute("SELECT partition, moved_ms FROM partitions WHERE moved_ms > 0")
        }


def picture(store: Store) -> Picture:
    """All shards at their partitions' positions: a checkpoint is one transaction, so they belong together."""
    values: dict[tuple[int, int], bytes] = {}
    at: dict[int, int] = {}
    with store.reading() as db:
        for partition, shard, position, value in db.execute("SELECT * FROM shards"):
            if shard == POSITION:
                at[partition] = position
            else:
                values[partition, shard] = value
    return Picture(values, at)


def changed(store: Store, since: Mapping[int, int]) -> Picture:
    """The shards that were written after these positions, and the positions now."""
    values: dict[tuple[int, int], bytes] = {}
    with store.reading() as db:
        at = dict(db.execute("SELECT partition, position FROM shards WHERE shard = ?", (POSITION,)))
        for partition in at:
            for shard, value in db.execute(
                "SELECT shard, value FROM shards WHERE partition = ? AND shard <> ? AND position > ?",
                (partition, POSITION, since.get(partition, -1)),
            ):
                values[partition, shard] = value
    return Picture(values, at)


def counts(store: Store) -> Counts:
    """Of the state as it stands."""
    with store.reading() as db:
        return Counts(
            dict(db.execute("SELECT name, number FROM counts")),
            dict(db.execute("SELECT reason, count(*) FROM rejected GROUP BY reason ORDER BY reason")),
        )


def letters(store: Store, limit: int, after: str = "") -> list[Letter]:
    """Dead letters by key, ``limit`` at most, those after a key."""
    with store.reading() as db:
        rows = db.execute("SELECT * FROM rejected WHERE key > ? ORDER BY key LIMIT ?", (after, limit))
        return [Letter(*row) for row in rows]
