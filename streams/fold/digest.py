"""Digests: SHA-256 over the canonical form of the state, by table.

Pure. The canonical form is one JSON array a row (shortest round-trip floats, no spaces), rows sorted as text,
joined by newlines; state is pruned relative to each key's watermark. Positions and counters are left out.

| table | row |
| --- | --- |
| resonance | key, device, last_seen, [x, y, z], [breath ms, phase], [[slot, sum, weight]], [[type, count]] |
| rooms | key, opened, last, [[device, joined, last]] present at the watermark, [[device, blooms, phrases]] |
| entanglements | key, low, high, before, last, echoed, explicit, kind, intensity |
| particles, quantum_fields | timestamp, id, device ("" in an empty place), key, type, intensity, x, y, z, data |
| sequences | key, device, epoch, highest seq, bits of the numbers up to it |
| opt_outs | device, timestamp, id, out |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from streams.events import BLOOM, FIELD, SACRED_PHRASE
from streams.fold import resonance, rooms
from streams.fold.entanglements import SEPARATOR, is_stale
from streams.fold.particles import Remembered, newest
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.fold.shard import Shard
from streams.fold.state import State

TABLES = ("resonance", "rooms", "entanglements", "particles", "quantum_fields", "sequences", "opt_outs")

_encode = msgspec.json.Encoder(order="deterministic").encode


def digest(values: Iterable[bytes], rules: Rules = DEFAULT_RULES) -> dict[str, str]:
    """Hexadecimal SHA-256 by table, of the shards in these changelog values."""
    return {
        name: hashlib.sha256(b"\n".join(sorted(_encode(row) for row in rows))).hexdigest()
        for name, rows in tables(values, rules).items()
    }


def tables(values: Iterable[bytes], rules: Rules = DEFAULT_RULES) -> dict[str, list[list[Any]]]:
    """The canonical rows by table."""
    out: dict[str, list[list[Any]]] = {name: [] for name in TABLES}
    particles: list[Remembered] = []
    quantum_fields: list[Remembered] = []
    toggles: set[tuple[str, int, str, bool]] = set()
    for value in values:
        shard = Shard.decode(value, rules)
        particles += shard.remembered((BLOOM, SACRED_PHRASE))
        quantum_fields += shard.remembered((FIELD,))
        toggles |= {
            (device, timestamp, identity, is_out) for timestamp, identity, device, is_out in shard.toggles.ordered
        }
        for name, key in shard.keys.items():
            state = shard.live(name)
            state.prune(key.watermark, key.watermark, rules)
            _add_state(out, name, state, key.watermark, rules)
            for device, window in key.windows.items():
                out["sequences"].append([name, device, window.epoch, window.high, window.seen])
    out["particles"] = [_place(place) for place in newest(particles, rules.particles)]
    out["quantum_fields"] = [_place(place) for place in newest(quantum_fields, rules.quantum_fields)]
    out["opt_outs"] = [list(toggle) for toggle in sorted(toggles)]
    return out


def _add_state(out: dict[str, list[list[Any]]], name: str, state: State, watermark: int, rules: Rules) -> None:
    for device, row in state.rows.items():
        slots = resonance.prune(row.slots, watermark, rules)
        out["resonance"].append([
            name, device, row.last_seen, row.spot, row.breath,
            sorted([slot, *sums] for slot, sums in slots.items()), sorted(row.counts.items()),
        ])  # fmt: skip
    session = state.room.session
    if session.opened >= 0:
        out["rooms"].append([
            name, session.opened, session.last,
            sorted([device, *session.present[device]] for _, device in rooms.present(session, watermark, rules)),
            sorted([device, *tally] for device, tally in session.heard.items()),
        ])  # fmt: skip
    for pair, bond in state.bonds.pairs.items():
        if not is_stale(bond, watermark // 1000, rules):
            low, _, high = pair.partition(SEPARATOR)
            out["entanglements"].append([
                name, low, high, bond.before, bond.last, bond.echoed, bond.explicit, bond.kind, bond.intensity,
            ])  # fmt: skip


def _place(place: Remembered) -> list[Any]:
    return [getattr(place, name) for name in Remembered.__struct_fields__]
