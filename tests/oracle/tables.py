"""Canonical tables: the whole state as plain dictionaries, pruned relative to each key's watermark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.oracle.acceptance import Constants, Log, accept, place, window
from tests.oracle.state import Key, Moment, fold_key, forgotten


@dataclass
class Oracle:
    """The log as decided, and every key folded from nothing."""

    log: Log
    keys: dict[str, Key]

    @classmethod
    def of(cls, arrivals: Iterable[Any], constants: Constants | None = None) -> Oracle:
        """``arrivals``: valid events in order of arrival, an OPT event once."""
        return cls._folded(accept(arrivals, constants))

    @classmethod
    def as_of(cls, arrivals: Iterable[Any], at: int, constants: Constants | None = None) -> Oracle:
        """What the whole log accepts, as far as it is of ``at`` ms or before."""
        whole = accept(arrivals, constants)
        log = Log(whole.constants, toggles=[toggle for toggle in whole.toggles if toggle.timestamp <= at])
        for name, events in whole.events.items():
            log.events[name] = [event for event in events if event.timestamp <= at]
            if log.events[name]:
                log.watermarks[name] = max(event.timestamp for event in log.events[name])
        return cls._folded(log)

    @classmethod
    def _folded(cls, log: Log) -> Oracle:
        keys = {name: fold_key(events, log.toggles, log.constants) for name, events in log.events.items() if events}
        return cls(log, keys)


def tables(oracle: Oracle) -> dict[str, Any]:
    """resonance, rooms, entanglements, particles, quantum_fields, sequences, opt_outs.

    Dictionaries by (key, device), key, (key, low, high); the last ones of particles and quantum_fields
    are lists over all keys, newest last, with None in place of a removed one.
    """
    constants = oracle.log.constants
    return {
        "resonance": _resonance(oracle),
        "rooms": _rooms(oracle),
        "entanglements": _entanglements(oracle),
        "particles": newest((m for k in oracle.keys.values() for m in k.particles), constants.particles),
        "quantum_fields": newest((m for k in oracle.keys.values() for m in k.quantum_fields), constants.quantum_fields),
        "sequences": {(key, device): window(oracle.log, key, device) for key, device in oracle.log.numbers},
        "opt_outs": [(t.timestamp, t.id, t.device_id, t.type) for t in sorted(oracle.log.toggles, key=place)],
    }


def newest(moments: Iterable[Moment], capacity: int) -> list[tuple[int, str, str, Any]]:
    """The newest places: (timestamp, id, device, the event or None where it was removed), oldest first."""
    ordered = sorted(moments, key=lambda m: place(m.event)[:3])
    return [
        (m.event.timestamp, m.event.id, m.event.device_id, None if m.removed else m.event) for m in ordered[-capacity:]
    ]


def _resonance(oracle: Oracle) -> dict[tuple[str, str], dict[str, Any]]:
    constants = oracle.log.constants
    rows = {}
    for name, key in oracle.keys.items():
        oldest = oracle.log.watermarks[name] // constants.slot_ms - constants.slots
        for device, row in key.devices.items():
            rows[name, device] = {
                "slots": {slot: tuple(sums) for slot, sums in sorted(row.slots.items()) if slot > oldest},
                "last_seen": row.last_seen,
                "position": row.position,
                "breath": row.breath,
                "counts": dict(row.counts),
            }
    return rows


def _rooms(oracle: Oracle) -> dict[str, dict[str, Any]]:
    rows = {}
    for name, key in oracle.keys.items():
        session, oldest = key.session, oracle.log.watermarks[name] - oracle.log.constants.silence_ms
        if session is not None:
            rows[name] = {
                "opened": session.opened,
                "last": session.last,
                "present": {device: times for device, times in session.present.items() if times[1] >= oldest},
                "heard": session.heard,
                "blooms": {d: n for d, n in session.blooms.items() if n},
                "phrases": {d: n for d, n in session.phrases.items() if n},
            }
    return rows


def _entanglements(oracle: Oracle) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows = {}
    for name, key in oracle.keys.items():
        for (low, high), pair in key.pairs.items():
            if not forgotten(pair, oracle.log.watermarks[name] // 1000, oracle.log.constants):
                rows[name, low, high] = {
                    "established": pair.established,
                    "echoed": pair.echoed,
                    "explicit": pair.explicit,
                    "kind": pair.kind,
                    "intensity": pair.intensity,
                    "last": pair.last,
                }
    return rows
