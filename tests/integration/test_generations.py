"""Which generation readers and publishers take: on a real PostgreSQL, and while it is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from deploy import context, generations
from deploy.local import loopback
from deploy.replay import switching
from deploy.replay.compare import Verdict
from projections.generations import enter
from projections.migrate import migrate
from projections.queries import query
from streams.errors import InputError, PartUnavailable
from streams.settings import Settings


@pytest.fixture
def live(make_settings: Callable[..., Settings]) -> Settings:
    settings = make_settings()
    Path(settings.home).mkdir(parents=True)
    migrate(settings.database_url)
    enter(settings)
    return settings


def beside(live: Settings, name: str, **over: object) -> Settings:
    """Another generation that follows the log, equal to the live one as far as anybody compared."""
    other = replace(live, generation=name, **over)
    enter(other)
    verdict = Verdict(live.generation, name, {}, {}, True, {}, {}, [])
    switching.store(live, name, verdict)
    return other


def moved(live: Settings, before: str, after: str, statement: str = "generation_switch") -> int:
    with psycopg.connect(live.database_url) as connection:
        return connection.execute(query(statement), {"from": before, "to": after}).rowcount


def test_the_first_one_is_seen_and_others_only_after_a_switch(live: Settings) -> None:
    beside(live, "wide", events_topic="other.events", partitions=16)
    assert generations.followed(live).generation == live.generation
    assert moved(live, live.generation, "wide") == 1
    followed = generations.followed(live)
    assert (followed.generation, followed.events_topic, followed.partitions) == ("wide", "other.events", 16)
    assert generations.followed(live, live.generation).partitions == live.partitions


def test_while_postgres_is_away_it_is_the_one_seen_last(live: Settings) -> None:
    away = replace(live, database_url=f"postgresql://field:field@127.0.0.1:{loopback.free()}/field")
    assert generations.followed(away) == away, "nothing was seen yet"
    beside(live, "wide", events_topic="other.events", partitions=16)
    moved(live, live.generation, "wide")
    generations.followed(live)
    assert generations.followed(away).events_topic == "other.events"
    context.forget(Path(live.home))
    assert generations.followed(away) == away


def test_of_two_switches_at_once_one_wins(live: Settings) -> None:
    beside(live, "one")
    beside(live, "two")
    start, won = threading.Barrier(2), []

    def switch(name: str) -> None:
        start.wait()
        won.append(moved(live, live.generation, name))

    threads = [threading.Thread(target=switch, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [0, 1]


def test_nobody_switches_or_goes_back_to_what_is_being_dropped(live: Settings) -> None:
    beside(live, "next")
    generations.stage(live, "next", "dropping")
    assert moved(live, live.generation, "next") == 0
    generations.stage(live, "next", "following")
    assert moved(live, live.generation, "next") == 1
    generations.stage(live, live.generation, "dropping")
    with pytest.raises(InputError, match="somebody has switched or dropped"):
        switching.undo(live)
    assert generations.current(live).name == "next"


def test_what_readers_see_is_never_dropping(live: Settings) -> None:
    with pytest.raises(InputError, match="readers see"):
        generations.stage(live, live.generation, "dropping")


def test_an_undo_is_once(live: Settings) -> None:
    beside(live, "next")
    moved(live, live.generation, "next")
    before, now = switching.undo(live)
    assert (before.name, now.name) == ("next", live.generation)
    with pytest.raises(InputError, match="nothing was switched"):
        switching.undo(live)


def test_what_is_gone_keeps_no_verdict_and_no_stage(live: Settings) -> None:
    beside(live, "next")
    generations.remove(live, "next")
    with pytest.raises(InputError, match="dropped meanwhile"):
        generations.stage(live, "next", "following")
    with pytest.raises(InputError, match="dropped meanwhile"):
        switching.store(live, "next", Verdict(live.generation, "next", {}, {}, True, {}, {}, []))


ROWS = {
    "consciousness_states_all": "(node_id, state, resonance, active_nodes, position, generation)"
    " VALUES ('0', '{}', 0.5, 0, '{}', %s)",
    "room64_sessions_all": "(room_id, opened, last, final, present, seated, devices, blooms, phrases, participants,"
    " partition, shard, position, generation) VALUES ('hall', now(), now(), true, 0, 0, 0, 0, 0, '[]', 0, 0, 0, %s)",
    "entanglements_all": "(routing_key, low, high, explicit, partition, shard, position, generation)"
    " VALUES ('hall', 'ana', 'bo', false, 0, 0, 0, %s)",
    "shard_positions_all": "(partition, shard, position, writer, generation) VALUES (0, 0, 0, '1-a', %s)",
    "resonance_samples_all": "(timestamp, node_id, resonance, active_nodes, position, generation)"
    " VALUES (now(), '0', 0.5, 0, '{}', %s)",
    "projection_positions": "(projection, partition, log_offset, input_position, generation)"
    " VALUES ('state', 0, 0, 0, %s)",
}
"""A row of every table that has a generation."""


def test_dropped_is_every_row_of_it_and_no_row_of_another(live: Settings) -> None:
    beside(live, "next")
    with psycopg.connect(live.database_url) as connection:
        having = connection.execute(
            "SELECT DISTINCT table_name FROM information_schema.columns JOIN information_schema.tables"
            " USING (table_name)"
            " WHERE column_name = 'generation' AND table_type = 'BASE TABLE' AND tables.table_schema = 'public'"
        ).fetchall()
        assert {name for (name,) in having} == set(ROWS)
        for table, values in ROWS.items():
            for name in (live.generation, "next"):
                connection.execute(f"INSERT INTO {table} {values}".encode(), (name,))
    generations.remove(live, "next")
    with psycopg.connect(live.database_url) as connection:
        for table in ROWS:
            left = connection.execute(f"SELECT generation FROM {table}".encode()).fetchall()
            assert left == [(live.generation,)], table
    assert [one.name for one in generations.known(live)] == [live.generation]


@pytest.mark.parametrize("verdict", [None, "another", "differs", "stores"])
def test_a_switch_is_refused_without_an_equal_comparison(live: Settings, verdict: str | None) -> None:
    enter(replace(live, generation="next"))
    if verdict is not None:
        found = Verdict(
            "third" if verdict == "another" else live.generation, "next", {}, {}, verdict != "differs", {},
            {"rooms": int(verdict == "differs")}, [], ["entanglements"] if verdict == "stores" else [],
        )  # fmt: skip
        switching.store(live, "next", found)
    said = {
        None: "not compared",
        "another": "not compared",
        "differs": "in 1 rows",
        "stores": "rows of the state, entanglements",
    }
    with pytest.raises(switching.NotEqual, match=said[verdict]):
        switching.switch(live, "next", None)


def test_a_switch_is_refused_while_its_rows_are_behind(live: Settings) -> None:
    beside(live, "next")
    with pytest.raises(InputError, match=r"state.*behind"):
        switching.switch(live, "next", None)


def test_only_the_report_of_the_last_comparison_is_accepted(live: Settings, tmp_path: Path) -> None:
    enter(replace(live, generation="next"))
    older = Verdict(live.generation, "next", {}, {"next": {0: 5}}, False, {}, {"rooms": 1}, [])
    report = switching.store(live, "next", older)
    kept = tmp_path / "older.json"
    kept.write_bytes(report.read_bytes())
    switching.store(live, "next", Verdict(live.generation, "next", {}, {"next": {0: 9}}, False, {}, {"rooms": 1}, []))
    with pytest.raises(InputError, match="not the report of the last comparison"):
        switching.switch(live, "next", kept)
    with pytest.raises(InputError, match="behind"):  # accepted; what comes next is the check of its rows
        switching.switch(live, "next", report)


def test_stores_that_differ_on_purpose_are_accepted_with_the_report_that_names_them(live: Settings) -> None:
    enter(replace(live, generation="next"))
    verdict = Verdict(live.generation, "next", {}, {}, True, {}, {"rooms": 0}, [])
    report = switching.store(live, "next", verdict)
    verdict.stores = ["sessions that ended"]
    without = report.read_bytes()
    switching.store(live, "next", verdict)
    with pytest.raises(InputError, match="behind"):  # accepted; what comes next is the check of its rows
        switching.switch(live, "next", report)
    report.write_bytes(without)
    with pytest.raises(InputError, match="not the report of the last comparison"):
        switching.switch(live, "next", report)


def test_without_a_schema_it_says_so(postgres: str) -> None:
    with pytest.raises(PartUnavailable, match="no schema"):
        generations.known(Settings(database_url=postgres))
