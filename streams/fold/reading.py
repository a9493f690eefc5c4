"""Readings at a time T: a device's or a room's resonance, who is in a room, how strong a pair is.

Pure. T is an argument (ms); what fades or falls silent does so here and nowhere else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streams.fold import resonance, rooms
from streams.fold.entanglements import is_faded, strength
from streams.fold.particles import Remembered
from streams.fold.resonance import DeviceRow
from streams.fold.rooms import Session
from streams.fold.rules import Rules
from streams.fold.view import PairView, RoomView


class DeviceReading(msgspec.Struct, frozen=True):
    """A device at T, over all its routing keys."""

    device_id: str
    resonance: float
    last_seen: int
    active: bool
    position: tuple[float, float, float | None] | None
    counts: dict[str, int]


class Participant(msgspec.Struct, frozen=True):
    """Somebody present in a room; ``joined`` in ms."""

    device_id: str
    joined: int
    seated: bool


class RoomReading(msgspec.Struct, frozen=True):
    """A room at T: its latest session. Times in ms."""

    room_id: str
    opened: int
    last: int
    open: bool
    present: int
    seated: int
    devices: int
    blooms: int
    phrases: int
    resonance: float
    coherence: float
    participants: list[Participant]


class PairReading(msgspec.Struct, frozen=True):
    """Two devices at T. ``established`` and ``last`` in seconds; ``strength`` 0..1."""

    low: str
    high: str
    established: int
    last: int | None
    explicit: bool
    kind: str | None
    strength: float
    living: bool


class ParticleReading(msgspec.Struct, frozen=True):
    """A memory particle, or a quantum field (``data`` has its harmonics)."""

    id: str
    timestamp: int
    device_id: str
    type: str
    intensity: float
    x: float | None
    y: float | None
    z: float | None
    data: dict[str, Any]


def read_room(room: RoomView, at: int, rules: Rules) -> RoomReading:
    """The room at ``at``."""
    session = room.session
    stays = rooms.present(session, at, rules)
    seats = [device for _, device in stays[: rules.seats]]
    tallies = session.heard.values()
    return RoomReading(
        room.room_id, session.opened, session.last, session.is_open(at, rules),
        len(stays), len(seats), len(session.heard),
        sum(blooms for blooms, _ in tallies), sum(phrases for _, phrases in tallies),
        resonance.read(room.slots, at, rules), coherence(seats, room.rows, at, rules),
        [Participant(device, joined, rank < rules.seats) for rank, (joined, device) in enumerate(stays)],
    )  # fmt: skip


def coherence(seats: list[str], rows: dict[str, DeviceRow], at: int, rules: Rules) -> float:
    """How much those seated breathe in step: over the last breath of each, within 30 s of ``at``."""
    breaths = [rows[device].breath for device in sorted(seats) if device in rows]
    return rooms.coherence(breath[1] for breath in breaths if breath is not None and at - breath[0] <= rules.breath_ms)


def read_session_end(session: Session, rules: Rules) -> list[tuple[str, int, bool]]:
    """(device, joined, seated) of those present at the session's last event."""
    stays = rooms.present(session, session.last, rules)
    return [(device, joined, rank < rules.seats) for rank, (joined, device) in enumerate(stays)]


def read_pair(pair: PairView, at: int, rules: Rules) -> PairReading:
    """The pair of one routing key at ``at``."""
    bond = pair.bond
    explicit, established = bond.explicit is not None, bond.established
    assert established is not None
    return PairReading(
        pair.low, pair.high, established, bond.last, explicit, bond.kind,
        strength(bond.last, explicit, bond.intensity, at, rules), not is_faded(bond.last, explicit, at, rules),
    )  # fmt: skip


def join_pairs(one: PairReading, other: PairReading) -> PairReading:
    """The same two devices in two routing keys: living if either is, established when the earlier was."""
    lasts = [last for last in (one.last, other.last) if last is not None]
    return PairReading(
        one.low, one.high, min(one.established, other.established), max(lasts, default=None),
        one.explicit or other.explicit, min(filter(None, (one.kind, other.kind)), default=None),
        max(one.strength, other.strength), one.living or other.living,
    )  # fmt: skip


def read_particle(place: Remembered) -> ParticleReading:
    """What a taken place shows."""
    return ParticleReading(
        place.id, place.timestamp, place.device, place.type, place.intensity / 1_000_000,
        place.x, place.y, place.z, place.data,
    )  # fmt: skip
