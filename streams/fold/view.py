"""A shard as readers see it: all accepted events folded, ready to be merged and read at a time T.

Pure. Built from a changelog value; nothing in it is written back.
"""

from __future__ import annotations

import msgspec

from streams.events import BLOOM, FIELD, SACRED_PHRASE
from streams.fold.entanglements import SEPARATOR, Bond
from streams.fold.particles import Remembered
from streams.fold.resonance import DeviceRow, Sums, add_slots, total
from streams.fold.rooms import Session
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.fold.shard import Shard


class RoomView(msgspec.Struct):
    """A room's latest session with the device rows that its readings need."""

    room_id: str
    session: Session
    rows: dict[str, DeviceRow]
    slots: dict[int, Sums]


class PairView(msgspec.Struct, frozen=True):
    """An established pair of one routing key."""

    routing_key: str
    low: str
    high: str
    bond: Bond


class ShardView(msgspec.Struct):
    """Absolute picture of one shard at its own position. Times in ms."""

    partition: int
    shard: int
    position: int
    watermark: int
    slots: dict[int, Sums]
    rows: list[tuple[str, str, DeviceRow]]
    """(routing key, device, row)"""
    rooms: list[RoomView]
    pairs: list[PairView]
    particles: list[Remembered]
    quantum_fields: list[Remembered]


def load_view(value: bytes, rules: Rules = DEFAULT_RULES) -> ShardView:
    """View of a changelog value; raises FoldVersionError when another fold wrote it."""
    return view(Shard.decode(value, rules))


def view(shard: Shard) -> ShardView:
    """View of a settled shard."""
    seen = ShardView(
        shard.partition, shard.number, shard.position, shard.watermark, {}, [], [], [],
        shard.remembered((BLOOM, SACRED_PHRASE)), shard.remembered((FIELD,)),
    )  # fmt: skip
    for name in shard.keys:
        state = shard.live(name)
        seen.rows.extend((name, device, row) for device, row in state.rows.items())
        slots = total(state.rows.values())
        add_slots(seen.slots, slots)
        if state.room.session.opened >= 0:
            seen.rooms.append(RoomView(name, state.room.session, state.rows, slots))
        for pair, bond in state.bonds.pairs.items():
            if bond.established is not None:
                low, _, high = pair.partition(SEPARATOR)
                seen.pairs.append(PairView(name, low, high, bond))
    return seen
