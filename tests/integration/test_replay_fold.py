"""The replay of one partition on a real Kafka: what it writes, in which order, where it goes on, what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.replay import compare
from streams import history, topics
from streams.changelog import ChangelogFollower, kept_records
from streams.changes import Changes, Marker, decode, load_view
from streams.errors import FoldVersionError, HistoryError
from streams.events import Event
from streams.fold.as_of import AsOf
from streams.fold.digest import digest
from streams.fold.merge import merge
from streams.history import KafkaHistory
from streams.replay import fold as replay_fold
from streams.replay.fold import ReplayFold
from streams.replay.pace import Pace
from streams.replay.span import Span
from streams.settings import Settings
from streams.simulate import Fleet, items
from streams.table import parse_key
from streams.topics import changelog_topic
from streams.wire import encode_event
from tests.workers import Sent, committed, expected, instance, publish, read_topic
from tests.worlds import START_S, say

EVENTS = 400


@pytest.fixture
def log(kafka: str, tmp_path: Path) -> Settings:
    """A log of one partition: people in rooms, some of it late."""
    settings = instance(kafka, tmp_path, partitions=1, checkpoint_ms=10)
    fleet = Fleet(devices=12, rate=20, seed=5, start=START_S * 1000, late=0.05, opts=0.02)
    events = [item.event for item in items(fleet, EVENTS / 20) if isinstance(item.event, Event)]
    asyncio.run(topics.create(settings))
    asyncio.run(publish(settings, [Sent(encode_event(event), 0) for event in events]))
    return settings


def again(log: Settings, name: str = "again") -> Settings:
    other = replace(log, generation=f"{log.generation}-{name}", changes_topic=f"{log.changes_topic}.{name}")
    asyncio.run(topics.create(other))
    return other


def replay(
    settings: Settings, end: int | None = None, span: Span | None = None, rate: float | None = None
) -> ReplayFold:
    """Folded up to before ``end``, none: all of it; at a rate it makes a checkpoint each fifth of a second."""

    async def run() -> ReplayFold:
        async with KafkaHistory(settings) as source:
            whole = (await source.bounds())[0][1]
            fold = ReplayFold(settings, 0, source, span or Span(), Pace(rate))
            assert await fold.run(whole if end is None else end, lambda position, events: None)
            return fold

    return asyncio.run(run())


def kept(settings: Settings) -> dict[int | None, list[bytes]]:
    found: dict[int | None, list[bytes]] = {}
    for key, value in asyncio.run(kept_records(settings, 0)):
        found.setdefault(parse_key(key)[1], []).append(value)
    return found


def picture(settings: Settings) -> list[bytes]:
    async def look() -> list[bytes]:
        async with ChangelogFollower(settings) as follower:
            return list((await follower.consistent()).values.values())

    return asyncio.run(look())


def rows(settings: Settings) -> Iterator[Changes | Marker]:
    for record in asyncio.run(read_topic(settings, settings.changes_topic)):
        yield decode(record.value)


def test_what_it_leaves_is_what_a_worker_goes_on_from(log: Settings) -> None:
    settings = again(log)
    replay(settings, 150)
    replay(settings)
    found = kept(settings)
    assert all(len(values) == 1 for values in found.values()), "one key a shard: the writer before was superseded"
    assert digest([value for shard, (value,) in found.items() if shard is not None]) == asyncio.run(expected(log))
    end = len(asyncio.run(read_topic(log, log.events_topic)))
    assert asyncio.run(committed(settings)) == {0: end}
    assert [row.position for row in rows(settings) if isinstance(row, Marker)][-1] == end - 1


def test_rows_come_before_their_marker_and_shards_before_their_position(
    log: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    send = ReplayFold._send

    async def spied(self: ReplayFold, topic: str, checkpoint: Any, records: Any) -> None:
        records = list(records)
        if records:
            of_changelog = topic == changelog_topic(settings)
            names = {
                ("tombstone" if value is None else "position" if parse_key(key)[1] is None else "shard")
                if of_changelog
                else ("marker" if key.endswith(b"/marker") else "changes")
                for key, value in records
            }
            sent.append("+".join(sorted(names)))
        await send(self, topic, checkpoint, records)

    monkeypatch.setattr(ReplayFold, "_send", spied)
    settings = again(log)
    replay(settings)
    assert sent[:4] == ["changes", "marker", "shard", "position"]
    assert set(sent) == {"changes", "marker", "shard", "position"}


def test_rows_that_a_killed_one_has_shown_are_shown_anew(log: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between rows and shards: who goes on is behind them, and shows all of each shard until it is past."""
    settings = again(log)
    replay(settings, 100)
    send = ReplayFold._send

    async def killed(self: ReplayFold, topic: str, checkpoint: Any, records: Any) -> None:
        if topic == changelog_topic(settings):
            if checkpoint.position > 250:
                raise KeyboardInterrupt
            return  # nor are earlier shards kept
        await send(self, topic, checkpoint, records)

    with monkeypatch.context() as patched:
        patched.setattr(ReplayFold, "_send", killed)
        patched.setattr(replay_fold.ReplayFold, "_commit", None)
        with pytest.raises(KeyboardInterrupt):
            replay(settings, 300)
    shown = max(row.position for row in rows(settings))
    assert shown > 99
    before = len(list(rows(settings)))
    replay(settings, rate=125)
    later = [row for row in list(rows(settings))[before:] if isinstance(row, Changes)]
    assert len({row.position for row in later if row.position < shown}) >= 4
    assert all(row.full for row in later if row.position < shown)
    assert not all(row.full for row in later)
    assert digest(picture(settings)) == asyncio.run(expected(log))


