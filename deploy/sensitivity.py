"""How much each constant of the fold matters: what the field reads when it is halved and doubled.

In memory, on the simulated fleet with a fixed seed: no Kafka, no clock, the same table on every machine.
``python -m deploy.sensitivity`` rewrites ``deploy/SETTINGS.md`` with the settings page and this table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from streams.changes import load_view, merge
from streams.events import BREATH, Breath, Event
from streams.fold.partition import fold_all
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.settings import page
from streams.simulate import Fleet, items

PAGE: Final = Path(__file__).with_name("SETTINGS.md")
START: Final = 1_700_000_000_000
LIVELY: Final = Fleet(devices=150, rate=40.0, seed=64, start=START, late=0.01, duplicates=0.01)
LIVELY_S: Final = 600
"""Ten minutes: as long as the longest memory of the fold."""
QUIET: Final = Fleet(devices=150, rate=1.0, seed=65, start=START + LIVELY_S * 1000, late=0.01)
QUIET_S: Final = 270
"""Then most people are heard no more than once or twice: what fades and falls silent begins to show."""
HALL: Final = Fleet(devices=150, rate=20.0, seed=66, start=START + LIVELY_S * 1000)
"""As many guests, all of them in one room for the quiet minutes: more than can sit."""
DRUM: Final = "drum"
GONE_S: Final = 500
"""Every tenth of the lively ones is not heard any more after this: over five minutes before the end, under ten."""
DRUM_S: Final = 90
DRUM_MS: Final = 150
"""An installation that says so much that more than 32 of its events, and less than 64, pass one that is held back."""
HELD_BACK: Final = 50
HELD_BACK_MS: Final = 7_000
"""Every so many events one comes so much later than it should: less than L, more than half of it."""
AT: Final = START + (LIVELY_S + QUIET_S) * 1000
IMPOSSIBLE: Final[dict[tuple[str, float], str]] = {
    ("sequence_window", 2): "not possible: a window is stored as the bits of one MessagePack integer, 64 at most"
}
PARTITIONS: Final = 2
SHARDS: Final = 8


class Row(NamedTuple):
    """One reading at the end, ``AT``."""

    global_resonance: float
    active_nodes: int
    collective_intelligence: float
    rooms: int
    pairs: int
    particles: int
    quantum_fields: int
    accepted: int


@cache
def fleet() -> tuple[Event, ...]:
    """The fixed fleet, as it arrives: lively, then quiet, a drum, and then a crowded hall beside them."""
    said = [item.event for item in chain(items(LIVELY, LIVELY_S), items(QUIET, QUIET_S))]
    stayed = [event for event in said if isinstance(event, Event) and not _is_gone(event)]
    now, arrivals = 0, []
    for number, event in enumerate([*stayed, *_drum()]):
        now = event.timestamp if event.device_id == DRUM else max(now, event.timestamp)
        arrivals.append((now + (HELD_BACK_MS if number % HELD_BACK == 0 else 0), number, event))
    crowd = [_guest(item.event) for item in items(HALL, QUIET_S) if isinstance(item.event, Event)]
    return tuple([event for *_, event in sorted(arrivals)] + crowd)


def _is_gone(event: Event) -> bool:
    return event.device_id.endswith("7") and event.timestamp > START + GONE_S * 1000


def _drum() -> list[Event]:
    """It breathes, and very fast."""
    one = next(event for event in (item.event for item in items(LIVELY, 60)) if isinstance(event, Event))
    return [
        msgspec.structs.replace(
            one, id=str(UUID(int=number)), type=BREATH, data=Breath(phase=0.0), timestamp=START + number * DRUM_MS,
            device_id=DRUM, key=DRUM, room_id=None, target=None, seq=number, epoch=0,
        )
        for number in range(DRUM_S * 1000 // DRUM_MS)
    ]  # fmt: skip


def _guest(event: Event) -> Event:
    """The event as somebody's else, and in the hall."""
    target = None if event.target is None else f"guest-{event.target}"
    return msgspec.structs.replace(
        event, device_id=f"guest-{event.device_id}", target=target, room_id="hall", key="hall"
    )


def reading(rules: Rules) -> Row:
    """What the field reads under ``rules`` after the fixed fleet's last event."""
    folds = fold_all(fleet(), PARTITIONS, SHARDS, rules)
    values = [value for fold in folds for value in fold.checkpoint("1-00000000", full=True).shard_values]
    field = merge([load_view(value, rules) for value in values], AT, rules)
    return Row(
        field.global_resonance,
        field.active_nodes,
        field.collective_intelligence,
        len(field.rooms),
        field.entanglements_established,
        len(field.particles),
        len(field.quantum_fields),
        sum(fold.counts["accepted"] for fold in folds),
    )


def changed(name: str, factor: float) -> Rules:
    """The default rules with one constant multiplied; whole numbers stay whole, and within their bounds."""
    value = getattr(DEFAULT_RULES, name)
    least = next(item.metadata["minimum"] for item in dataclasses.fields(Rules) if item.name == name)
    new: Any = value * factor if isinstance(value, float) else max(least, int(value * factor))
    return dataclasses.replace(DEFAULT_RULES, **{name: new})


def row(name: str, factor: float) -> str:
    """One line of the table."""
    if (name, factor) in IMPOSSIBLE:
        return f"| `{name}` x {factor:g} | {IMPOSSIBLE[name, factor]} | | | | | | | |"
    rules = changed(name, factor)
    return _line(f"`{name}` = {getattr(rules, name)}", reading(rules))


def table(names: Sequence[str]) -> str:
    """The table in Markdown: the defaults first, then each constant halved and doubled."""
    lines = [
        "| constant | resonance | active | intelligence | open rooms | pairs | particles | quantum fields | accepted |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        _line("defaults", reading(DEFAULT_RULES)),
    ]
    for name in names:
        lines += [row(name, 0.5), row(name, 2)]
    return "\n".join(lines) + "\n"


def document() -> str:
    """The whole of ``deploy/SETTINGS.md``."""
    about = (
        f"What the field reads when one constant is halved and doubled: the simulated fleet of {LIVELY.devices} "
        f"devices after {LIVELY_S // 60} lively minutes ({LIVELY.rate:g} events a second, seed {LIVELY.seed}) and "
        f"{QUIET_S / 60:g} quiet ones ({QUIET.rate:g} a second, seed {QUIET.seed}) beside a crowded hall "
        f"({HALL.devices} devices in one room, {HALL.rate:g} a second, seed {HALL.seed}); every tenth device falls "
        f"silent {GONE_S} s after the start; a drum breathes every {DRUM_MS} ms for {DRUM_S} s; every {HELD_BACK}th "
        f"event comes {HELD_BACK_MS // 1000} s late. Every constant shows in some column. "
        "Made by `python -m deploy.sensitivity`."
    )
    names = [item.name for item in dataclasses.fields(Rules)]
    head = "# Settings\n\nEnvironment variables. This page is made from the code: `python -m deploy.sensitivity`.\n\n"
    return head + page() + f"\n## Sensitivity\n\n{about}\n\n{table(names)}"


def _line(name: str, found: Row) -> str:
    return (
        f"| {name} | {found.global_resonance:.6f} | {found.active_nodes} | {found.collective_intelligence:.4f} "
        f"| {found.rooms} | {found.pairs} | {found.particles} | {found.quantum_fields} | {found.accepted} |"
    )


if __name__ == "__main__":
    PAGE.write_text(document())
