"""Both folds beside each other: the simple one, which is the definition, and the compiled one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence

import msgspec

from streams.events import Event
from streams.fold.partition import Checkpoint, PartitionFold
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.native.fold import NativeFold

WRITER = "1-00000001"
MANY = 1_000_000
"""More keys than any of these tests has."""


class Twins:
    """Two folds of one partition that are told the same, and the changelog that both have written.

    The compiled one packs its keys after every checkpoint that leaves more than ``open_max`` open.
    """

    def __init__(
        self, library: ctypes.CDLL, shards: int = 4, rules: Rules = DEFAULT_RULES, open_max: int = MANY
    ) -> None:
        self._make = lambda: (PartitionFold(0, shards, rules), NativeFold(library, 0, shards, rules, open_max))
        self.simple, self.native = self._make()
        self.log: dict[bytes, bytes] = {}
        self.records: list[Sequence[Event]] = []

    def fold(self, events: Sequence[Event]) -> None:
        """One more record; both count the same."""
        self.records.append(events)
        self._fold(len(self.records) - 1)

    def checkpoint(self, full: bool = False, store: bool = True) -> Checkpoint:
        """The same bytes of both."""
        wanted, found = self.simple.checkpoint(WRITER, full), self.native.checkpoint(WRITER, full)
        for name in ("changes", "records"):
            for one, other in zip(getattr(wanted, name), getattr(found, name), strict=True):
                if other != one:
                    assert told(other) == told(one), name
                    raise AssertionError(f"{name}: the same, in other bytes")
        assert found == wanted
        if store:
            self.log.update(wanted.records)
        return wanted

    def restart(self) -> None:
        """Lose both; each takes up what was stored, and folds again what came after."""
        self.simple, self.native = self._make()
        stored = list(self.log.items())
        assert self.native.load(stored) == self.simple.load(stored)
        self._same()
        for offset in range(self.simple.position + 1, len(self.records)):
            self._fold(offset)

    def _fold(self, offset: int) -> None:
        for fold in (self.simple, self.native):
            fold.fold(offset, self.records[offset])
        self._same()

    def _same(self) -> None:
        for name in ("counts", "position", "watermark", "reached", "lost"):
            assert getattr(self.native, name) == getattr(self.simple, name), name


def play(twins: Twins, events: Iterable[Event], size: int, between: int) -> None:
    """The events in records of ``size``, with a checkpoint after every ``between`` of them and at the end."""
    waiting: list[Event] = []
    for event in events:
        waiting.append(event)
        if len(waiting) == size:
            twins.fold(waiting)
            waiting = []
            if len(twins.records) % between == 0:
                twins.checkpoint()
    twins.fold(waiting)
    twins.checkpoint()


def told(record: tuple[bytes, bytes]) -> object:
    """A change or a record, to be compared in words."""
    return msgspec.json.decode(record[1]) if record[1][:1] == b"{" else msgspec.msgpack.decode(record[1], strict=False)
