"""What the compiled fold takes of memory: keys beyond a bound are packed while they wait for their next event."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace

from streams import engine
from streams.engine import Fold
from streams.native.fold import NativeFold
from streams.settings import Settings
from tests.worlds import say

DEVICES = 3_000
WRITER = "1-00000001"
ROUNDS = 3
SETTINGS = replace(Settings(), partitions=1, shards=8)


class _Heap(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "used", "free", "keepcost")
    )


def heap_bytes() -> int:
    """In use, of all that C and Rust have asked for."""
    look = ctypes.CDLL(None).mallinfo2
    look.restype = _Heap
    found = look()
    return int(found.used) + int(found.hblkhd)


def bytes_a_key(make: Callable[[], Fold]) -> float:
    """After each device has spoken some times, a checkpoint after each."""
    before = heap_bytes()
    fold = make()
    for turn in range(ROUNDS):
        fold.fold(turn, [say(f"device-{n:05}", "TOUCH", turn * 20, room=None) for n in range(DEVICES)])
        fold.checkpoint(WRITER)
    assert fold.counts["accepted"] == DEVICES * ROUNDS
    return (heap_bytes() - before) / DEVICES


def make(keys_open: int) -> Fold:
    return engine.make(0, replace(SETTINGS, keys_open=keys_open))


def test_keys_beyond_the_bound_are_packed(native_path: object) -> None:
    held_open = bytes_a_key(lambda: make(DEVICES))
    assert bytes_a_key(lambda: make(DEVICES - 1)) < held_open / 2


def test_what_is_loaded_is_packed(native_path: object) -> None:
    before, fold = heap_bytes(), make(DEVICES)
    fold.fold(0, [say(f"device-{n:05}", "TOUCH", 1, room=None) for n in range(DEVICES)])
    records = fold.checkpoint(WRITER).records
    held_open = heap_bytes() - before
    before, loaded = heap_bytes(), make(DEVICES)
    assert isinstance(loaded, NativeFold)
    loaded.load(records)
    assert heap_bytes() - before < held_open / 2
