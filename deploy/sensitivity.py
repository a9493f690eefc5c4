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

from streams.changes import load_view, merge
from streams.events import Event
from streams.fold.partition import PartitionFold
from streams.fold.rules import DEFAULT_RULES, Rules
from streams.settings import page
from streams.simulate import Fleet, items
from streams.table import parse_key, partition_of

PAGE: Final = Path(__file__).with_name("SETTINGS.md")
START: Final = 1_700_000_000_000
LIVELY: Final = Fleet(devices=150, rate=40.0, seed=64, start=START, late=0.01, duplicates=0.01)
LIVELY_S: Final = 600
"""Ten minutes: as long as the longest memory of the fold."""
QUIET: Final = Fleet(devices=150, rate=1.0, seed=65, start=START + LIVELY_S * 1000, late=0.01)
QUIET_S: Final = 270
"""Then most people are heard no more than once or twice: what fades and falls silent begins to show."""
AT: Final = START + (LIVELY_S + QUIET_S) * 1000
IMPOSSIBLE: Final[dict[tuple[str, float], str]] = {
    ("sequence_window", 2): "not possible: the numbers of a window are the bits of one word"
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
    accepted: int


@cache
def fleet() -> tuple[Event, ...]:
    """The fixed fleet: lively, then quiet."""
    found = chain(items(LIVELY, LIVELY_S), items(QUIET, QUIET_S))
    return tuple(item.event for item in found if isinstance(item.event, Event))


def reading(rules: Rules) -> Row:
    """What the field reads under ``rules`` after the fixed fleet's last event."""
    folds = [PartitionFold(partition, SHARDS, rules) for partition in range(PARTITIONS)]
    for offset, event in enumerate(fleet()):
        folds[partition_of(event.key, PARTITIONS)].fold(offset, [event])
    views = []
    for fold in folds:
        for key, value in fold.checkpoint("1-00000000", full=True).records:
            if parse_key(key)[1] is not None:
                views.append(load_view(value, rules))
    field = merge(views, AT, rules)
    return Row(
        field.global_resonance,
        field.active_nodes,
        field.collective_intelligence,
        len(field.rooms),
        field.entanglements_established,
        len(field.particles),
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
        return f"| `{name}` x {factor:g} | {IMPOSSIBLE[name, factor]} | | | | | | |"
    rules = changed(name, factor)
    return _line(f"`{name}` = {getattr(rules, name)}", reading(rules))


def table(names: Sequence[str]) -> str:
    """The table in Markdown: the defaults first, then each constant halved and doubled."""
    lines = [
        "| constant | resonance | active nodes | intelligence | open rooms | pairs | particles | accepted |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
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
        f"{QUIET_S / 60:g} quiet ones ({QUIET.rate:g} a second, seed {QUIET.seed}). "
        "A row equal to the defaults says that this fleet does not reach the bound. "
        "Made by `python -m deploy.sensitivity`."
    )
    names = [item.name for item in dataclasses.fields(Rules)]
    head = "# Settings\n\nEnvironment variables. This page is made from the code: `python -m deploy.sensitivity`.\n\n"
    return head + page() + f"\n## Sensitivity\n\n{about}\n\n{table(names)}"


def _line(name: str, found: Row) -> str:
    return (
        f"| {name} | {found.global_resonance:.4f} | {found.active_nodes} | {found.collective_intelligence:.4f} "
        f"| {found.rooms} | {found.pairs} | {found.particles} | {found.accepted} |"
    )


if __name__ == "__main__":
    PAGE.write_text(document())
