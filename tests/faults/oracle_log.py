"""What must be true of a log: read from Kafka, folded by ``tests.oracle``, as rows of every tier.

Decoding and the place of a key are the system's own (``streams.validate``, ``streams.table``); everything after that
is the oracle's, which shares no code with the fold.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streams.delivery import source_of
from streams.events import OPTS, Event
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Limits, Rejection, read_record, received_at
from tests.oracle import Constants, Oracle, read
from tests.oracle.reading import coherence, resonance
from tests.oracle.state import present, seated
from tests.property.adapter import expected_reading, expected_tables
from tests.workers import read_topic

Rows = dict[Any, Any]
"""key of a row -> row"""

MINUTE_MS = 60_000
COUNTS = {
    "BREATH": "breaths", "SPIRAL": "spirals", "BLOOM": "blooms", "TOUCH": "touches", "SACRED_PHRASE": "phrases",
    "FIELD": "fields", "ENTANGLE": "entangles", "RELEASE": "releases", "ENTER": "enters", "LEAVE": "leaves",
}  # fmt: skip


@dataclass
class LogContent:
    """All records of the events topic, decoded."""

    constants: Constants
    partitions: int
    ends: dict[int, int] = field(default_factory=dict)
    """partition -> offset after the last record; 0: empty"""
    arrivals: list[Event] = field(default_factory=list)
    """events where they are at home (OPT_* in each partition), by partition and offset"""
    raw: Rows = field(default_factory=dict)
    """(timestamp, id, key) -> (event, received ms, partition, offset, index) of the first such event at home"""
    placed: set[Any] = field(default_factory=set)
    """(partition, timestamp, id, key) of what stands where it belongs"""
    owed: set[Any] = field(default_factory=set)
    """the same, of what must stand there"""
    letters: Rows = field(default_factory=dict)
    """place -> (reason, bytes) of what is no event"""

    def take(self, record: Any, limits: Limits) -> None:
        """One record, in order."""
        partition, offset, headers = record.partition, record.offset, dict(record.headers)
        self.ends[partition] = offset + 1
        received = received_at(headers.get("received"), record.timestamp)
        items = read_record(record.value, received, limits, headers.get("content-type"))
        source = source_of(headers.get("source")) if len(items) == 1 else None
        for index, item in enumerate(items):
            if isinstance(item, Rejection):
                place = source or f"{record.topic}/{partition}/{offset}/{index}"
                self.letters.setdefault(place, (item.reason, item.raw))
                continue
            identity, home = (item.timestamp, item.id, item.key), partition_of(item.key, self.partitions)
            homes = range(self.partitions) if item.type in OPTS else (home,)
            self.owed.update((number, *identity) for number in homes)
            if partition not in homes:
                continue
            self.placed.add((partition, *identity))
            self.arrivals.append(item)
            if partition == home:
                self.raw.setdefault(identity, (item, received, partition, offset, index))


async def read_log(settings: Settings) -> LogContent:
    """The events topic as it is now."""
    limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
    names = set(Constants.__dataclass_fields__)
    rules = {n: getattr(settings.rules, n) for n in settings.rules.__dataclass_fields__ if n in names}
    content = LogContent(Constants(**rules), settings.partitions, dict.fromkeys(range(settings.partitions), 0))
    for record in await read_topic(settings, settings.events_topic):
        content.take(record, limits)
    return content


class Wanted:
    """The rows that every tier must have after a log."""

    def __init__(self, content: LogContent) -> None:
        self.content = content
        self.oracle = Oracle.of(content.arrivals, content.constants)
        self._toggles: defaultdict[str, list[tuple[tuple[int, str, str], bool]]] = defaultdict(list)
        for toggle in self.oracle.log.toggles:
            place = (toggle.timestamp, toggle.id, toggle.device_id)
            self._toggles[toggle.device_id].append((place, toggle.type == "OPT_OUT"))
        for own in self._toggles.values():
            own.sort()

    def tables(self) -> dict[str, Rows]:
        """The fold's canonical tables."""
        return table_rows(expected_tables(self.oracle))

    def events(self) -> Rows:
        """``consciousness_events`` by (timestamp, id, key)."""
        return {
            identity: {
                "device_id": event.device_id,
                "user_id": event.user_id,
                "room_id": event.room_id,
                "type": event.type,
                "data": {k: v for k, v in _plain(event.data).items() if v is not None},
                "x": event.x,
                "y": event.y,
                "z": event.z,
                "intensity": event.intensity / 1_000_000,
                "resonance": self._resonance(event),
                "collective": self._is_collective(event),
                "place": (received, partition, offset, index),
            }
            for identity, (event, received, partition, offset, index) in self.content.raw.items()
        }

    def minutes(self) -> Rows:
        """``consciousness_field_1min`` by minute (epoch ms)."""
        inside: defaultdict[int, list[Event]] = defaultdict(list)
        for event, *_ in self.content.raw.values():
            if self._is_collective(event):
                inside[event.timestamp // MINUTE_MS * MINUTE_MS].append(event)
        rows = {}
        for minute, events in inside.items():
            felt = [value for event in events if (value := self._resonance(event)) is not None]
            spots = [(event.x, event.y) for event in events if event.x is not None]
            kinds = Counter(event.type for event in events)
            rows[minute] = {
                "events": len(events),
                "resonance_sum": sum(felt) if felt else None,
                "resonance_count": len(felt),
                "resonance": sum(felt) / len(felt) if felt else None,
                "active_nodes": len({event.device_id for event in events}),
                "x": sum(x for x, _ in spots) / len(spots) if spots else None,
                "y": sum(y for _, y in spots) / len(spots) if spots else None,
                **{column: kinds[kind] for kind, column in COUNTS.items()},
            }
        return rows

    def sessions(self) -> Rows:
        """``room64_sessions`` by (room, opened ms)."""
        constants, rows = self.content.constants, {}
        for name, key in self.oracle.keys.items():
            at = self.oracle.log.watermarks[name]
            for session in [*key.finished, *([key.session] if key.session else [])]:
                here, sitting = (who(session, session.last, constants) for who in (present, seated))
                ended = session is not key.session
                rows[name, session.opened] = {
                    "last": session.last,
                    "present": len(here),
                    "seated": len(sitting),
                    "devices": len(session.heard),
                    "blooms": sum(session.blooms.values()),
                    "phrases": sum(session.phrases.values()),
                    "participants": [
                        [device, session.present[device][0], device in sitting]
                        for device in here
                        if not self._left_since(device, session.present[device][0])
                    ],
                    "coherence": None if ended else coherence((key.devices[d] for d in sitting), at, constants),
                    "resonance": None if ended else resonance(key.devices.values(), at, constants),
                }
        return rows

    def pairs(self) -> Rows:
        """``entanglements`` by (routing key, low, high)."""
        return {
            (name, *names): {
                "established": pair.established,
                "explicit": pair.explicit is not None,
                "kind": pair.kind,
                "intensity": None if pair.intensity is None else pair.intensity / 1_000_000,
                "last": pair.last,
            }
            for name, key in self.oracle.keys.items()
            for names, pair in key.pairs.items()
            if pair.established is not None
        }

    def summary(self, node: str, at: int) -> dict[str, Any]:
        """``consciousness_states.state`` of a node, read at ``at`` (ms)."""
        reading = read(self.of_node(node), at)
        return {
            "global_resonance": reading.global_resonance,
            "active_nodes": len(reading.active),
            "collective_intelligence": reading.collective_intelligence,
            "room64_active": reading.room64_active,
            "entanglements_living": sum(bond.living for bond in reading.pairs.values()),
            "entanglements_established": len(reading.pairs),
            "rooms_open": len(reading.rooms),
            "particles": len(reading.particles),
            "quantum_fields": len(reading.quantum_fields),
        }

    def of_node(self, node: str) -> Oracle:
        """The oracle of one partition alone; ``field``: of all."""
        if node == "field":
            return self.oracle
        kept = {n: k for n, k in self.oracle.keys.items() if partition_of(n, self.content.partitions) == int(node)}
        return Oracle(self.oracle.log, kept)

    def snapshot(self, at: int) -> Rows:
        """``field:current`` read at ``at`` (ms), as ``snapshot_rows`` has it."""
        return snapshot_rows(expected_reading(self.oracle, at))

    def letters(self) -> Rows:
        """``field.rejected`` by place."""
        return self.content.letters

    def _resonance(self, event: Event) -> float | None:
        weight = self.content.constants.weights.get(event.type)
        if weight is not None:
            return event.intensity * weight / 1_000_000
        return _plain(event.data).get("resonance") if event.type == "FIELD" else None

    def _is_collective(self, event: Event) -> bool:
        return event.type not in OPTS and not any(
            self._is_out(device, event) for device in (event.device_id, event.target) if device is not None
        )

    def _is_out(self, device: str, event: Event) -> bool:
        own = self._toggles.get(device)
        if not own:
            return False
        before = bisect_left(own, ((event.timestamp, event.id, event.device_id), False))
        return before > 0 and own[before - 1][1]

    def _left_since(self, device: str, joined: int) -> bool:
        return any(out and place[0] >= joined for place, out in self._toggles.get(device, ()))


def table_rows(tables: dict[str, Any]) -> dict[str, Rows]:
    """The adapter's tables with all rows by key."""
    out = {name: rows for name, rows in tables.items() if isinstance(rows, dict)}
    for name in ("particles", "quantum_fields"):
        out[name] = {place[:3]: place[3] for place in tables[name]}
    out["opt_outs"] = {place[:3]: place[3] for place in tables["opt_outs"]}
    return out


def snapshot_rows(reading: dict[str, Any]) -> Rows:
    """A reading in the oracle's words, one row for each number, open room, living pair, particle and quantum field."""
    names = ("global_resonance", "active_nodes", "collective_intelligence", "room64_active", "living", "established")
    rows: Rows = {name: reading[name] for name in names}
    rows |= {("room", name): room for name, room in reading["rooms"].items()}
    rows |= {("pair", *names): pair for names, pair in reading["pairs"].items() if pair[2]}
    for kind in ("particles", "quantum_fields"):
        rows |= {(kind, *place[:2]): place[2:] for place in reading[kind]}
    return rows


def _plain(data: Any) -> dict[str, Any]:
    """With its defaults written out."""
    found: dict[str, Any] = json.loads(
        msgspec.json.encode({name: getattr(data, name) for name in data.__struct_fields__})
    )
    return found
