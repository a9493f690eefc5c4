"""Synchrony: who breathes in a constant relation to whom, within rooms and between them. Pure."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MATCH_MS: Final = 5_000
"""A slow breath: moments further apart say nothing about each other."""
MATCHES_MIN: Final = 5
"""Fewer are in step by chance too often."""
SIGNIFICANT: Final = 0.01
ROOMS_MAX: Final = 32
DEVICES_MAX: Final = 16
"""Pairs grow with the square: 32 rooms have 496 pairs, each room of 16 voices 120."""


class Breath(NamedTuple):
    """One BREATH: when (ms), where, whose, phase (radians), breaths a minute where it says so."""

    at: int
    room: str
    device: str
    phase: float
    rate: float | None


class RoomSynchrony(msgspec.Struct, frozen=True):
    """``value`` 0..1: mean over the pairs of its devices; ``locked``: pairs that chance would hardly lock so well."""

    room: str
    value: float
    devices: int
    pairs: int
    locked: int
    breaths: int


class PairSynchrony(msgspec.Struct, frozen=True):
    """Two rooms, the smaller id first. ``matches``: breaths of one that have one of the other near."""

    low: str
    high: str
    value: float
    p_value: float
    matches: int


class Synchrony(msgspec.Struct, frozen=True):
    """The most synchronous first. ``complete``: no room and no device was left out."""

    rooms: list[RoomSynchrony]
    pairs: list[PairSynchrony]
    complete: bool


class _Voice(NamedTuple):
    at: Integers
    phases: Floats
    turning: Floats
    """radians a millisecond; 0 where the rate is not known"""


class _Lock(NamedTuple):
    value: float
    p_value: float
    matches: int


def synchrony(breaths: Iterable[Breath]) -> Synchrony:
    """Phase locking within rooms, over pairs of devices, and between rooms, each as one voice.

    The phase-locking value of Lachaux et al., "Measuring phase synchrony in brain signals", 1999: |mean of e^(i d)|
    over moments, d the difference of two phases: 1 when one follows the other at whatever distance, near 0 when they
    have nothing to do with each other. A moment is a breath of the one who breathed less; the other's phase is that of
    the breath nearest in time, at most 5 s away, turned on by its own rate where that is known. The p value is
    Rayleigh's, as approximated in Zar, "Biostatistical analysis", 1999; it takes moments to be independent, so that two
    steady rhythms of nearly one rate pass for locked until they have drifted apart.
    A value needs five moments. Rooms and devices with the most breaths, ``ROOMS_MAX`` and ``DEVICES_MAX`` a room.
    """
    by_room: dict[str, list[Breath]] = defaultdict(list)
    for breath in breaths:
        by_room[breath.room].append(breath)
    names = sorted(by_room, key=lambda room: (-len(by_room[room]), room))[:ROOMS_MAX]
    complete = len(names) == len(by_room)
    rooms, voices = [], {}
    for name in sorted(names):
        kept, whole = _most_heard(by_room[name])
        complete = complete and whole
        voices[name] = _voice(kept)
        if (room := _room(name, kept)) is not None:
            rooms.append(room)
    pairs = []
    for low, high in itertools.combinations(sorted(names), 2):
        lock = _locking(voices[low], voices[high])
        if lock.matches >= MATCHES_MIN:
            pairs.append(PairSynchrony(low, high, *lock))
    rooms.sort(key=lambda room: (-room.value, room.room))
    pairs.sort(key=lambda pair: (-pair.value, pair.low, pair.high))
    return Synchrony(rooms, pairs, complete)


def _most_heard(breaths: list[Breath]) -> tuple[list[Breath], bool]:
    """Those of the devices with the most breaths, and whether that is all of them."""
    counts = Counter(breath.device for breath in breaths)
    kept = set(sorted(counts, key=lambda device: (-counts[device], device))[:DEVICES_MAX])
    return [breath for breath in breaths if breath.device in kept], len(kept) == len(counts)


def _room(name: str, breaths: list[Breath]) -> RoomSynchrony | None:
    by_device: dict[str, list[Breath]] = defaultdict(list)
    for breath in breaths:
        by_device[breath.device].append(breath)
    voices = [_voice(by_device[device]) for device in sorted(by_device)]
    locks = [_locking(one, other) for one, other in itertools.combinations(voices, 2)]
    locks = [lock for lock in locks if lock.matches >= MATCHES_MIN]
    if not locks:
        return None
    value = math.fsum(lock.value for lock in locks) / len(locks)
    locked = sum(lock.p_value < SIGNIFICANT for lock in locks)
    return RoomSynchrony(name, value, len(voices), len(locks), locked, len(breaths))


def _voice(breaths: Sequence[Breath]) -> _Voice:
    ordered = sorted(breaths, key=lambda breath: breath.at)
    return _Voice(
        np.array([breath.at for breath in ordered], dtype=np.int64),
        np.array([breath.phase for breath in ordered], dtype=np.float64),
        np.array([(breath.rate or 0.0) * 2 * math.pi / 60_000 for breath in ordered], dtype=np.float64),
    )


def _locking(one: _Voice, other: _Voice) -> _Lock:
    if len(one.at) > len(other.at):
        one, other = other, one
    after = np.clip(np.searchsorted(other.at, one.at), 1, max(1, len(other.at) - 1))
    before = after - 1
    after = np.minimum(after, len(other.at) - 1)
    nearest = np.where(one.at - other.at[before] <= other.at[after] - one.at, before, after)
    apart = one.at - other.at[nearest]
    near = np.abs(apart) <= MATCH_MS
    n = int(np.count_nonzero(near))
    if n == 0:
        return _Lock(0.0, 1.0, 0)
    theirs = other.phases[nearest] + other.turning[nearest] * apart
    value = float(np.abs(np.exp(1j * (one.phases - theirs)[near]).mean()))
    return _Lock(value, rayleigh(value, n), n)


def rayleigh(value: float, n: int) -> float:
    """How often n angles at random have a mean at least so long."""
    length = min(value, 1.0) * n
    return min(1.0, math.exp(math.sqrt(1 + 4 * n + 4 * (n * n - length * length)) - (1 + 2 * n)))
