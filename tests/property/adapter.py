"""Between the laws and the fold: the one place that knows how the fold is driven and how its tables look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streams.changes import FieldReading, ShardView, load_view, merge, record_position
from streams.events import OPTS, Event
from streams.fold import digest as digests
from streams.fold.merge import read_devices, read_pairs, read_rooms
from streams.fold.partition import PartitionFold
from streams.fold.rules import Rules
from streams.table import parse_key, partition_of
from tests.oracle import Oracle
from tests.oracle import read as oracle_read
from tests.oracle import tables as oracle_tables

WRITER = "1-00000001"


@dataclass(repr=False)
class Field:
    """Some partitions of the field under test, with the changelog that they have written."""

    rules: Rules
    partitions: int = 1
    shards: int = 4
    folds: list[PartitionFold] = field(default_factory=list)
    changelogs: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    records: list[list[Sequence[Event]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folds = [PartitionFold(number, self.shards, self.rules) for number in range(self.partitions)]
        self.changelogs = [[] for _ in self.folds]
        self.records = [[] for _ in self.folds]

    def publish(self, events: Sequence[Event]) -> None:
        """One record a partition with its share of the events; OPT events go to all of them."""
        for number in range(self.partitions):
            share = [e for e in events if e.type in OPTS or partition_of(e.key, self.partitions) == number]
            if share or self.partitions == 1:
                self.records[number].append(share)
                self.folds[number].fold(len(self.records[number]) - 1, share)

    def checkpoint(self, writer: str = WRITER) -> None:
        for number, fold in enumerate(self.folds):
            self.changelogs[number].extend(fold.checkpoint(writer).records)

    def restart(self, pause: Callable[[], None] | None = None) -> None:
        """Lose the memory; recover from the changelog and fold again whatever is after its position.

        ``pause`` is called once on the way, when half of that is folded.
        """
        for number in range(self.partitions):
            fold = PartitionFold(number, self.shards, self.rules)
            fold.load(compacted(self.changelogs[number]))
            self.folds[number] = fold
            again = range(fold.position + 1, len(self.records[number]))
            for offset in again:
                fold.fold(offset, self.records[number][offset])
                if pause and offset == again[len(again) // 2]:
                    pause()

    def values(self) -> list[bytes]:
        """Changelog values of all shards as they are now: a checkpoint, and of each shard the highest position."""
        self.checkpoint()
        best: dict[tuple[int, int], tuple[int, bytes]] = {}
        for changelog in self.changelogs:
            for key, value in changelog:
                partition, shard, _writer = parse_key(key)
                if shard is not None:
                    known = best.get((partition, shard), (-1, b""))
                    best[partition, shard] = max(known, (record_position(value), value))
        return [value for _, value in best.values()]

    def digest(self) -> dict[str, str]:
        return digests.digest(self.values(), self.rules)

    def views(self) -> list[ShardView]:
        return [load_view(value, self.rules) for value in self.values()]

    def reading(self, at: int) -> FieldReading:
        return merge(self.views(), at, self.rules)


def compacted(changelog: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The last value of each key, as Kafka keeps it."""
    return list(dict(changelog).items())


def play(records: Iterable[Sequence[Event]], rules: Rules, partitions: int = 1, shards: int = 4) -> Field:
    """A field that has folded these records."""
    played = Field(rules, partitions, shards)
    for events in records:
        played.publish(events)
    return played


def plain_tables(values: Sequence[bytes], rules: Rules) -> dict[str, Any]:
    """The fold's tables in the oracle's words; particles and fields merged over the shards."""
    rows = digests.tables(values, rules)
    return {
        "resonance": {(r[0], r[1]): _device(r) for r in rows["resonance"]},
        "rooms": {r[0]: _room(r) for r in rows["rooms"]},
        "entanglements": {(r[0], r[1], r[2]): _pair(r) for r in rows["entanglements"]},
        "particles": _places(rows["particles"], rules.particles),
        "quantum_fields": _places(rows["quantum_fields"], rules.quantum_fields),
        "sequences": {(r[0], r[1]): (r[2], r[3], _numbers(r[3], r[4])) for r in rows["sequences"]},
        "opt_outs": sorted({(r[1], r[2], r[0], bool(r[3])) for r in rows["opt_outs"]}),
    }


def expected_tables(oracle: Oracle) -> dict[str, Any]:
    """The oracle's tables, with its events made plain."""
    tables = dict(oracle_tables(oracle))
    for name in ("particles", "quantum_fields"):
        places = [(t, i, "", None) if e is None else (t, i, d, _moment(e)) for t, i, d, e in tables[name]]
        tables[name] = sorted(places, key=lambda place: place[:3])
    tables["opt_outs"] = [(t, i, d, kind == "OPT_OUT") for t, i, d, kind in tables["opt_outs"]]
    return tables


def _device(row: list[Any]) -> dict[str, Any]:
    return {
        "last_seen": row[2],
        "position": None if row[3] is None else tuple(row[3]),
        "breath": None if row[4] is None else tuple(row[4]),
        "slots": {slot: (felt, weight) for slot, felt, weight in row[5]},
        "counts": dict(row[6]),
    }


def _room(row: list[Any]) -> dict[str, Any]:
    return {
        "opened": row[1],
        "last": row[2],
        "present": {device: (joined, last) for device, joined, last in row[3]},
        "heard": {device for device, _, _ in row[4]},
        "blooms": {device: blooms for device, blooms, _ in row[4] if blooms},
        "phrases": {device: phrases for device, _, phrases in row[4] if phrases},
    }


