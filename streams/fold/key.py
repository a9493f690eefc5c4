"""One routing key: which events are accepted, and when they become final.

Pure. ``tail`` holds the accepted events of the last L before the watermark in their order; ``base`` is the fold
of all before. An event is accepted unless it is a duplicate or late (DESIGN 3); late ones are counted, not folded.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Any

import msgspec

from streams.events import Event, from_values
from streams.fold import duplicates
from streams.fold.duplicates import Verdict, Window, judge
from streams.fold.opts import Toggles
from streams.fold.particles import Memory, remember
from streams.fold.rules import Rules
from streams.fold.state import State, StateRecord, left_out

Entry = tuple[int, str, str, int, int, Event]
"""(timestamp, id, device, epoch, seq or -1, event): the order of events."""


class KeyRecord(msgspec.Struct, array_like=True):
    """A ``Key`` at rest."""

    watermark: int
    settled: int
    windows: dict[str, Window]
    tail: list[Any]
    """events as they are on the way in, plain values on the way out"""
    state: StateRecord


class Key:
    """Acceptance, tail and base of one routing key. Times in ms."""

    __slots__ = ("base", "ids", "settled", "social", "tail", "threshold", "watermark", "windows")

    def __init__(self, record: KeyRecord | None = None) -> None:
        record = record or KeyRecord(-1, -1, {}, [], StateRecord())
        self.watermark = record.watermark
        self.settled = record.settled
        self.windows = record.windows
        self.tail: list[Entry] = [entry_of(from_values(values)) for values in record.tail]
        self.base = State.restore(record.state)
        self.ids: dict[tuple[str, str], int] | None = None
        self.threshold = 64
        bound = record.state.session.opened >= 0 or bool(record.state.pairs)
        self.social = bound or any(entry[5].room_id or entry[5].target for entry in self.tail)
        """Whether there can be a room or a pair: most keys are devices by themselves and have no such rows."""

    def accept(self, event: Event, rules: Rules) -> Verdict:
        """Take a delivered event into the tail, or say why not."""
        timestamp, seq = event.timestamp, event.seq
        floor = self.watermark - rules.lateness_ms
        if seq is not None:
            verdict = judge(self.windows.get(event.device_id), event.epoch, seq, rules.sequence_window)
            if verdict:
                return verdict
        elif self._known_ids().get((event.id, event.device_id), -1) >= max(floor, 0):
            return Verdict.DUPLICATE
        if timestamp < floor:
            return Verdict.LATE
        if seq is not None:
            duplicates.admit(self.windows, event.device_id, event.epoch, seq, rules.sequence_window)
        entry = entry_of(event)
        tail = self.tail
        if not tail or entry > tail[-1]:
            tail.append(entry)
        else:
            insort(tail, entry)
        if self.ids is not None:
            known = (event.id, event.device_id)
            self.ids[known] = max(timestamp, self.ids.get(known, -1))
        if timestamp > self.watermark:
            self.watermark = timestamp
        if event.room_id is not None or event.target is not None:
            self.social = True
        return Verdict.ACCEPTED

    def take(self, event: Event) -> None:
        """Take an event that another ``Key`` has accepted; nothing is remembered to judge others by."""
        insort(self.tail, entry_of(event))
        self.watermark = max(self.watermark, event.timestamp)

    def shed(self, floor: int) -> list[Event]:
        """Take out of the tail, in order, what is before ``floor``: the watermark less L."""
        end = bisect_left(self.tail, (floor,))
        events = [entry[5] for entry in self.tail[:end]]
        del self.tail[:end]
        if self.ids is not None:
            for event in events:
                if self.ids.get((event.id, event.device_id)) == event.timestamp:
                    del self.ids[event.id, event.device_id]
        self.threshold = 2 * len(self.tail) + 64
        return events

    def advance(
        self, register: Toggles, memories: Mapping[str, Memory], rules: Rules, weights: Mapping[str, int]
    ) -> None:
        """Fold into the base what no later event can come before."""
        floor = self.watermark - rules.lateness_ms
        if floor <= self.settled:
            return
        toggles = register.between(self.settled, floor)
        events = self.shed(floor)
        if events or toggles:
            self.base.fold(events, toggles, register, rules, weights)
            for event in events:
                memory = memories.get(event.type)
                if memory is not None and not (register.devices and left_out(register, event)):
                    memory.add(remember(event))
        self.settled = floor

    def live(self, register: Toggles, rules: Rules, weights: Mapping[str, int]) -> State:
        """The state with all accepted events: the base and the tail. Call ``advance`` before."""
        state = self.base.copy()
        toggles = register.between(self.settled, 1 << 62) if register.devices else []
        state.fold([entry[5] for entry in self.tail], toggles, register, rules, weights)
        return state

    def record(self) -> KeyRecord:
        """To rest."""
        tail = [entry[5] for entry in self.tail]
        return KeyRecord(self.watermark, self.settled, self.windows, tail, self.base.record())

    def _known_ids(self) -> dict[tuple[str, str], int]:
        if self.ids is None:  # built when the first event without seq comes: most devices number theirs
            self.ids = {(entry[1], entry[2]): entry[0] for entry in self.tail}
        return self.ids


def entry_of(event: Event) -> Entry:
    """The event with its place in the order."""
    seq = event.seq
    return event.timestamp, event.id, event.device_id, event.epoch, -1 if seq is None else seq, event