def test_until_a_time_it_is_the_field_of_that_time(log: Settings) -> None:
    """What came too late for the field is not in its past either, although it is early enough by its own time."""
    records = asyncio.run(read_topic(log, log.events_topic))
    moment = START_S * 1000 + 11_000
    past = AsOf([moment], log.rules)
    for record in records:
        past.fold(0, record.offset, history.read_entry(record, 0, 1).events)
    ((_, views),) = past.readings()
    settings = again(log)
    replay(settings, span=Span(until_ms=moment))
    ours = [load_view(value, log.rules) for value in picture(settings)]
    assert merge(ours, moment, log.rules) == merge(views, moment, log.rules)
    assert merge(ours, moment, log.rules).rooms


def test_opting_out_concerns_every_room(kafka: str, tmp_path: Path) -> None:
    settings = instance(kafka, tmp_path, partitions=1)
    story = [say("ana", "BLOOM", 1, room="hall"), say("bo", "BLOOM", 2, room="hall"), say("bo", "BLOOM", 2, room="den"),
             say("ana", "OPT_OUT", 3), say("bo", "BREATH", 20, room="hall")]  # fmt: skip
    asyncio.run(topics.create(settings))
    asyncio.run(publish(settings, [Sent(encode_event(event), 0) for event in story]))
    hall = again(settings)
    replay(hall, span=Span(room="hall"))
    views = [load_view(value) for value in picture(hall)]
    assert {device for view in views for _, device, _ in view.rows} == {"bo"}


def test_records_that_go_while_they_are_read_are_no_gap(log: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "FETCH_BYTES", 1)  # a batch at a time
    settings = again(log)
    asyncio.run(publish(log, [Sent(b"x" * 900_000, 0) for _ in range(3)]))
    end = EVENTS + 3

    async def run() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=log.kafka_brokers)
        await admin.start()
        try:
            async with KafkaHistory(settings) as source:
                seen = 0
                async for entries in source.entries(0, 0, end):
                    if not seen:
                        place = TopicPartition(log.events_topic, 0)
                        await admin.delete_records({place: RecordsToDelete(before_offset=end - 1)})
                        await asyncio.sleep(1)
                    seen += len(entries)
        finally:
            await admin.close()

    with pytest.raises(HistoryError, match="went away"):
        asyncio.run(run())


def test_a_history_that_ends_early_is_not_the_end(log: Settings) -> None:
    settings = again(log)
    end = len(asyncio.run(read_topic(log, log.events_topic)))

    class Short(KafkaHistory):
        async def entries(self, partition: int, start: int, end: int) -> Any:
            async for entries in super().entries(partition, start, end - 10):
                yield entries

        async def pieces(self, partition: int, start: int, end: int) -> Any:
            async for piece in super().pieces(partition, start, end):
                if piece.last_offset < end - 10:
                    yield piece

    async def run() -> None:
        async with Short(settings) as source:
            await ReplayFold(settings, 0, source, Span(), Pace()).run(end, lambda position, events: None)

    with pytest.raises(HistoryError, match="the history ended"):
        asyncio.run(run())
    assert asyncio.run(committed(settings)) == {0: 0}


def test_what_no_worker_would_recover_is_not_compared(log: Settings) -> None:
    """Tombstones hide a record from a worker that a reader of the whole changelog has seen."""
    settings = again(log)
    replay(settings)
    live = again(log, "live")
    replay(live)
    assert asyncio.run(compare.compare(live, settings)).equal
    victim = next(key for key, _ in asyncio.run(kept_records(settings, 0)) if parse_key(key)[1] is not None)

    async def bury() -> None:
        async with replay_fold.AIOKafkaProducer(bootstrap_servers=log.kafka_brokers) as producer:
            await producer.send_and_wait(changelog_topic(settings), None, key=victim, partition=0)

    asyncio.run(bury())
    with pytest.raises(FoldVersionError, match="a worker would recover"):
        asyncio.run(compare.compare(live, settings))


def test_both_are_folded_on_to_the_later_position(log: Settings) -> None:
    settings, live = again(log), again(log, "live")
    replay(settings, 150)
    replay(live, 250)
    verdict = asyncio.run(compare.compare(live, settings))
    assert verdict.equal
    assert {*verdict.positions} == {settings.generation, live.generation}
    assert [at for at in verdict.positions.values()] == [{0: 249}, {0: 249}]
