"""Which fold a driver uses: the compiled one, or the simple one that it was written after. Their bytes are equal."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from streams.events import Event
from streams.fold.partition import Checkpoint, PartitionFold
from streams.native import library
from streams.native.fold import NativeFold
from streams.settings import Settings

GC_THRESHOLDS: Final = (50_000, 20, 100)


class Fold(Protocol):
    """The fold of one partition, as ``streams.fold.partition.PartitionFold`` describes it."""

    @property
    def partition(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def watermark(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def counts(self) -> dict[str, int]: ...
    @property
    def reached(self) -> int: ...
    def load(self, records: Iterable[tuple[bytes, bytes]]) -> list[bytes]: ...
    def fold(self, offset: int, events: Sequence[Event]) -> None: ...
    def checkpoint(self, writer: str, full: bool = False) -> Checkpoint: ...


def is_compiled(settings: Settings) -> bool:
    """Whether it is the compiled one; raises SettingError where FIELD_FOLD asks for it and it is not there."""
    return library.is_chosen(settings)


def name(settings: Settings) -> str:
    """Which one it is, for a person, and why where it is not the compiled one; raises SettingError."""
    if is_compiled(settings):
        return "compiled"
    return f"simple ({'FIELD_FOLD=simple' if settings.fold == 'simple' else library.problem()})"


def make(partition: int, settings: Settings) -> Fold:
    """An empty fold of a partition; raises SettingError as ``is_compiled``."""
    if is_compiled(settings):
        open_max = settings.keys_open // settings.partitions
        fold = NativeFold(library.load(), partition, settings.shards, settings.rules, open_max)
        fold.expect(settings)
        return fold
    return PartitionFold(partition, settings.shards, settings.rules)


def give_back() -> None:
    """Let the system have what was freed: a recovery and a checkpoint of all take as much again as the state itself."""
    with contextlib.suppress(AttributeError):  # only glibc keeps it, and only glibc has this
        ctypes.CDLL(None).malloc_trim(0)


def collect_seldom() -> None:
    """From here on this process holds the state as many objects without cycles: to look through all of them as often as
    Python does by itself costs a seventh of the worker's time, and half of a comparison's.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
