"""Resonance: what every device contributes, in slots of ten seconds; and what it reads as at a time T.

Pure. Sums are integers (millionths x weight), so the order of events never shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from streams.events import BREATH, MILLION, Event
from streams.fold.rules import Rules

Sums = tuple[int, int]
"""(sum of intensity in millionths x weight, sum of weights) of one slot."""
Spot = tuple[float, float, float | None]
"""(x, y, z)."""
Breath = tuple[int, float]
"""(timestamp in ms, phase in radians)."""


class DeviceRow(msgspec.Struct, array_like=True):
    """One device's part in one routing key."""

    slots: dict[int, Sums] = {}
    last_seen: int = -1
    spot: Spot | None = None
    breath: Breath | None = None
    counts: dict[str, int] = {}

    def copy(self) -> DeviceRow:
        """An independent row."""
        return DeviceRow(self.slots.copy(), self.last_seen, self.spot, self.breath, self.counts.copy())


def hear(row: DeviceRow, event: Event, weight: int | None, slot_ms: int) -> None:
    """Fold one event into its device's row; events come in their order."""
    timestamp = event.timestamp
    if weight is not None:
        slots, slot = row.slots, timestamp // slot_ms
        sums = slots.get(slot)
        if sums is None:
            slots[slot] = (event.intensity * weight, weight)
        else:
            slots[slot] = (sums[0] + event.intensity * weight, sums[1] + weight)
    row.last_seen = timestamp
    if event.x is not None and event.y is not None:
        row.spot = (event.x, event.y, event.z)
    kind = event.type
    if kind == BREATH:
        row.breath = (timestamp, event.data.phase)  # type: ignore[attr-defined]  # BREATH carries Breath
    row.counts[kind] = row.counts.get(kind, 0) + 1


def prune(slots: dict[int, Sums], watermark: int, rules: Rules) -> dict[int, Sums]:
    """The slots that a reading at or after the watermark can still use; the same object when all can."""
    oldest = watermark // rules.slot_ms - rules.slots + 1
    if not slots or min(slots) >= oldest:
        return slots
    return {slot: sums for slot, sums in slots.items() if slot >= oldest}


def add_slots(total: dict[int, Sums], slots: Mapping[int, Sums]) -> None:
    """Add one set of slots to another, in place."""
    for slot, (intensity, weight) in slots.items():
        before = total.get(slot)
        total[slot] = (intensity, weight) if before is None else (before[0] + intensity, before[1] + weight)


def read(slots: Mapping[int, Sums], at: int, rules: Rules) -> float:
    """Resonance 0..1 at time ``at`` (ms): slots decay by halves, silence returns to one half (DESIGN 3)."""
    now = at // rules.slot_ms
    above, below = rules.rest_weight * 0.5 * MILLION, float(rules.rest_weight)
    for slot in sorted(slots):
        age = now - slot
        if 0 <= age < rules.slots:
            decay: float = 0.5 ** (age * rules.slot_ms / rules.slot_half_life_ms)
            above += decay * slots[slot][0]
            below += decay * slots[slot][1]
    return above / (below * MILLION)


def total(rows: Iterable[DeviceRow]) -> dict[int, Sums]:
    """Slots of many devices together."""
    slots: dict[int, Sums] = {}
    for row in rows:
        add_slots(slots, row.slots)
    return slots
