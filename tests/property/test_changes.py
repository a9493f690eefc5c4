"""What a fold says has changed: a reader who applies the changes in order has the rows of the definition."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams import changes
from streams.fold.rules import Rules
from tests.oracle import Constants, Oracle
from tests.oracle.state import present
from tests.property.adapter import Field, differences
from tests.property.profile import law
from tests.property.strategies import World, split, worlds


class Reader:
    """Rows kept by the rules of ``streams.changes``: absolute values, lower positions ignored."""

    def __init__(self) -> None:
        self.sessions: dict[Any, tuple[int, int, Any]] = {}
        """(room, opened) -> (position, shard, row)"""
        self.pairs: dict[Any, tuple[int, int, Any]] = {}

    def apply(self, change: changes.Changes) -> None:
        sessions = {(row.room_id, row.opened): row for row in change.sessions}
        pairs = {(row.routing_key, row.low, row.high): row for row in change.pairs}
        gone_sessions, gone_pairs = set(map(tuple, change.removed_sessions)), set(map(tuple, change.removed_pairs))
        if change.full:
            gone_sessions |= {k for k, (_, s, row) in self.sessions.items() if s == change.shard and not row.final}
            gone_pairs |= {k for k, (_, s, _row) in self.pairs.items() if s == change.shard}
        for known, gone, new in ((self.sessions, gone_sessions, sessions), (self.pairs, gone_pairs, pairs)):
            for key in gone - new.keys():
                if key in known and known[key][0] <= change.position:
                    del known[key]
            for key, row in new.items():
                if key not in known or known[key][0] <= change.position:
                    known[key] = (change.position, change.shard, row)


def changes_of(field: Field, *, full: bool = False) -> list[changes.Changes]:
    """A checkpoint of the only partition: its changes; its records go to the changelog."""
    taken = field.folds[0].checkpoint("1-00000001", full=full)
    field.changelogs[0].extend(taken.records)
    decoded = [changes.decode(value) for _key, value in taken.changes]
    return [change for change in decoded if isinstance(change, changes.Changes)]


def wanted_sessions(oracle: Oracle) -> dict[Any, Any]:
    return {
        (name, session.opened): {
            "last": session.last,
            "present": len(here := present(session, session.last, oracle.log.constants)),
            "participants": [
                (device, session.present[device][0], seat < oracle.log.constants.seats)
                for seat, device in enumerate(here)
            ],
            "devices": len(session.heard),
            "blooms": sum(session.blooms.values()),
            "phrases": sum(session.phrases.values()),
        }
        for name, key in oracle.keys.items()
        for session in [*key.finished, *([key.session] if key.session else [])]
    }


def wanted_pairs(oracle: Oracle) -> dict[Any, Any]:
    return {
        (name, *names): {
            "established": pair.established,
            "explicit": pair.explicit is not None,
            "kind": pair.kind,
            "intensity": pair.intensity,
            "last": pair.last,
        }
        for name, key in oracle.keys.items()
        for names, pair in key.pairs.items()
        if pair.established is not None
    }


def against_definition(reader: Reader, oracle: Oracle) -> list[str]:
    sessions = {
        key: {name: getattr(row, name) for name in ("last", "present", "participants", "devices", "blooms", "phrases")}
        for key, (_, _, row) in reader.sessions.items()
    }
    pairs = {
        key: {name: getattr(row, name) for name in ("established", "explicit", "kind", "intensity", "last")}
        for key, (_, _, row) in reader.pairs.items()
        if row.established is not None
    }
    lines = differences(sessions, wanted_sessions(oracle), "sessions")
    return lines + differences(pairs, wanted_pairs(oracle), "pairs")


@law
@given(worlds(honest=True), st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_rows_follow_the_definition(world: World, between: list[int]) -> None:
    """Checkpoints, and crashes: with the records stored, with the records lost, with a checkpoint while catching up."""
    field, reader = Field(Rules(**world.rules)), Reader()

    def checkpoint(full: bool = False) -> None:
        for change in changes_of(field, full=full):
            reader.apply(change)

    for turn, events in enumerate(split(world.arrivals, [2])):
        field.publish(events)
        what = between[turn % len(between)]
        stored = len(field.changelogs[0])
        if what in (1, 2, 3, 4, 5):
            checkpoint()
        if what in (4, 5):  # the changes went out, the shards' records did not
            del field.changelogs[0][stored:]
        if what in (3, 4, 5):
            field.restart(pause=(lambda: checkpoint(full=True)) if what == 5 else None)
            checkpoint(full=True)
    checkpoint()
    assert not against_definition(reader, Oracle.of(world.arrivals, Constants(**world.rules)))
