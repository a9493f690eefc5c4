"""The state of one routing key: device rows, room, gestures and pairs, folded in the order of events.

Pure. The fold keeps one of these for the events that are final (the base) and folds the last ten seconds on a copy
of it whenever somebody reads. An event that arrives out of order costs an insertion and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streams.events import Event
from streams.fold import resonance, rooms
from streams.fold.entanglements import Bond, Bonds, Gesture
from streams.fold.opts import Toggle, Toggles
from streams.fold.resonance import DeviceRow
from streams.fold.rooms import Room, Session
from streams.fold.rules import Rules


class StateRecord(msgspec.Struct, array_like=True):
    """A ``State`` at rest."""

    rows: dict[str, DeviceRow] = {}
    session: Session = msgspec.field(default_factory=Session)
    pairs: dict[str, Bond] = {}
    gestures: dict[str, list[Gesture]] = {}


class State:
    """Rows, room, gestures and pairs of one key."""

    __slots__ = ("_owned", "bonds", "room", "rows")

    def __init__(self, rows: dict[str, DeviceRow], room: Room, bonds: Bonds, owned: set[str] | None = None) -> None:
        self.rows = rows
        self.room = room
        self.bonds = bonds
        self._owned = owned

    @classmethod
    def restore(cls, record: StateRecord) -> State:
        """From rest."""
        return cls(record.rows, Room(record.session), Bonds(record.pairs, record.gestures))

    def record(self) -> StateRecord:
        """To rest."""
        return StateRecord(self.rows, self.room.session, self.bonds.pairs, self.bonds.gestures)

    def copy(self) -> State:
        """Independent: rows are copied when they change; nothing closed and nothing touched yet."""
        return State(self.rows.copy(), Room(self.room.session.copy()), self.bonds.copy(), set())

    def fold(
        self, events: list[Event], toggles: list[Toggle], register: Toggles, rules: Rules, weights: Mapping[str, int]
    ) -> None:
        """Fold events in order, with the toggles of the same stretch of time between them."""
        at = 0
        for event in events:
            while at < len(toggles) and toggles[at][:3] <= (event.timestamp, event.id, event.device_id):
                self._toggle(toggles[at])
                at += 1
            if not register.devices or not left_out(register, event):
                self._hear(event, rules, weights)
        for toggle in toggles[at:]:
            self._toggle(toggle)

    def forget(self, device: str) -> None:
        """The device opted out."""
        self.rows.pop(device, None)
        self.room.forget(device)
        self.bonds.forget(device)

    def prune(self, floor_ms: int, watermark: int, rules: Rules) -> None:
        """Drop what no later event (none is before ``floor_ms``) and no later reading can need.

        What may be dropped and come again is sorted, so that the record's bytes do not tell when this was called.
        """
        for row in self.rows.values():
            row.slots = resonance.prune(row.slots, watermark, rules)
        rooms.prune(self.room.session, min(floor_ms, self.room.session.last), rules)  # its row says who was there last
        self.bonds.prune(floor_ms, rules)

    def _toggle(self, toggle: Toggle) -> None:
        if toggle[3]:
            self.forget(toggle[2])

    def _hear(self, event: Event, rules: Rules, weights: Mapping[str, int]) -> None:
        device = event.device_id
        row = self.rows.get(device)
        if row is None:
            row = self.rows[device] = DeviceRow()
            if self._owned is not None:
                self._owned.add(device)
        elif self._owned is not None and device not in self._owned:
            row = self.rows[device] = row.copy()
            self._owned.add(device)
        resonance.hear(row, event, weights.get(event.type), rules.slot_ms)
        room = self.room
        if event.room_id is None:
            if event.target is not None:
                self.bonds.hear(event, None, rules)
            return
        if room.hear(event, rules):
            self.bonds.gestures.clear()
        timestamp = event.timestamp
        self.bonds.hear(event, lambda: room.seated(timestamp, rules), rules)


def left_out(register: Toggles, event: Event) -> bool:
    """The event's device, or the one that it names, is out at that moment."""
    timestamp, identity, sender = event.timestamp, event.id, event.device_id
    if register.is_out(sender, timestamp, identity, sender):
        return True
    target = event.target
    return target is not None and register.is_out(target, timestamp, identity, sender)
