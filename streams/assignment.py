"""The partitions that this process folds between two rebalances, and what it has to remember of each.

An assignment is built from recovered changelog records when recovery ends and is thrown away, whole, when the
partitions are revoked: nothing of it outlives a rebalance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streams import engine
from streams.engine import Fold
from streams.errors import HistoryError, OtherLogError
from streams.fold.partition import Checkpoint
from streams.settings import Settings
from streams.table import parse_key


class Partition:
    """One partition: its fold, the batches that wait for a checkpoint, the changelog keys of earlier writers.

    ``next_offset`` is where the next batch should start; once begun, what comes before it was folded already.
    ``full_until``: checkpoints up to the one that reaches this offset carry all rows, so that projections lose
    whatever a writer before us left there.
    """

    def __init__(self, number: int, fold: Fold, earlier: dict[int | None, set[bytes]], highwater: int) -> None:
        self.number = number
        self.fold = fold
        self.next_offset = fold.position + 1
        self.full_until = highwater - 1
        self.folded: list[Any] = []  # Faust events of batches that are wholly folded
        self.counted = dict(fold.counts)
        self._earlier = earlier
        self._full = True
        self._begun = False
        self._checkpointed = fold.position
        self._gap_at: int | None = None

    def starts_after_gap(self, first: int) -> bool | None:
        """Whether a batch may be folded that starts at offset ``first``: None to fold it, True to ask for the gap
        before it, False to drop it because the gap was asked for and is still to come.

        Asked for once, a gap that is still there is none of the reader's: those offsets do not exist.
        """
        if first <= self.next_offset or (self._gap_at is not None and first <= self._gap_at):
            self._gap_at = None
            return None
        if self._gap_at is None:
            self._gap_at = first
            return True
        return False

    def begin(self, first: int) -> None:
        """The first batch starts at offset ``first``.

        The position record may be of a process that lost the partition while it wrote: further than some of the
        shards that were recovered with it. They fold from where the group had committed.
        """
        if not self._begun:
            self._begun = True
            self.next_offset = first

    @property
    def waiting(self) -> bool:
        """Whether there is anything to checkpoint."""
        return bool(self.folded) or self.fold.position != self._checkpointed

    def plan(self, writer: str) -> tuple[Checkpoint, list[Any]]:
        """Encode what changed, and the batches that the checkpoint covers: acknowledge them when it is written."""
        checkpoint = self.fold.checkpoint(writer, full=self._full)
        if checkpoint.position >= self.full_until:
            self._full = False
        self._checkpointed = checkpoint.position
        covered, self.folded = self.folded, []
        return checkpoint, covered

    def recovered_keys(self) -> list[bytes]:
        """Changelog keys of earlier writers, those of positions first; they are no longer remembered."""
        keys = sorted(self._earlier.pop(None, set()))
        keys += sorted(key for found in self._earlier.values() for key in found)
        self._earlier.clear()
        return keys

    def superseded(self, checkpoint: Checkpoint) -> list[bytes]:
        """Keys of earlier writers that the acknowledged records of ``checkpoint`` replace; each is named once."""
        gone: list[bytes] = []
        for key, _value in checkpoint.records:
            earlier = self._earlier.pop(parse_key(key)[1], set())
            gone.extend(sorted(earlier - {key}))
        return gone

    def count(self) -> dict[str, int]:
        """What the fold has counted since the last call: accepted, duplicate, late."""
        now = self.fold.counts
        fresh = {name: now[name] - self.counted.get(name, 0) for name in now}
        self.counted = dict(now)
        return fresh


class Assignment:
    """All partitions of one generation of the group. ``writer`` is the last part of the keys that it writes."""

    def __init__(self, generation: int, writer: str, partitions: Mapping[int, Partition]) -> None:
        self.generation = generation
        self.writer = writer
        self.partitions = dict(partitions)
        self.current = True

    @property
    def waiting(self) -> bool:
        """Whether any partition has something to checkpoint."""
        return any(part.waiting for part in self.partitions.values())

    def revoke(self) -> None:
        """From here on nothing of it may be folded, written or acknowledged."""
        self.current = False
        self.partitions.clear()


def load(
    records: Iterable[tuple[bytes, bytes]],
    bounds: Mapping[int, tuple[int, int]],
    generation: int,
    incarnation: str,
    settings: Settings,
) -> Assignment:
    """Build an assignment from recovered changelog records (key, value).

    ``bounds``: (first offset, offset after the last) of the input by partition, for the partitions that are ours.
    Raises FoldVersionError when another fold wrote the records, OtherLogError and HistoryError when the state and
    the input do not belong together.
    """
    by_partition: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    for key, value in records:
        by_partition[parse_key(key)[0]].append((key, value))
    partitions = {}
    for number, (start, end) in sorted(bounds.items()):
        partitions[number] = load_partition(number, by_partition.pop(number, []), end, settings)
        _check_log(partitions[number].fold, start, end, settings.events_topic)
    return Assignment(generation, f"{generation}-{incarnation}", partitions)


def load_partition(
    number: int, records: Sequence[tuple[bytes, bytes]], highwater: int, settings: Settings
) -> Partition:
    """One partition of its changelog records; what somebody before us has shown is below offset ``highwater``.

    Raises FoldVersionError when another fold wrote the records.
    """
    fold = engine.make(number, settings)
    fold.load(records)
    earlier: defaultdict[int | None, set[bytes]] = defaultdict(set)
    for key, _value in records:
        earlier[parse_key(key)[1]].add(key)
    return Partition(number, fold, dict(earlier), highwater)


def _check_log(fold: Fold, start: int, end: int, topic: str) -> None:
    """A log that ends before the state is another log; one that begins after it lacks records that nobody has folded.

    Going on would give a state that no log has, and say nothing.
    """
    if fold.reached >= end:
        raise OtherLogError(
            f"the state was folded up to offset {fold.reached}, but the log ends at {end}: this is another log, or it "
            "has lost its end. Take another FIELD_GENERATION (it folds this log from its beginning), or bring the log "
            "back",
            topic=topic, partition=fold.partition, offset=fold.reached,
        )  # fmt: skip
    if fold.position + 1 < start:
        raise HistoryError(
            f"the state was folded up to offset {fold.position}, but the log begins at {start}: the records between "
            "are gone. Bring them back, or `field replay` into a new generation from an archive that has them",
            topic=topic, partition=fold.partition, offset=fold.position,
        )  # fmt: skip
