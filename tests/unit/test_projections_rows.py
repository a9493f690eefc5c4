"""Changes of one partition as rows: the last counts, a late writer wins nothing, a full picture replaces."""

from __future__ import annotations

from typing import Any

import msgspec

from projections.rows import Statements, state_rows
from streams.changes import Changes, PairRow, SessionRow


def session(room: str, opened: int, **values: Any) -> SessionRow:
    plain = {"last": opened, "final": False, "present": 1, "seated": 1, "devices": 1, "blooms": 0, "phrases": 0}
    return SessionRow(room, opened, participants=[("ana", opened, True)], **(plain | values))


def pair(low: str, high: str, last: int) -> PairRow:
    return PairRow("hall", low, high, None, False, last=last)


def change(position: int, *, shard: int = 0, full: bool = False, **rows: Any) -> Changes:
    empty: dict[str, Any] = {"sessions": [], "pairs": [], "removed_sessions": [], "removed_pairs": []}
    return Changes(0, shard, position, "1-a", 1, "1-x", full, **(empty | rows))


def keys(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row.get("room_id") or f"{row['low']}-{row['high']}", row["position"]) for row in rows]


def shape(statements: Statements) -> dict[str, list[tuple[Any, ...]]]:
    names = ("sessions_upsert", "pairs_upsert", "sessions_remove", "pairs_remove")
    return {name: keys(getattr(statements, name)) for name in names if getattr(statements, name)}


def test_the_last_of_several_changes_counts() -> None:
    found = state_rows(
        [
            change(5, pairs=[pair("ana", "bea", 1)], sessions=[session("hall", 10)]),
            change(9, pairs=[pair("ana", "bea", 2)], removed_sessions=[("hall", 10)]),
        ],
        {},
    )
    assert shape(found) == {"pairs_upsert": [("ana-bea", 9)], "sessions_remove": [("hall", 9)]}
    assert found.pairs_upsert[0]["last"] == 2
    assert [(row["shard"], row["position"]) for row in found.shards_store] == [(0, 9)]


def test_a_removed_row_may_come_back() -> None:
    found = state_rows(
        [change(5, removed_pairs=[("hall", "ana", "bea")]), change(6, pairs=[pair("ana", "bea", 2)])], {}
    )
    assert shape(found) == {"pairs_upsert": [("ana-bea", 6)]}


def test_a_late_writer_wins_nothing() -> None:
    late = change(3, pairs=[pair("ana", "bea", 1)])
    assert shape(state_rows([late], {0: (4, 1)})) == {}
    assert shape(state_rows([change(7), late], {})) == {}
    assert shape(state_rows([late], {0: (3, 1)})) == {"pairs_upsert": [("ana-bea", 3)]}
    assert shape(state_rows([late], {1: (99, 9)})) == {"pairs_upsert": [("ana-bea", 3)]}


def test_a_writer_of_an_earlier_generation_is_heard_only_with_all_its_rows() -> None:
    """What it shows beyond the end of the log that its successor saw, nobody would take back."""
    late = change(5, pairs=[pair("ana", "bea", 1)])
    assert shape(state_rows([late], {0: (3, 2)})) == {}
    whole = msgspec.structs.replace(late, full=True)
    assert shape(state_rows([whole], {0: (3, 2)})) == {"pairs_upsert": [("ana-bea", 5)]}


def test_a_full_picture_replaces_its_shard_but_not_final_sessions() -> None:
    found = state_rows(
        [
            change(5, pairs=[pair("ana", "bea", 1)], sessions=[session("old", 1, final=True), session("hall", 10)]),
            change(5, shard=1, pairs=[pair("cyd", "dan", 1)]),
            change(6, full=True, pairs=[pair("bea", "cyd", 1)]),
        ],
        {},
    )
    assert shape(found) == {
        "sessions_upsert": [("old", 5)],
        "pairs_upsert": [("cyd-dan", 5), ("bea-cyd", 6)],
    }
    assert found.pairs_sweep == [{"partition": 0, "shard": 0, "position": 6}]
