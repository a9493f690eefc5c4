"""The file: offsets, times, transactions, and errors in clear words."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from streams.embedded import log, store
from streams.embedded.history import SqliteHistory
from streams.embedded.publisher import SqlitePublisher
from streams.embedded.store import Store, file_of
from streams.errors import FieldError, HistoryError, PartUnavailable, SettingError, StoreError
from streams.packing import Record
from streams.settings import Settings
from tests.worlds import say


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(home=str(tmp_path), partitions=2, synchronous="normal")
    Store(found, create=True).close()
    return found


def record(partition: int, text: bytes) -> Record:
    return Record(partition, b"k", text, (("a", b"1"),), 1)


def append(settings: Settings, *records: Record) -> None:
    with Store(settings) as opened, opened.writing() as db:
        log.append(db, records)


def test_many_writers_leave_no_gap_and_nothing_twice(settings: Settings) -> None:
    def write(writer: int) -> None:
        for n in range(40):
            append(settings, record(0, b"%d/%d" % (writer, n)), record(1, b"%d/%d" % (writer, n)))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(settings) as opened:
        assert log.bounds(opened) == {0: (0, 160), 1: (0, 160)}
        found = log.read(opened, 1, 0, 1_000, 1_000)
    assert [stored.offset for stored in found] == list(range(160))
    for writer in range(4):
        mine = [stored.value for stored in found if (stored.value or b"").startswith(b"%d/" % writer)]
        assert mine == [b"%d/%d" % (writer, n) for n in range(40)]
    assert (found[0].key, found[0].headers) == (b"k", [("a", b"1")])


def test_received_never_goes_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (5_000, 3_000, 6_000):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now * 1_000_000)
        append(settings, record(0, b"x"))
    append(settings, record(1, b"x"))
    with Store(settings) as opened:
        assert [stored.timestamp for stored in log.read(opened, 0, 0, 9, 9)] == [5_000, 5_000, 6_000]


def test_a_reader_holds_a_bounded_piece(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "CHUNK_BYTES", 1_000)
    append(settings, *[record(0, b"x" * 300) for _ in range(20)])
    with Store(settings) as opened:
        assert len(log.read(opened, 0, 0, 20, 100)) == 4
        assert [stored.offset for stored in log.read(opened, 0, 17, 20, 100)] == [17, 18, 19]
        assert len(log.read(opened, 0, 0, 20, 2)) == 2


async def test_a_full_disk_is_said_and_nothing_of_it_is_stored(settings: Settings) -> None:
    publisher = SqlitePublisher(settings)
    await publisher.__aenter__()
    try:
        await publisher.publish(say("ana", "BLOOM", 1, room="hall"))
        assert await publisher.flush() == 1
        assert publisher._store is not None
        (pages,) = publisher._store.db.execute("PRAGMA page_count").fetchone()
        publisher._store.db.execute(f"PRAGMA max_page_count = {pages + 2}")
        for n in range(500):
            await publisher.publish(say("ana", "BLOOM", n, room="hall"))
        with pytest.raises(StoreError, match="no room left"):
            await publisher.flush()
        assert publisher.acknowledged == 1
        publisher._store.db.execute("PRAGMA max_page_count = 1000000")
        await publisher.publish(say("ana", "BLOOM", 2, room="hall"))
        assert await publisher.flush() == 2
    finally:
        await publisher.__aexit__(None, None, None)
    with Store(settings) as opened:
        assert sum(end for _, end in log.bounds(opened).values()) == 2


def damage(path: Path) -> None:
    for tail in ("-wal", "-shm"):
        path.with_name(path.name + tail).unlink(missing_ok=True)
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 40_000)


def other_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()


def later_format(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (damage, StoreError, "is damaged"),
        (lambda path: path.write_bytes(b"no database at all" * 100), StoreError, "is damaged"),
        (other_program, StoreError, "is no log of the field"),
        (later_format, StoreError, "has format 99"),
        (lambda path: path.unlink(), PartUnavailable, "field run --embedded"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(
    settings: Settings, spoil: Callable[[Path], None], kind: type[FieldError], words: str
) -> None:
    spoil(file_of(settings))
    with pytest.raises(kind, match=words) as caught, Store(settings) as opened:
        log.bounds(opened)
    assert str(file_of(settings)) in str(caught.value)


def test_somebody_elses_database_is_left_alone(settings: Settings) -> None:
    other_program(file_of(settings))
    with pytest.raises(StoreError, match="is no log of the field"):
        Store(settings, create=True)
    with sqlite3.connect(file_of(settings)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    db.close()


def test_the_number_of_partitions_is_for_life(settings: Settings) -> None:
    with pytest.raises(SettingError, match="FIELD_PARTITIONS=2"):
        Store(replace(settings, partitions=3), create=True)


def test_a_log_that_stays_locked_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.05)
    with Store(settings) as first, first.writing():
        with pytest.raises(PartUnavailable, match="locked"):
            append(settings, record(0, b"x"))
        with Store(settings) as reader:
            assert log.bounds(reader)[0] == (0, 0), "readers never wait"


def test_what_fails_in_a_transaction_undoes_all_of_it(settings: Settings) -> None:
    with Store(settings) as opened:
        with pytest.raises(KeyError), opened.writing() as db:
            log.append(db, [record(0, b"x"), record(99, b"there is no such partition")])
        assert log.bounds(opened)[0] == (0, 0)
        with opened.writing() as db:
            log.append(db, [record(0, b"x")])
        assert log.bounds(opened)[0] == (0, 1)


async def test_history_is_the_log_and_names_what_is_gone(settings: Settings) -> None:
    events = [say("ana", "BLOOM", n, room="hall") for n in range(30)]
    async with SqlitePublisher(replace(settings, poll_records=7)) as publisher:
        for event in events:
            await publisher.publish(event)
    async with SqliteHistory(replace(settings, poll_records=7)) as history:
        (partition,) = [number for number, (_, end) in (await history.bounds()).items() if end == 30]

        async def read(start: int, end: int) -> list[int]:
            return [entry.offset async for piece in history.entries(partition, start, end) for entry in piece]

        found = [entry async for piece in history.entries(partition, 0, 30) for entry in piece]
        assert [event for entry in found for event in entry.events] == events
        assert await read(5, 20) == list(range(5, 20))
        assert await read(20, 99) == list(range(20, 30))
        assert await read(7, 7) == []
        with Store(settings) as opened, opened.writing() as db:
            db.execute('DELETE FROM records WHERE "offset" < 4')
        assert (await history.bounds())[partition] == (4, 30)
        with pytest.raises(HistoryError, match=r"records 2\.\.3"):
            await read(2, 9)
        assert await read(4, 6) == [4, 5]