def _pair(row: list[Any]) -> dict[str, Any]:
    _, _, _, _before, last, echoed, explicit, kind, intensity = (None if v == -1 else v for v in row)
    times = [second for second in (echoed, explicit) if second is not None]
    return {
        "established": min(times, default=None),
        "echoed": echoed,
        "explicit": explicit,
        "kind": kind,
        "intensity": intensity,
        "last": last,
    }


def _places(rows: list[list[Any]], capacity: int) -> list[tuple[Any, ...]]:
    places = [(r[0], r[1], r[2], tuple(r[3:10]) if r[4] else None) for r in rows]
    return [
        (t, i, d, None if m is None else {"key": m[0], "type": m[1], "intensity": m[2], "at": m[3:6], "data": m[6]})
        for t, i, d, m in sorted(places, key=lambda place: place[:3])[-capacity:]
    ]


def _moment(event: Event) -> dict[str, Any]:
    return {
        "key": event.key,
        "type": event.type,
        "intensity": event.intensity,
        "at": (event.x, event.y, event.z),
        "data": msgspec.to_builtins(event.data),
    }


def _numbers(highest: int, bits: int) -> tuple[int, ...]:
    return tuple(sorted(highest - back for back in range(bits.bit_length()) if bits >> back & 1))


def plain_reading(views: list[ShardView], at: int, rules: Rules) -> dict[str, Any]:
    """What the fold reads at ``at`` (ms), in the oracle's words."""
    read = merge(views, at, rules)
    devices = read_devices(views, at, rules)
    pairs = read_pairs(views, at, rules)
    rooms = [room for room in read_rooms(views, at, rules) if room.open]
    assert msgspec.to_builtins(rooms) == msgspec.to_builtins(read.rooms)
    assert msgspec.to_builtins([p for p in pairs if p.living]) == msgspec.to_builtins(read.pairs)
    return {
        "global_resonance": read.global_resonance,
        "device_resonance": {d.device_id: d.resonance for d in devices},
        "active": {d.device_id for d in devices if d.active},
        "active_nodes": read.active_nodes,
        "collective_intelligence": read.collective_intelligence,
        "room64_active": read.room64_active,
        "rooms": {room.room_id: _open_room(room) for room in rooms},
        "pairs": {(p.low, p.high): (p.established, p.strength, p.living) for p in pairs},
        "living": read.entanglements_living,
        "established": read.entanglements_established,
        "particles": [(p.timestamp, p.id, p.device_id, p.intensity) for p in read.particles],
        "quantum_fields": [(p.timestamp, p.id, p.device_id, p.data) for p in read.quantum_fields],
    }


def _open_room(room: Any) -> dict[str, Any]:
    assert (room.present, room.seated) == (len(room.participants), sum(p.seated for p in room.participants))
    return {
        "opened": room.opened,
        "present": [p.device_id for p in room.participants],
        "seated": [p.device_id for p in room.participants if p.seated],
        "coherence": room.coherence,
        "resonance": room.resonance,
        "blooms": room.blooms,
        "phrases": room.phrases,
    }


def expected_reading(oracle: Oracle, at: int) -> dict[str, Any]:
    """What the oracle reads at ``at`` (ms)."""
    read = oracle_read(oracle, at)
    return {
        "global_resonance": read.global_resonance,
        "device_resonance": read.device_resonance,
        "active": read.active,
        "active_nodes": len(read.active),
        "collective_intelligence": read.collective_intelligence,
        "room64_active": read.room64_active,
        "rooms": {name: vars(room) for name, room in read.rooms.items()},
        "pairs": {names: (b.established, b.strength, b.living) for names, b in read.pairs.items()},
        "living": sum(bond.living for bond in read.pairs.values()),
        "established": len(read.pairs),
        "particles": [(e.timestamp, e.id, e.device_id, e.intensity / 1_000_000) for e in read.particles],
        "quantum_fields": [(e.timestamp, e.id, e.device_id, msgspec.to_builtins(e.data)) for e in read.quantum_fields],
    }


def differences(got: Any, wanted: Any, path: str = "") -> list[str]:
    """Where two plain values differ, floats by more than 1e-9; empty: nowhere."""
    if isinstance(got, dict) and isinstance(wanted, dict):
        lines = [f"{path}[{k!r}]: unexpected {got[k]!r}" for k in got.keys() - wanted.keys()]
        lines += [f"{path}[{k!r}]: missing {wanted[k]!r}" for k in wanted.keys() - got.keys()]
        for k in got.keys() & wanted.keys():
            lines += differences(got[k], wanted[k], f"{path}[{k!r}]")
        return sorted(lines)
    if isinstance(got, list | tuple) and isinstance(wanted, list | tuple) and len(got) == len(wanted):
        return [
            line for i, pair in enumerate(zip(got, wanted, strict=True)) for line in differences(*pair, f"{path}[{i}]")
        ]
    if isinstance(got, float) and isinstance(wanted, float):
        return [] if abs(got - wanted) <= 1e-9 else [f"{path}: {got!r}, expected {wanted!r}"]
    return [] if got == wanted else [f"{path}: {got!r}, expected {wanted!r}"]


def against_oracle(played: Field, oracle: Oracle, times: Iterable[int]) -> list[str]:
    """All differences between a field and the oracle: tables, and readings at the given times."""
    values = played.values()
    lines = differences(plain_tables(values, played.rules), expected_tables(oracle))
    views = [load_view(value, played.rules) for value in values]
    for at in times:
        lines += differences(plain_reading(views, at, played.rules), expected_reading(oracle, at), f"at {at} ")
    return lines
