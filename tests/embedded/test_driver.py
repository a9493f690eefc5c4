"""The driver: one transaction a checkpoint, copies as the worker makes them, a state that is folded anew by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from streams import wire
from streams.embedded import intake, log, state
from streams.embedded.driver import Driver
from streams.embedded.store import Store, file_of
from streams.errors import FloodError, StoreError
from streams.events import Event
from streams.fold.digest import digest
from streams.fold.rules import Rules
from streams.packing import Record
from streams.settings import Settings
from streams.table import partition_of
from tests.conformance import log as suite
from tests.conformance.backends import embedded_log, fold_all
from tests.worlds import say


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path), partitions=2, shards=4, synchronous="normal")


def append(settings: Settings, *records: tuple[int, bytes]) -> None:
    with Store(settings, create=True) as store, store.writing() as db:
        log.append(db, [Record(partition, None, value, (), 1) for partition, value in records])


def single(event: Event, away: int = 0) -> tuple[int, bytes]:
    return (partition_of(event.key, 2) + away) % 2, wire.encode_event(event)


def fold(settings: Settings) -> list[str]:
    """All there is; what was said, but for the line that always comes first."""
    said: list[str] = []
    with Driver(settings, said.append) as driver:
        fold_all(driver)
    assert said[0].startswith("the fold: ")
    return said[1:]


def kept(settings: Settings) -> tuple[dict[str, str], state.Counts, dict[int, int], Sequence[state.Letter]]:
    with Store(settings) as store:
        picture = state.picture(store)
        return (
            digest(picture.values.values(), settings.rules), state.counts(store), picture.positions,
            state.letters(store, 10_000),
        )  # fmt: skip


def busy(settings: Settings) -> None:
    """The log of the conformance suite."""
    with Store(settings, create=True) as store, store.writing() as db:
        found = [Record(sent.partition, None, sent.value or b"", sent.headers, 1) for sent in suite.records(2)]
        log.append(db, found)


async def test_copies_are_those_of_the_worker(settings: Settings) -> None:
    event, out = say("device-1", "BLOOM", 1, room="hall", seq=1), say("ana", "OPT_OUT", 2)
    right = partition_of(event.key, 2)
    append(settings, single(event, away=1), (right, wire.encode_event(out)))
    fold(settings)
    with Store(settings) as store:
        original = log.read(store, 1 - right, 0, 1, 1)[0]
        (copy,) = log.read(store, right, 1, 9, 9)
        (spread,) = log.read(store, 1 - right, 1, 9, 9)
    assert dict(copy.headers) == {
        "source": f"field.events/{1 - right}/0/0".encode(), "received": b"%d" % original.timestamp,
    }  # fmt: skip
    assert (copy.key, copy.value) == (b"hall", wire.encode_event(event))
    assert dict(spread.headers)["source"] == f"field.events/{right}/0/0".encode()
    digests, counts, _, _ = kept(settings)
    assert digests == await embedded_log(settings)
    assert counts.events == {"events": 4, "accepted": 3, "duplicate": 0, "late": 0, "copied": 2}


@pytest.mark.parametrize("failing", ["append", "add_letters", "add_counts"])
async def test_a_checkpoint_is_kept_whole_or_not_at_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    busy(settings)
    module = log if failing == "append" else state

    def fail(*_: object) -> None:
        raise RuntimeError("cut off")

    with Store(settings) as store:
        ends = log.bounds(store)
    with monkeypatch.context() as patched, Driver(settings) as driver:
        patched.setattr(module, failing, fail)
        driver.step()
        with pytest.raises(RuntimeError):
            driver.checkpoint()
    with Store(settings) as store:
        assert log.bounds(store) == ends, "no copy of what was not kept"
        assert state.picture(store) == ({}, {})
        assert state.counts(store) == ({}, {})
    fold(settings)
    digests, counts, _, letters = kept(settings)
    assert digests == await embedded_log(settings)
    with Store(settings) as store:
        copies = sum(end for _, end in log.bounds(store).values()) - sum(end for _, end in ends.values())
    assert counts.events["copied"] == copies > 50
    assert sum(counts.rejected.values()) == len(letters) > 50


async def test_a_checkpoint_onto_a_full_disk_is_said_and_made_again_by_the_next_one(settings: Settings) -> None:
    busy(settings)
    with Driver(settings) as driver:
        driver.step()
        (pages,) = driver._store.db.execute("PRAGMA page_count").fetchone()
        driver._store.db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="no room left"):
            driver.checkpoint()
    with Store(settings) as store:
        assert state.positions(store) == {}
    fold(settings)
    assert kept(settings)[0] == await embedded_log(settings)


@pytest.mark.parametrize("change", [{"rules": Rules(seats=2)}, {"shards": 7}])
async def test_another_fold_is_folded_anew_and_delivers_nothing_twice(
    settings: Settings, change: dict[str, object]
) -> None:
    busy(settings)
    assert fold(settings) == []
    with Store(settings) as store:
        ends = log.bounds(store)
    _, counts, positions, letters = kept(settings)
    other = replace(settings, **change)
    (line,) = fold(other)
    assert "folded anew from the log" in line
    assert fold(other) == []
    digests, again, at, same = kept(other)
    assert digests == await embedded_log(other)
    assert (again.rejected, at, list(same)) == (counts.rejected, positions, list(letters))
    assert again.events["events"] == counts.events["events"]
    assert again.events["copied"] == counts.events["copied"]
    with Store(settings) as store:
        assert log.bounds(store) == ends, "what was copied before is not copied again"


def test_a_rebuild_that_is_cut_off_goes_on_and_copies_what_was_not_copied(settings: Settings) -> None:
    busy(settings)
    fold(settings)
    other = replace(settings, shards=7, poll_records=50)
    with Driver(other, lambda line: None) as driver:
        driver.step()
        driver.checkpoint()
    late = say("device-9", "BLOOM", 100_000, room="late", seq=1)
    append(settings, single(late, away=1))
    fold(other)
    with Store(other) as store:
        (home,) = [partition_of(late.key, 2)]
        last = log.read(store, home, log.bounds(store)[home][1] - 1, 10**9, 9)
    assert [dict(record.headers)["source"][:14] for record in last] == [f"field.events/{1 - home}".encode()]


def test_one_process_folds_a_log(settings: Settings) -> None:
    with Driver(settings), pytest.raises(StoreError, match="folds the log of"):
        Driver(settings)
    with Driver(settings):
        pass


def test_a_flood_stops_it_before_it_goes_on_and_says_where_to_look(settings: Settings) -> None:
    settings = replace(settings, flood_window=20)
    good = say("device-1", "BLOOM", 1, room="hall", seq=1)
    append(settings, single(good), *[(0, b"?")] * 40)
    for _ in range(2):
        with Driver(settings) as driver, pytest.raises(FloodError, match="FIELD_FLOOD_SHARE") as caught:
            driver.step()
        assert str(file_of(settings)) in str(caught.value)
        _, counts, positions, letters = kept(settings)
        assert positions == {}
        assert 10 <= len(letters) <= 20, "the same letters again"
    fold(replace(settings, flood_share=2.0))
    _, counts, positions, letters = kept(settings)
    assert counts.rejected == {"malformed_json": 40}
    assert {letter.key.rpartition("/")[0].rpartition("/")[0] for letter in letters} == {"field.events/0"}
    assert dict(letters[0].headers)["reason"] == b"malformed_json"


def test_what_waits_for_a_checkpoint_is_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "WAITING_MAX", 10)
    settings = replace(settings, flood_share=2.0, checkpoint_events=10**6)
    append(settings, *[(0, b"?")] * 95)
    most = 0

    class Watched(Driver):
        def checkpoint(self) -> bool:
            nonlocal most
            most = max(most, len(self._intake.letters))
            return super().checkpoint()

    with Watched(settings) as driver:
        driver.step()
        assert len(driver._intake.letters) == 5
    assert most == 10


def test_it_checkpoints_after_so_many_events(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [say("device-1", "BREATH", n * 0.1, room="hall", seq=n) for n in range(50)]
    append(settings, *map(single, events))
    with Driver(replace(settings, checkpoint_events=20)) as driver:
        driver.step()
    _, counts, _, _ = kept(settings)
    assert counts.events["accepted"] == 40
