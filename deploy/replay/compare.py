"""The proof of a replay: the states of two generations at one position, row by row.

Neither is stopped for it. Both are taken from their changelogs, and in memory each is folded on, by its own fold, to
the later of the two positions of every partition; where the two read topics of their own, to the end of both logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any, Final

import msgspec

from streams.archive.history import open_history
from streams.changelog import ChangelogFollower, Picture, kept_records
from streams.errors import FoldVersionError
from streams.fold.digest import digest_of, tables
from streams.fold.partition import PartitionFold, restore
from streams.fold.shard import record_position, record_version
from streams.settings import Settings
from streams.table import parse_key
from streams.topics import changelog_topic

KEY_COLUMNS: Final[Mapping[str, int]] = {
    "resonance": 2, "rooms": 1, "entanglements": 3, "particles": 4, "quantum_fields": 4, "sequences": 2, "opt_outs": 3,
}  # fmt: skip
"""How many columns at the front of a canonical row name it."""
SHOWN_MAX: Final = 1_000
"""Differences of one table in a report; all are counted."""

Rows = dict[str, list[list[Any]]]


class Difference(msgspec.Struct):
    """A row that is not the same: ``live`` or ``replayed`` is null where it is missing."""

    table: str
    key: list[Any]
    live: list[Any] | None
    replayed: list[Any] | None


class Verdict(msgspec.Struct):
    """``field replay verify``. Digests by table; ``differences`` are the first ones, ``counts`` all, by table.

    ``stores``: those of the replayed generation that differ from its fold or the log, where they were looked at.
    """

    live: str
    replayed: str
    fold_versions: dict[str, str]
    positions: dict[str, dict[int, int]]
    equal: bool
    digests: dict[str, dict[str, str]]
    counts: dict[str, int]
    differences: list[Difference]
    stores: list[str] = []


async def compare(live: Settings, replayed: Settings) -> Verdict:
    """Both at one position.

    Raises PartUnavailable, HistoryError, and FoldVersionError when a state would have to be folded on by a fold that
    this version has not: its position must be that of the other one then, as it is at the end of a replay.
    """
    ours = {}
    for settings in (replayed, live):  # the live one second: it is ahead then, and less is left to fold
        async with ChangelogFollower(settings) as follower:
            ours[settings.generation] = await follower.consistent()
    await _check_recoverable(replayed, ours[replayed.generation])
    goals = await _goals(live, replayed, ours)
    states, positions = {}, {}
    versions = {}
    for settings in (live, replayed):
        name = settings.generation
        versions[name] = _version(ours[name], settings)
        values, positions[name] = await forward(settings, ours[name], goals[name])
        states[name] = tables(values, settings.rules, any_version=True)
    return judge(versions, states, positions)


async def _check_recoverable(settings: Settings, picture: Picture) -> None:
    """What is compared must be what a worker recovers: tombstones hide records from it that a reader has seen."""
    for partition, position in picture.positions.items():
        found: dict[int, int] = {}
        for key, value in await kept_records(settings, partition):
            shard = parse_key(key)[1]
            if shard is not None:
                found[shard] = max(found.get(shard, -1), record_position(value))
        for (number, shard), value in picture.values.items():
            if number == partition and found.get(shard, -1) < record_position(value):
                raise FoldVersionError(
                    f"a worker would recover shard {shard} of {settings.generation} as of {found.get(shard, -1)}, its "
                    f"partition as of {position}: drop this generation, and replay into another one",
                    topic=changelog_topic(settings), partition=partition, offset=position,
                )  # fmt: skip


async def forward(settings: Settings, picture: Picture, goals: Mapping[int, int]) -> tuple[list[bytes], dict[int, int]]:
    """Shards' values of the state folded on from ``picture`` to the ``goals`` (last offset by partition), in memory."""
    values: list[bytes] = []
    reached: dict[int, int] = {}
    async with open_history(settings) as history:
        for partition in range(settings.partitions):
            kept = {shard: value for (number, shard), value in picture.values.items() if number == partition}
            at, goal = picture.positions.get(partition, -1), goals.get(partition, -1)
            reached[partition] = max(at, goal)
            if goal <= at:
                values += kept.values()
                continue
            fold = restore(partition, settings.shards, settings.rules, at, kept)
            async for entries in history.entries(partition, at + 1, goal + 1):
                for entry in entries:
                    fold.fold(entry.offset, entry.events)
            values += _values(fold, kept)
    return values, reached


def judge(versions: Mapping[str, str], states: Mapping[str, Rows], positions: Any) -> Verdict:
    """The verdict on the canonical rows of two generations, the live one first; ``versions`` of their folds."""
    live, replayed = states
    counts, shown = {}, []
    for table in states[live]:
        found = list(differences(table, states[live][table], states[replayed][table]))
        counts[table] = len(found)
        shown += found[:SHOWN_MAX]
    digests = {name: digest_of(rows) for name, rows in states.items()}
    equal = digests[live] == digests[replayed] and not any(counts.values())
    return Verdict(live, replayed, dict(versions), positions, equal, digests, counts, shown)


def differences(table: str, live: list[list[Any]], replayed: list[list[Any]]) -> Iterable[Difference]:
    """Rows that are missing, too many or unequal, by key."""
    columns = KEY_COLUMNS[table]
    mine, other = _by_key(live, columns), _by_key(replayed, columns)
    for name in sorted(mine.keys() | other.keys()):
        # a key may have several rows: empty places have nothing but their time and id
        here, there = (sorted(rows.get(name, []), key=_name) for rows in (mine, other))
        for one, another in zip_longest(here, there):
            if one is None or another is None or _name(one) != _name(another):
                yield Difference(table, (one or another or [])[:columns], one, another)


def _by_key(rows: list[list[Any]], columns: int) -> dict[bytes, list[list[Any]]]:
    out: dict[bytes, list[list[Any]]] = {}
    for row in rows:
        out.setdefault(_name(row[:columns]), []).append(row)
    return out


def _name(row: list[Any]) -> bytes:
    return msgspec.json.encode(row, order="deterministic")


def _version(picture: Picture, settings: Settings) -> str:
    """Of the fold that wrote the state, which may be another one than ours."""
    return next((record_version(value) for value in picture.values.values()), settings.rules.version)


def _values(fold: PartitionFold, kept: Mapping[int, bytes]) -> list[bytes]:
    """Of all shards, those that did not move as they were."""
    moved = {}
    for key, value in fold.checkpoint("0-00000000").records:
        shard = parse_key(key)[1]
        if shard is not None:
            moved[shard] = value
    return list({**kept, **moved}.values())


async def _goals(live: Settings, replayed: Settings, ours: Mapping[str, Picture]) -> dict[str, dict[int, int]]:
    if live.events_topic == replayed.events_topic:
        both = [ours[settings.generation].positions for settings in (live, replayed)]
        goal = {number: max(at.get(number, -1) for at in both) for number in range(live.partitions)}
        return {settings.generation: goal for settings in (live, replayed)}
    goals = {}
    for settings in (live, replayed):
        async with open_history(settings) as history:
            goals[settings.generation] = {number: end - 1 for number, (_, end) in (await history.bounds()).items()}
    return goals
