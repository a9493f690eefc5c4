"""The archive on a real Kafka: archive, delete the segments, read on without a seam; kill, damage, gaps."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from streams import topics
from streams.archive.history import ArchiveHistory, check, open_history
from streams.archive.store import Store
from streams.archive.verify import verify
from streams.archive.write import archive
from streams.errors import HistoryError, InputError
from streams.history import KafkaHistory
from streams.settings import Settings
from tests.archives import delete_records, fold, publish_fleet, read_all, run_script
from tests.workers import LIMIT_S, instance

_ARCHIVE = """
from streams.archive.store import Store
from streams.archive.write import archive
from streams.history import KafkaHistory
async def main():
    store = Store(settings.archive, settings.events_topic)
    async with KafkaHistory(settings) as history:
        await archive(history, store, settings.partitions, rest=True, stretch=350)
"""


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    return instance(kafka, tmp_path, archive=str(tmp_path / "archive"))


async def written(settings: Settings, **options: object) -> Store:
    store = Store(settings.archive, settings.events_topic)
    async with KafkaHistory(settings) as history:
        await archive(history, store, settings.partitions, **options)  # type: ignore[arg-type]
    return store


async def test_archive_then_log_is_the_log(settings: Settings) -> None:
    await topics.create(settings, only=(settings.events_topic,))
    await publish_fleet(settings, 10)
    store = await written(settings, stretch=300)
    assert all(len(store.files(number)) > 1 for number in range(2))
    ends = {number: (await ArchiveHistory(store).bounds())[number][1] for number in range(2)}
    await publish_fleet(settings, 3, seed=4)
    async with KafkaHistory(settings) as history:
        before, bounds = await read_all(history), await history.bounds()
        assert all(bounds[number][1] > end for number, end in ends.items())  # something is in Kafka only
        assert sum(len(entry.events) for found in before.values() for entry in found) > 2_000
        assert any(not entry.events for found in before.values() for entry in found)  # malformed ones

    await delete_records(settings, ends)
    async with KafkaHistory(settings) as history:
        assert {number: first for number, (first, _) in (await history.bounds()).items()} == ends
        with pytest.raises(HistoryError, match=rf"records 0..{ends[0] - 1} are no longer in Kafka"):
            [some async for some in history.entries(0, 0, ends[0])]
    async with open_history(settings) as joined:
        assert await joined.bounds() == bounds
        after = await read_all(joined)
        assert after == before
        part = [one async for some in joined.entries(1, ends[1] - 3, ends[1] + 3) for one in some]
        assert part == [one for one in before[1] if ends[1] - 3 <= one.offset < ends[1] + 3]
    assert fold(after, settings) == fold(before, settings)

    # what came since is added; nothing is written twice
    names = {number: [file.name for file in store.files(number)] for number in range(2)}
    await written(settings, stretch=300, rest=True)
    assert all([file.name for file in store.files(number)][: len(old)] == old for number, old in names.items())
    assert await read_all(ArchiveHistory(store)) == before
    assert not verify(store).problems


async def test_until_reaches_a_position_and_nothing_more(settings: Settings) -> None:
    await topics.create(settings, only=(settings.events_topic,))
    await publish_fleet(settings, 3)
    store = await written(settings, until={0: 57})
    assert await ArchiveHistory(store).bounds() == {0: (0, 57)}
    await written(settings)  # 100,000 events are not there yet: the rest stays open
    assert await ArchiveHistory(store).bounds() == {0: (0, 57)}


async def test_a_killed_archiver_leaves_whole_files_and_the_next_goes_on(settings: Settings) -> None:
    await topics.create(settings, only=(settings.events_topic,))
    await publish_fleet(settings, 8)
    store = Store(settings.archive, settings.events_topic)
    seen, kills = 0, 0
    for number in range(200):
        process = run_script(_ARCHIVE, settings)
        end = time.monotonic() + LIMIT_S
        while process.poll() is None and len(list(store.path.rglob("*.field"))) <= seen:
            assert time.monotonic() < end
            await asyncio.sleep(0.001)
        await asyncio.sleep(number % 7 * 0.002)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        seen = len(list(store.path.rglob("*.field")))
        if store.path.is_dir():
            assert not verify(store).problems
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert kills >= 3
    async with KafkaHistory(settings) as history:
        assert await read_all(ArchiveHistory(store)) == await read_all(history)
    assert not list(store.path.rglob("*.new"))


async def test_a_damaged_file_is_named_and_can_be_made_again(settings: Settings) -> None:
    await topics.create(settings, only=(settings.events_topic,))
    await publish_fleet(settings, 5)
    store = await written(settings, stretch=200, rest=True)
    file = store.files(0)[1]
    path = store.path / "0" / file.name
    value = bytearray(path.read_bytes())
    value[len(value) // 2] ^= 1
    path.write_bytes(value)
    async with open_history(settings) as joined:
        with pytest.raises(HistoryError, match=rf"{file.name} has other bytes than were written: put back"):
            await read_all(joined)
    assert [file.name in problem for problem in verify(store).problems] == [True]
    path.unlink()
    async with open_history(settings) as joined:
        with pytest.raises(HistoryError, match=rf"{file.name} is not there any more"):
            await read_all(joined)
    await written(settings)
    assert not verify(store).problems
    async with KafkaHistory(settings) as history:
        assert await read_all(ArchiveHistory(store)) == await read_all(history)


async def test_a_gap_between_archive_and_log_is_named(settings: Settings) -> None:
    await topics.create(settings, only=(settings.events_topic,))
    await publish_fleet(settings, 5)
    store = await written(settings, until={0: 50, 1: 50})
    await delete_records(settings, {0: 60, 1: 50})
    async with open_history(settings) as joined:
        first, end = (await joined.bounds())[1]
        assert first == 0
        assert [one.offset async for some in joined.entries(1, 0, end) for one in some] == list(range(end))
        with pytest.raises(HistoryError, match=r"records 50..59 are neither in Kafka nor in the archive"):
            [some async for some in joined.entries(0, 0, end)]
    with pytest.raises(HistoryError, match=r"records 50..59 are neither in Kafka nor in the archive"):
        await written(settings, rest=True)
    (store.path / "0" / store.files(0)[0].name).unlink()
    with pytest.raises(HistoryError, match=r"records 0..49 are neither in Kafka nor"):
        await written(settings, rest=True)


async def test_the_archive_of_another_log_is_refused(settings: Settings) -> None:
    await topics.create(settings, only=(settings.events_topic,))
    await publish_fleet(settings, 5)
    store = await written(settings, until={0: 50, 1: 50})
    other = replace(settings, events_topic=settings.events_topic + ".other")
    await topics.create(other, only=(other.events_topic,))
    for seconds in (0.1, 5.0):  # shorter; as long, with other records
        await publish_fleet(other, seconds, seed=9)
        async with KafkaHistory(other) as history:
            with pytest.raises(HistoryError, match="is of another log"):
                await check(ArchiveHistory(store), history)
    with pytest.raises(HistoryError, match="with 2 partitions, not 4"):
        ArchiveHistory(store, 4)


async def test_two_writers_do_not_meet(settings: Settings) -> None:
    store = Store(settings.archive, settings.events_topic)
    with store.writing(), pytest.raises(InputError, match="another process is writing"), store.writing():
        pass
