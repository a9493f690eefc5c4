"""Folds the embedded log: records after each partition's position, and now and then a checkpoint.

A checkpoint is one transaction: shards, positions, copies, dead letters and counts are kept together or not at all,
so a kill at any moment loses nothing and counts nothing twice. State that another fold or another number of shards
has written is folded anew from the log, which is all there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

from streams import engine, metrics
from streams.embedded import log, state
from streams.embedded.intake import Intake
from streams.embedded.store import Claim, Store
from streams.engine import Fold
from streams.errors import FloodError, FoldVersionError
from streams.settings import Settings

POLL_S: Final = 0.05
"""Pause between two looks into a log that has nothing new."""
COUNTERS: Final[tuple[tuple[str, Any], ...]] = (
    ("accepted", metrics.EVENTS_FOLDED),
    ("duplicate", metrics.EVENTS_DUPLICATE),
    ("late", metrics.EVENTS_LATE),
)


@dataclass(slots=True)
class Partition:
    """One partition's fold, where its last checkpoint stands, what it has delivered and counted by then."""

    fold: Fold
    kept: int
    delivered: int
    counted: dict[str, int] = field(default_factory=dict)


class Driver:
    """All partitions of one embedded log; a context manager, for one thread. ``say`` gets lines for people.

    Raises what ``Store`` raises, StoreError where another process folds this log; ``run`` and ``step`` raise
    FloodError. After an error use another one: it starts from the last checkpoint.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None] = print) -> None:
        self._settings = settings
        self._say = say
        self._store = Store(settings, create=True)
        try:
            self._claim = Claim(settings)
        except BaseException:
            self._store.close()
            raise
        self._intake = Intake(settings)
        try:
            self._say(f"the fold: {engine.name(settings)}")
            self._partitions = self._load()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Without a checkpoint."""
        self._store.close()
        self._claim.release()

    def run(self, stop: threading.Event) -> None:
        """Fold until told to stop; then a last checkpoint."""
        every_s, due = self._settings.checkpoint_ms / 1_000, time.monotonic()
        while not stop.is_set():
            records = self.step()
            if time.monotonic() >= due:
                self.checkpoint()
                due = time.monotonic() + every_s
            if not records:
                stop.wait(POLL_S)
        self.step()  # what was just published is in it, if that is not much
        self.checkpoint()

    def step(self) -> int:
        """Fold what is there, at most ``poll_records`` of each partition; the number of records."""
        ends, records = log.bounds(self._store), 0
        for number, part in self._partitions.items():
            end = ends[number][1]
            found = log.read(self._store, number, part.fold.position + 1, end, self._settings.poll_records)
            for record in found:
                try:
                    events = self._intake.read(record, number, part.delivered)
                except FloodError:
                    self._keep_letters()
                    raise
                part.fold.fold(record.offset, events)
                if self._intake.full or self._intake.events >= self._settings.checkpoint_events:
                    self.checkpoint()
            records += len(found)
            metrics.LAG.labels(number).set(end - 1 - part.fold.position)
            metrics.LOG_END.labels(number).set(end)
            metrics.FOLD_POSITION.labels(number).set(part.kept)
        return records

    def checkpoint(self) -> bool:
        """Keep what was folded since the last one; False when that is nothing."""
        moved = [part for part in self._partitions.values() if part.fold.position != part.kept]
        if not moved:
            return False
        started = time.perf_counter()
        checkpoints = [part.fold.checkpoint(state.WRITER) for part in moved]
        fresh = self._count(moved)
        with self._store.writing() as db:
            for part, checkpoint in zip(moved, checkpoints, strict=True):
                state.save(db, part.fold.partition, checkpoint.position, checkpoint.records)
            log.append(db, self._intake.copies)
            state.add_letters(db, self._intake.letters)
            state.add_counts(db, fresh)
        for part, checkpoint in zip(moved, checkpoints, strict=True):
            part.kept = checkpoint.position
            part.delivered = max(part.delivered, part.kept)
            metrics.CHANGELOG_BYTES.inc(sum(len(value) for _, value in checkpoint.records))
        self._measure(fresh)
        self._intake.clear()
        metrics.CHECKPOINT_SECONDS.observe(time.perf_counter() - started)
        return True

    def _load(self) -> dict[int, Partition]:
        """The folds as they were kept; where they cannot be used, empty ones, and the log is folded anew."""
        try:
            folds = self._folds()
        except FoldVersionError:
            records = sum(end for _, end in log.bounds(self._store).values())
            self._say(
                "the kept state is of another fold, other FIELD_RULE_* or another FIELD_SHARDS: "
                f"it is folded anew from the log ({records} records)"
            )
            state.forget(self._store)
            folds = self._folds()
        delivered = state.delivered(self._store)
        return {fold.partition: Partition(fold, fold.position, delivered[fold.partition]) for fold in folds}

    def _folds(self) -> list[Fold]:
        folds = []
        for number, records in state.load(self._store).items():
            fold = engine.make(number, self._settings)
            fold.load(records)
            folds.append(fold)
        return folds

    def _keep_letters(self) -> None:
        """Dead letters alone, for whoever looks why; their records are read again, and the letters are the same."""
        with self._store.writing() as db:
            state.add_letters(db, self._intake.letters)

    def _count(self, parts: list[Partition]) -> dict[str, int]:
        fresh = {"events": self._intake.events, "copied": len(self._intake.copies)}
        for part in parts:
            now = part.fold.counts
            for name, number in now.items():
                fresh[name] = fresh.get(name, 0) + number - part.counted.get(name, 0)
            part.counted = now
        return fresh

    def _measure(self, fresh: dict[str, int]) -> None:
        metrics.EVENTS.inc(fresh["events"])
        for name, metric in COUNTERS:
            metric.inc(fresh.get(name, 0))
