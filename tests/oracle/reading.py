"""Readings: the numbers that everybody sees, at a time T given by the reader."""

from __future__ import annotations

import cmath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.oracle.acceptance import Constants
from tests.oracle.state import Device, Key, Pair, Session, present, seated
from tests.oracle.tables import Oracle, newest


@dataclass
class Room:
    """An open room."""

    opened: int
    present: list[str]
    seated: list[str]
    coherence: float
    resonance: float
    blooms: int
    phrases: int


@dataclass
class Bond:
    """A pair that is established in some key, merged over its keys."""

    established: int
    strength: float
    living: bool

    @property
    def faded(self) -> bool:
        return not self.living


@dataclass
class Reading:
    """The field at a time T, in ms."""

    at: int
    global_resonance: float
    device_resonance: dict[str, float]
    active: set[str]
    rooms: dict[str, Room]
    pairs: dict[tuple[str, str], Bond]
    collective_intelligence: float
    room64_active: bool
    particles: list[Any]
    quantum_fields: list[Any]


def read(oracle: Oracle, at: int) -> Reading:
    """Everything at ``at`` ms; ``at`` is not before any key's watermark."""
    constants = oracle.log.constants
    by_device: dict[str, list[Device]] = {}
    for key in oracle.keys.values():
        for name, row in key.devices.items():
            by_device.setdefault(name, []).append(row)
    active = {n for n, rows in by_device.items() if any(at - r.last_seen <= constants.silence_ms for r in rows)}
    rooms = {
        name: _room(key, key.session, at, constants)
        for name, key in oracle.keys.items()
        if key.session is not None and at - key.session.last <= constants.silence_ms
    }
    pairs = _pairs(oracle, at)
    living = {device for pair, bond in pairs.items() if bond.living for device in pair}
    mean = sum(room.coherence for room in rooms.values()) / len(rooms) if rooms else 0.0
    share = len(active & living) / len(active) if active else 0.0
    every = [row for rows in by_device.values() for row in rows]
    return Reading(
        at=at,
        global_resonance=resonance(every, at, constants),
        device_resonance={name: resonance(rows, at, constants) for name, rows in by_device.items()},
        active=active,
        rooms=rooms,
        pairs=pairs,
        collective_intelligence=0.3 + 0.35 * mean + 0.35 * share,
        room64_active=any(len(room.present) >= 2 for room in rooms.values()),
        particles=_shown(oracle, "particles", constants.particles),
        quantum_fields=_shown(oracle, "quantum_fields", constants.quantum_fields),
    )


def resonance(rows: Iterable[Device], at: int, constants: Constants) -> float:
    """0..1; one half is silence."""
    felt = constants.rest_weight * 0.5 * 1_000_000
    weight = float(constants.rest_weight)
    for row in rows:
        for slot, (slot_felt, slot_weight) in row.slots.items():
            age = at // constants.slot_ms - slot
            if 0 <= age < constants.slots:
                decay = 0.5 ** (age * constants.slot_ms / constants.slot_half_life_ms)
                felt += decay * slot_felt
                weight += decay * slot_weight
    return felt / (weight * 1_000_000)


def _room(key: Key, session: Session, at: int, constants: Constants) -> Room:
    sitting = seated(session, at, constants)
    return Room(
        opened=session.opened,
        present=present(session, at, constants),
        seated=sitting,
        coherence=coherence((key.devices[name] for name in sitting), at, constants),
        resonance=resonance(key.devices.values(), at, constants),
        blooms=sum(session.blooms.values()),
        phrases=sum(session.phrases.values()),
    )


def coherence(devices: Iterable[Device], at: int, constants: Constants) -> float:
    """1: all breathe as one; 0: no common rhythm, or nobody to share it with."""
    breaths = [device.breath for device in devices if device.breath is not None]
    phases = [phase for when, phase in breaths if 0 <= at - when <= constants.breath_ms]
    if len(phases) < 2:
        return 0.0
    return abs(sum(cmath.exp(1j * phase) for phase in phases)) / len(phases)


def _pairs(oracle: Oracle, at: int) -> dict[tuple[str, str], Bond]:
    constants = oracle.log.constants
    merged: dict[tuple[str, str], Bond] = {}
    for key in oracle.keys.values():
        for names, pair in key.pairs.items():
            if pair.established is None:
                continue
            bond = Bond(pair.established, strength(pair, at, constants), not faded(pair, at, constants))
            known = merged.setdefault(names, bond)
            known.established = min(known.established, bond.established)
            known.strength = max(known.strength, bond.strength)
            known.living = known.living or bond.living
    return merged


def strength(pair: Pair, at: int, constants: Constants) -> float:
    """Halves with every minute since the last echo; an explicit pair never falls below its intensity."""
    felt = 0.0
    if pair.last is not None:
        felt = min(1.0, 0.5 ** ((at / 1000 - pair.last) / constants.strength_half_life_s))
    if pair.explicit is not None and pair.intensity is not None:
        felt = max(felt, pair.intensity / 1_000_000)
    return felt


def faded(pair: Pair, at: int, constants: Constants) -> bool:
    """Below a sixteenth, and nobody said that it should stay."""
    if pair.explicit is not None or pair.last is None:
        return False
    return at / 1000 - pair.last > constants.strength_half_life_s * constants.strength_faded_halvings


def _shown(oracle: Oracle, table: str, capacity: int) -> list[Any]:
    """Newest last, the removed ones left out."""
    moments = (moment for key in oracle.keys.values() for moment in getattr(key, table))
    return [event for _, _, _, event in newest(moments, capacity) if event is not None]
