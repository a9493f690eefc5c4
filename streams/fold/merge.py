"""The field: all shards of all partitions together, read at a time T.

Pure. How routing keys are spread over shards and partitions never shows in it (law 4).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streams.fold import resonance
from streams.fold.particles import newest
from streams.fold.reading import (
    DeviceReading,
    PairReading,
    ParticleReading,
    RoomReading,
    join_pairs,
    read_pair,
    read_particle,
    read_room,
)  # fmt: skip
from streams.fold.resonance import DeviceRow, Sums, add_slots
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.fold.view import ShardView


class FieldReading(msgspec.Struct, frozen=True):
    """The field at ``at`` (ms). ``rooms``: the open ones; ``pairs``: the living ones; particles newest last."""

    at: int
    watermark: int
    global_resonance: float
    active_nodes: int
    collective_intelligence: float
    room64_active: bool
    entanglements_living: int
    entanglements_established: int
    rooms: list[RoomReading]
    pairs: list[PairReading]
    particles: list[ParticleReading]
    quantum_fields: list[ParticleReading]


def merge(views: Iterable[ShardView], at: int, rules: Rules = DEFAULT_RULES) -> FieldReading:
    """The field at ``at``: a live reading takes the later of now and the watermark."""
    views = list(views)
    slots: dict[int, Sums] = {}
    for seen in views:
        add_slots(slots, seen.slots)
    active = {device for seen in views for _, device, row in seen.rows if 0 <= at - row.last_seen <= rules.silence_ms}
    rooms = [room for room in read_rooms(views, at, rules) if room.open]
    pairs = read_pairs(views, at, rules)
    living = [pair for pair in pairs if pair.living]
    bound = {device for pair in living for device in (pair.low, pair.high)}
    coherence = sum(room.coherence for room in rooms) / len(rooms) if rooms else 0.0
    share = len(active & bound) / len(active) if active else 0.0
    return FieldReading(
        at=at,
        watermark=max((seen.watermark for seen in views), default=-1),
        global_resonance=resonance.read(slots, at, rules),
        active_nodes=len(active),
        collective_intelligence=0.3 + 0.35 * coherence + 0.35 * share,
        room64_active=any(room.present >= 2 for room in rooms),
        entanglements_living=len(living),
        entanglements_established=len(pairs),
        rooms=rooms,
        pairs=living,
        particles=[
            read_particle(place) for place in newest((p for seen in views for p in seen.particles), rules.particles)
            if place.key
        ],
        quantum_fields=[
            read_particle(place)
            for place in newest((p for seen in views for p in seen.quantum_fields), rules.quantum_fields)
            if place.key
        ],
    )  # fmt: skip


def read_rooms(views: Iterable[ShardView], at: int, rules: Rules) -> list[RoomReading]:
    """All rooms at ``at``, open or not, by name."""
    rooms = (read_room(room, at, rules) for seen in views for room in seen.rooms)
    return sorted(rooms, key=lambda room: room.room_id)


def read_pairs(views: Iterable[ShardView], at: int, rules: Rules) -> list[PairReading]:
    """All established pairs at ``at``, once per two devices, by name."""
    joined: dict[tuple[str, str], PairReading] = {}
    for seen in views:
        for pair in seen.pairs:
            reading = read_pair(pair, at, rules)
            before = joined.get((pair.low, pair.high))
            joined[pair.low, pair.high] = reading if before is None else join_pairs(before, reading)
    return [joined[pair] for pair in sorted(joined)]


def read_devices(views: Iterable[ShardView], at: int, rules: Rules) -> list[DeviceReading]:
    """All devices at ``at`` over all their routing keys, by name."""
    rows: dict[str, list[tuple[str, DeviceRow]]] = {}
    for seen in views:
        for key, device, row in seen.rows:
            rows.setdefault(device, []).append((key, row))
    return [_read_device(device, rows[device], at, rules) for device in sorted(rows)]


def _read_device(device: str, rows: list[tuple[str, DeviceRow]], at: int, rules: Rules) -> DeviceReading:
    rows = sorted(rows, key=lambda row: (row[1].last_seen, row[0]))
    slots = resonance.total(row for _, row in rows)
    counts: dict[str, int] = {}
    for _, row in rows:
        for kind, count in row.counts.items():
            counts[kind] = counts.get(kind, 0) + count
    last_seen = rows[-1][1].last_seen
    spot = next((row.spot for _, row in reversed(rows) if row.spot is not None), None)
    active = 0 <= at - last_seen <= rules.silence_ms
    return DeviceReading(device, resonance.read(slots, at, rules), last_seen, active, spot, counts)
