"""All shards of one partition: the driver's side of the fold.

Pure. A driver (worker, replay, embedded) hands in the valid events of each record in order of offset, and now and
then takes a checkpoint: what has changed, and the records of the shards that did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from streams.changes import Changes, Marker, encode, parts
from streams.errors import FoldVersionError
from streams.events import OPTS, Event
from streams.fold.duplicates import Verdict
from streams.fold.particles import drop_outranked
from streams.fold.rows import Shown, changed_rows
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.fold.shard import Shard, position_record, record_held, record_position, record_shards
from streams.table import parse_key, partition_of, position_key, record_key, shard_of


class Checkpoint(NamedTuple):
    """What a driver stores, in this order: ``changes``, ``marker``, ``records`` (the position record is the last)."""

    position: int
    changes: list[tuple[bytes, bytes]]
    marker: bytes
    records: list[tuple[bytes, bytes]]

    @property
    def shard_values(self) -> list[bytes]:
        """Values of the shards' records alone."""
        return [value for _, value in self.records[:-1]]


class PartitionFold:
    """The fold of one partition.

    ``position``: the last record offset folded; before the first, that of the loaded position record (-1: none).
    ``watermark``: highest accepted timestamp (ms). ``lost``: shards whose records were not there to be loaded.
    """

    def __init__(self, partition: int, shards: int, rules: Rules = DEFAULT_RULES) -> None:
        self.partition = partition
        self.rules = rules
        self.position = -1
        self.watermark = -1
        self.lost = 0
        self._folded = -1
        self._verdicts = [0] * len(Verdict)
        self._shards = [Shard(partition, number, shards, rules) for number in range(shards)]
        self._shown: list[Shown] = [{} for _ in range(shards)]
        self._dirty: set[int] = set()
        self._unshown = set(range(shards))
        """Shards of which this object has shown nothing yet, but somebody before it may have: next time all rows."""

    @property
    def counts(self) -> dict[str, int]:
        """Accepted, duplicate and late events since the start of this object."""
        return {verdict.name.lower(): self._verdicts[verdict] for verdict in Verdict}

    @property
    def reached(self) -> int:
        """Highest record offset that is in any shard; ``position`` may be behind it after a crash."""
        return max(self.position, *(shard.position for shard in self._shards))

    def load(self, records: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """Take the state from changelog records: the highest position of each shard over all writers.

        Loads nothing where the position record speaks of shards whose records are ``lost``: then all of it has to be
        folded again. Returns the superseded keys, to be tombstoned once a newer record of this writer is acknowledged.
        Raises FoldVersionError when another fold wrote them, or with another number of shards.
        """
        found = latest(records, self.partition, len(self._shards))
        self.lost = found.lost
        if found.position is not None:
            self.position = found.position
        for number, value in found.shards.items():
            shard = Shard.decode(value, self.rules)
            self._shards[number] = shard
            self.watermark = max(self.watermark, shard.watermark)
        return found.superseded

    def fold(self, offset: int, events: Sequence[Event]) -> None:
        """Fold the valid events of one record; what already holds this offset skips it."""
        if offset <= self._folded:
            return
        shards, count = self._shards, len(self._shards)
        for event in events:
            if event.type in OPTS:
                self._verdicts[self._toggle(offset, event)] += 1
                continue
            number = shard_of(event.key, count)
            shard = shards[number]
            if offset <= shard.position:
                continue
            verdict = shard.fold(event)
            self._verdicts[verdict] += 1
            if not verdict:
                self._dirty.add(number)
                if event.timestamp > self.watermark:
                    self.watermark = event.timestamp
        self._folded = offset
        self.position = offset

    def checkpoint(self, writer: str, full: bool = False) -> Checkpoint:
        """Settle and encode the shards that changed since the last checkpoint, and forget that they did.

        ``full`` while somebody before us may have shown more than we have folded: readers take such rows for all
        there are, and each shard's first rows after that are full once more.
        """
        changes, records = [], []
        generation = int(writer.partition("-")[0])
        for number in self._dirty:
            self._shards[number].settle()
        drop_outranked([shard.particles for shard in self._shards])
        drop_outranked([shard.quantum_fields for shard in self._shards])
        for number in sorted(self._dirty):
            shard = self._shards[number]
            whole = full or number in self._unshown
            sessions, pairs, gone_sessions, gone_pairs = changed_rows(shard, self._shown[number], whole)
            shard.dirty.clear()
            if whole or sessions or pairs or gone_sessions or gone_pairs:
                change = Changes(
                    self.partition, number, self.position, writer, generation, self.rules.version, whole,
                    sessions, pairs, gone_sessions, gone_pairs,
                )  # fmt: skip
                changes += [(f"{self.partition}/{number}".encode(), encode(part)) for part in parts(change)]
            records.append((record_key(self.partition, number, writer), shard.encode(self.position)))
        if not full:
            self._unshown -= self._dirty
        self._dirty.clear()
        held = sum(shard.position >= 0 for shard in self._shards)
        records.append(
            (
                position_key(self.partition, writer),
                position_record(self.partition, len(self._shards), self.position, self.rules, held),
            )
        )
        marker = Marker(self.partition, self.position, writer, generation, self.watermark, **self.counts)
        return Checkpoint(self.position, changes, encode(marker), records)

    def _toggle(self, offset: int, event: Event) -> Verdict:
        """OPT_* goes to every shard that has not got it yet; it counts once."""
        verdict = Verdict.DUPLICATE
        for number, shard in enumerate(self._shards):
            if offset > shard.position and not shard.toggle(event):
                verdict = Verdict.ACCEPTED
                self._dirty.add(number)
        return verdict


class Latest(NamedTuple):
    """Of changelog records, those that a fold starts from; nothing where shards are ``lost``."""

    position: int | None
    shards: dict[int, bytes]
    superseded: list[bytes]
    lost: int


def latest(records: Iterable[tuple[bytes, bytes]], partition: int, shards: int) -> Latest:
    """The highest position of each shard over all writers; raises as ``PartitionFold.load``."""
    best: dict[int | None, tuple[int, bytes, bytes]] = {}
    superseded = []
    for key, value in records:
        number = parse_key(key)[1]
        _check_shards(value, partition, shards)
        candidate = (record_position(value), key, value)
        superseded.append(key)
        if number not in best or candidate > best[number]:
            best[number] = candidate
    whole = best.pop(None, None)
    lost = max(0, record_held(whole[2]) - len(best)) if whole else 0
    if lost:
        return Latest(None, {}, superseded, lost)
    values = {number: value for number, (_, _, value) in best.items() if number is not None}
    return Latest(whole[0] if whole else None, values, superseded, 0)


def _check_shards(value: bytes, partition: int, ours: int) -> None:
    found = record_shards(value)
    if found != ours:
        raise FoldVersionError(
            f"the state of this partition has {found} shards, FIELD_SHARDS says {ours}: go back to {found}, "
            "or run `field replay` into a new generation",
            topic="changelog", partition=partition, offset=record_position(value),
        )  # fmt: skip


def restore(partition: int, shards: int, rules: Rules, position: int, values: Mapping[int, bytes]) -> PartitionFold:
    """A fold that stands at ``position`` with these shards' values; raises as ``PartitionFold.load``."""
    fold = PartitionFold(partition, shards, rules)
    writer = "0-00000000"
    records = [(record_key(partition, shard, writer), value) for shard, value in values.items()]
    fold.load([
        *records, (position_key(partition, writer), position_record(partition, shards, position, rules, len(values)))
    ])  # fmt: skip
    return fold


def fold_all(
    events: Iterable[Event], partitions: int, shards: int, rules: Rules = DEFAULT_RULES
) -> list[PartitionFold]:
    """The fold alone of events as they arrive: each a record of its partition, OPT_* in every one."""
    folds = [PartitionFold(number, shards, rules) for number in range(partitions)]
    for offset, event in enumerate(events):
        for fold in folds if event.type in OPTS else (folds[partition_of(event.key, partitions)],):
            fold.fold(offset, [event])
    return folds
