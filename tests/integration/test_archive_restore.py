"""An archive onto an empty topic again: every record at its old offset, the same fold, and nothing said twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from streams import letters, topics
from streams.archive.format import Head
from streams.archive.history import ArchiveHistory
from streams.archive.restore import restore
from streams.archive.store import Store
from streams.archive.write import archive
from streams.entry import Entry
from streams.errors import InputError
from streams.events import OPTS
from streams.history import KafkaHistory
from streams.packing import JSON_HEADER, Record
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.simulate import Fleet, items
from streams.table import partition_of
from streams.wire import encode_event
from tests.archives import fold, publish_fleet, read_all
from tests.workers import WorkerProcess, expected, folded, found, instance, read_topic


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    return instance(kafka, tmp_path, partitions=3, archive=str(tmp_path / "archive"))


def beside(settings: Settings) -> Settings:
    """Another Kafka, as far as a restore can tell: topics of other names."""
    name = f"{settings.generation}-restored"
    return replace(
        settings, generation=name, events_topic=f"{name}.events", changes_topic=f"{name}.changes",
        rejected_topic=f"{name}.rejected", archive="",
    )  # fmt: skip


async def saved(settings: Settings) -> tuple[ArchiveHistory, dict[int, int]]:
    """The archive of a log that has been folded by a worker, with misplaced events in it, and its ends."""
    await topics.create(settings)
    await publish_fleet(settings, 6)
    stray = [item.event for item in items(Fleet(5, 50, 9, 1_700_000_100_000), 1)]
    async with LogPublisher(settings) as publisher:  # all to one partition: most are copied by the worker
        records = [Record(0, b"x", encode_event(event), (JSON_HEADER,), 1) for event in stray]  # type: ignore[arg-type]
        await publisher.publish_records(records)
    with WorkerProcess(settings):
        await folded(settings)
    async with KafkaHistory(settings) as log:
        ends = {number: end for number, (_, end) in (await log.bounds()).items()}
        store = Store(settings.archive, settings.events_topic)
        await archive(log, store, settings.partitions, until=ends)
    return ArchiveHistory(store), ends


def places(entries: dict[int, list[Entry]]) -> dict[int, list[tuple[int, int, Sequence[object]]]]:
    return {number: [(one.offset, one.received_ms, one.events) for one in some] for number, some in entries.items()}


async def test_a_restored_log_is_the_same_log_and_folds_without_a_word(settings: Settings) -> None:
    old, ends = await saved(settings)
    target = beside(settings)
    await topics.create(target)
    sent = await restore(old, target, ends)
    async with KafkaHistory(settings) as log, KafkaHistory(target) as copy:
        assert {number: end for number, (_, end) in (await copy.bounds()).items()} == ends
        was, now = await read_all(log), await read_all(copy)
    assert places(was) == places(now)
    assert sent == sum(len(one.events) for some in now.values() for one in some)
    assert any(not one.events for one in now[0]), "there are places without events"
    assert any(event.type in OPTS for some in now.values() for one in some for event in one.events)

    with WorkerProcess(target):  # it reads it as any log: nothing is copied, nothing is rejected again
        follower = await folded(target)
        assert found(follower, target) == await expected(settings) == fold(was, settings)
    assert len(await read_topic(target, target.events_topic)) == sum(ends.values())
    assert await read_topic(target, target.rejected_topic) == []


async def test_places_that_the_archive_does_not_have_are_kept_free(settings: Settings) -> None:
    """The log began later, or had markers of transactions: those offsets are nobody's, and stay so."""
    events = [item.event for item in items(Fleet(5, 50, 9, 1_700_000_000_000), 1) if item.event.type not in OPTS]  # type: ignore[union-attr]
    store = Store(settings.archive, settings.events_topic)
    ours = [event for event in events if partition_of(event.key, settings.partitions) == 1]  # type: ignore[union-attr]
    with store.writing():
        writing = store.begin(Head(store.topic, 1, settings.partitions, 5))
        for offset, event in zip((5, 7, 1_020), ours, strict=False):
            writing.add(Entry(offset, 1_700_000_000_500, [event], [0]))
        writing.close(1_029)
    target = beside(settings)
    await topics.create(target)
    assert await restore(ArchiveHistory(store), target, {0: 0, 1: 1_030, 2: 3}) == 3
    async with KafkaHistory(target) as log:
        found = await read_all(log)
    assert [len(some) for some in found.values()] == [0, 1_030, 3]
    assert [(one.offset, list(one.events)) for one in found[1] if one.events] == [
        (offset, [event]) for offset, event in zip((5, 7, 1_020), ours, strict=False)
    ]


async def test_only_an_empty_topic_is_restored_into(settings: Settings) -> None:
    old, ends = await saved(settings)
    with pytest.raises(InputError, match="has had records"):
        await restore(old, settings, ends)


async def test_letters_come_back_byte_by_byte(settings: Settings, tmp_path: Path) -> None:
    await saved(settings)
    bounds = await letters.bounds(settings)
    ends = {number: end for number, (_, end) in bounds.items()}
    middle = {number: end // 2 for number, end in ends.items()}
    one, two = tmp_path / "one.jsonl.gz", tmp_path / "two.jsonl.gz"
    count = await letters.write(settings, one, {}, middle) + await letters.write(settings, two, middle, ends)
    assert count == sum(ends.values()) > 10
    target = beside(settings)
    await topics.create(target)
    assert await letters.publish(target, [kept for path in (one, two) for kept in letters.read(path)]) == count
    was, now = [await read_topic(of, of.rejected_topic) for of in (settings, target)]
    assert [(r.partition, r.key, r.value, r.headers) for r in was] == [
        (r.partition, r.key, r.value, r.headers) for r in now
    ]
    with pytest.raises(InputError, match="has had records"):
        await letters.publish(target, [])
