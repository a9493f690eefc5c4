"""Changes of one partition as rows: the last counts, a late writer wins nothing, a full picture replaces."""

from __future__ import annotations

from typing import Any

import msgspec

from projections.rows import Statements, state_rows
from streams.changes import Changes, PairRow, SessionRow, encode, parts
from streams.topics import RECORD_BYTES_MAX


def session(room: str, opened: int, **values: Any) -> SessionRow:
    plain = {"last": opened, "final": False, "present": 1, "seated": 1, "devices": 1, "blooms": 0, "phrases": 0}
    return SessionRow(room, opened, **({"participants": [("ana", opened, True)]} | plain | values))


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


def test_what_is_not_in_a_picture_is_known_when_its_last_part_has_come() -> None:
    rows = [pair("ana", "bea", 1), pair("ana", "cyd", 1), pair("bea", "cyd", 1)]
    first, second = parts(change(6, full=True, pairs=rows), 2)
    assert (first.full, first.more, second.full, second.more) == (True, True, True, False)
    both = [("ana-bea", 6), ("ana-cyd", 6)]
    assert shape(state_rows([change(5, pairs=[pair("eve", "fay", 1)]), first], {})) == {"pairs_upsert": both}
    assert state_rows([first], {}).pairs_sweep == []
    assert shape(state_rows([first, second], {})) == {"pairs_upsert": [*both, ("bea-cyd", 6)]}
    assert state_rows([second], {0: (6, 1)}).pairs_sweep == [{"partition": 0, "shard": 0, "position": 6}]


def test_a_part_of_the_longest_rows_is_a_record_that_kafka_takes() -> None:
    long = "x" * 64
    bond = PairRow(long, long, long, 2**31, False, long, 1_000_000, 2**31)
    crowd = session(long, 2**41, participants=[(long, 2**41, False)] * 999)
    written = parts(change(2**50, full=True, pairs=[bond] * 50_000, sessions=[crowd] * 120))
    assert sum(len(part.pairs) for part in written) == 50_000
    assert sum(len(part.sessions) for part in written) == 120
    assert max(len(encode(part)) for part in written) < RECORD_BYTES_MAX - 1_024
    assert [part.more for part in written] == [True] * (len(written) - 1) + [False]
