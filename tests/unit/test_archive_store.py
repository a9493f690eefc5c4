"""The archive's folder: what a crash leaves behind, what is missing, and reading it joined to a log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.commands.archive import ends
from streams.archive import write
from streams.archive.history import ArchiveHistory, JoinedHistory, check
from streams.archive.marks import MARK, read_marks, write_marks
from streams.archive.publish import FRAME_BYTES_MAX, Frames, Item
from streams.archive.store import INDEX, Store
from streams.archive.verify import stores, verify
from streams.archive.write import Gap, archive, gaps
from streams.entry import Entry
from streams.errors import HistoryError, InputError
from streams.validate import LIMITS
from streams.wire import decode_frame
from tests.archives import read_all
from tests.worlds import say

ENTRIES = [
    Entry(at, 1_000 + at, [say("ana", "BLOOM", at)] * (at % 3), [*range(at % 3)]) for at in range(100) if at % 10
]
"""Every tenth offset has no record: 0, 10, ... 90."""


class Log:
    """A log of one partition; ``first``: what lies before is gone."""

    def __init__(self, entries: list[Entry] = ENTRIES, first: int = 0, end: int = 100) -> None:
        self.found = entries
        self.first = first
        self.end = end

    async def bounds(self) -> dict[int, tuple[int, int]]:
        return {0: (self.first, self.end)}

    async def entries(self, partition: int, start: int, end: int) -> AsyncIterator[list[Entry]]:
        assert start >= self.first
        for entry in self.found:
            if start <= entry.offset < end:
                yield [entry]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "events")


def names(store: Store) -> list[str]:
    return [f"{file.first}-{file.last}" for file in store.files(0)]


async def test_stretches_meet_and_holes_belong_to_one_of_them(store: Store):
    written = await archive(Log(), store, 1, stretch=30)
    assert [file.first for _, file in written] == [0, *(file.last + 1 for _, file in written[:-1])]
    assert all(file.events <= 30 for _, file in written)
    assert written[-1][1].last < 99
    await archive(Log(), store, 1, rest=True)
    assert store.files(0)[-1].last == 99
    assert await read_all(ArchiveHistory(store)) == {0: ENTRIES}
    assert not await archive(Log(), store, 1, rest=True)


async def test_an_index_that_a_crash_has_cut_or_not_reached_is_made_good(store: Store):
    await archive(Log(), store, 1, stretch=20, rest=True)
    index = store.path / "0" / INDEX
    whole, before = index.read_bytes(), store.files(0)
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        index.write_bytes(whole[:cut])
        assert store.files(0) == before
        assert index.read_bytes() == whole[:cut]  # reading writes nothing
        with store.writing():
            store.recover(0)
        assert index.read_bytes() == whole
    index.unlink()
    assert store.files(0) == before
    index.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(HistoryError, match=r"index\.jsonl is damaged"):
        store.files(0)


async def test_remains_of_a_writer_are_removed(store: Store):
    await archive(Log(), store, 1, stretch=20)
    remains = store.path / "0" / "00000000000000000080.new"
    remains.write_bytes(b"half a file")
    assert await read_all(JoinedHistory(ArchiveHistory(store), Log())) == {0: ENTRIES}
    await archive(Log(), store, 1, stretch=20)
    assert not remains.exists()


async def test_a_writer_that_fails_leaves_nothing_open(store: Store, monkeypatch: pytest.MonkeyPatch):
    class Fails(Log):
        async def entries(self, partition: int, start: int, end: int) -> AsyncIterator[list[Entry]]:
            async for some in super().entries(partition, start, end):
                if some[0].offset == 77:
                    raise HistoryError("gone", topic="events", partition=0)
                yield some

    with pytest.raises(HistoryError, match="gone"):
        await archive(Fails(), store, 1, stretch=20)
    assert names(store)
    assert not list(store.path.rglob("*.new"))
    await archive(Log(), store, 1, stretch=20, rest=True)
    assert await read_all(ArchiveHistory(store)) == {0: ENTRIES}


@pytest.mark.parametrize("start", [0, 1, 19, 20, 21, 55])
@pytest.mark.parametrize("end", [56, 60, 80, 100])
async def test_every_range_reads_the_same_from_archive_and_log(store: Store, start: int, end: int):
    await archive(Log(), store, 1, stretch=20, until={0: 60})
    joined = JoinedHistory(ArchiveHistory(store), Log(first=60))
    found = [one async for some in joined.entries(0, start, end) for one in some]
    assert found == [entry for entry in ENTRIES if start <= entry.offset < end]


async def test_a_file_that_is_missing_in_between_is_read_from_the_log(store: Store):
    await archive(Log(), store, 1, stretch=20, rest=True)
    second = store.files(0)[1]
    with store.writing():
        (store.path / "0" / second.name).unlink()
        store.recover(0)
    assert await read_all(JoinedHistory(ArchiveHistory(store), Log())) == {0: ENTRIES}
    with pytest.raises(HistoryError, match=f"records {second.first}..{second.last} are neither in Kafka nor"):
        await read_all(JoinedHistory(ArchiveHistory(store), Log(first=second.last + 1)))
    with pytest.raises(HistoryError, match=f"records {second.first}..{second.last} are not in the archive"):
        await read_all(ArchiveHistory(store))
    assert f"records {second.first}..{second.last} are not" in verify(store).problems[0]
    await archive(Log(), store, 1, stretch=20)
    assert names(store)[1] == f"{second.first}-{second.last}"
    assert not verify(store).problems


async def test_a_file_that_is_not_of_this_partition_or_overlaps_is_named(store: Store):
    await archive(Log(), store, 1, stretch=20, rest=True)
    first = store.path / "0" / store.files(0)[0].name
    (store.path / "0" / f"{200:020}-{220:020}.field").write_bytes(first.read_bytes())
    with pytest.raises(HistoryError, match="says that it is"):
        store.files(0)
    (store.path / "0" / f"{200:020}-{220:020}.field").unlink()
    other = Store(store.path.parent / "other", "events")
    await archive(Log(), other, 1, until={0: 15})
    (store.path / "0" / other.files(0)[0].name).write_bytes((other.path / "0" / other.files(0)[0].name).read_bytes())
    with pytest.raises(HistoryError, match="overlaps"):
        store.files(0)


async def test_an_archive_longer_than_the_log_or_of_other_times_is_refused(store: Store):
    await archive(Log(), store, 1, until={0: 60})
    for log in (Log(end=59), Log([entry._replace(received_ms=5) for entry in ENTRIES])):
        with pytest.raises(HistoryError, match="is of another log"):
            await check(ArchiveHistory(store), log)
        with pytest.raises(HistoryError, match="is of another log"):
            await archive(log, store, 1, rest=True)
        with pytest.raises(HistoryError, match="is of another log"):
            await check(ArchiveHistory(store), log, 0)
        await check(ArchiveHistory(store), log, 1)  # who reads another partition


def test_gaps_are_what_no_file_has():
    def file(first: int, last: int):
        return write.File("", 1, first, last, 0, 0, 0, 0, 0, 0, 0, "")

    assert gaps([], 5, 9) == [Gap(5, 9, False)]
    assert gaps([], 9, 9) == []
    assert gaps([file(0, 9), file(20, 29)], 5, 35) == [Gap(10, 20, True), Gap(30, 35, False)]
    assert gaps([file(10, 19)], 5, 20) == [Gap(5, 10, True)]


def test_marks_are_read_as_they_were_written():
    marks = {0: (5, 3), 11: (2**40, 9_999)}
    assert read_marks(write_marks("a.b-c", marks)) == ("a.b-c", marks)
    for other in (None, b"", b"a.b-c", b"a.b-c 0:5", b"a.b-c 0:-1/3", b"\xff 0:5/3", b"a 0:5/3 x"):
        assert read_marks(other) is None


def test_large_events_are_several_records_in_order():
    frames = Frames("events", 1, 4, {3: (7, 0)}, LIMITS)
    harmonics = ((1 / 3, -1e8 / 3, 1e-7 / 3, 2 / 3, 1e6 / 3),) * 64
    said = [say("ana", "FIELD", at, harmonics=harmonics) for at in range(200)]
    for at, event in enumerate(said):
        assert not frames.add(Item(3, (7 + at // 9, at % 9), 2 * 10**12 + at, event))
    records = frames.close()
    assert len(records) > 1
    assert all(len(record.value) <= FRAME_BYTES_MAX for record in records)
    assert [event for record in records for event in decode_frame(record.value)] == said[1:]  # the first was there
    places = [read_marks(dict(record.headers)[MARK]) for record in records]
    assert places[-1] == ("events", {3: (7 + 199 // 9, 199 % 9)})
    assert [place[1][3] for place in places if place] == sorted(place[1][3] for place in places if place)


def test_folders_are_one_topic_or_several(tmp_path: Path):
    for topic in ("a", "b"):
        (tmp_path / topic / "0").mkdir(parents=True)
    assert [store.topic for store in stores(tmp_path)] == ["a", "b"]
    assert [store.topic for store in stores(tmp_path / "a")] == ["a"]
    for folder, problem in ((tmp_path / "none", "no such folder"), (tmp_path / "a" / "0", "has no archive")):
        with pytest.raises(InputError, match=problem):
            stores(folder)


def test_positions_are_read():
    assert ends(["0:5", "1:7,2:0"]) == {0: 6, 1: 8, 2: 1}
    with pytest.raises(InputError, match="PARTITION:OFFSET"):
        ends(["5"])
