"""Every backend as a function: settings of its own and the records of the log in, what came of them out.

Another backend is another function in ``BACKENDS``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from streams import topics, wire
from streams.changelog import ChangelogFollower
from streams.changes import Marker, decode
from streams.embedded import log, state
from streams.embedded.driver import Driver
from streams.embedded.history import SqliteHistory
from streams.embedded.log import StoredRecord
from streams.embedded.store import Store
from streams.entry import read_entry
from streams.events import OPTS, Event
from streams.fold.digest import digest
from streams.fold.partition import PartitionFold
from streams.history import KafkaHistory
from streams.packing import Record
from streams.replay.fold import ReplayFold
from streams.replay.pace import Pace
from streams.replay.span import Span
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Rejection, read_record
from tests.workers import Sent, WorkerProcess, expected, folded, found, publish, read_topic

LATER_MS = 1_800_000_000_000
"""When the pure fold receives everything."""


class Outcome(NamedTuple):
    """``digests`` by table, ``counts`` (accepted, duplicate, late), dead letters by place: (reason, bytes)."""

    digests: dict[str, str]
    counts: dict[str, int]
    rejected: dict[str, tuple[str, bytes]]


Backend = Callable[[Settings, Sequence[Sent]], Awaitable[Outcome]]


async def pure(settings: Settings, sent: Sequence[Sent]) -> Outcome:
    """The log with its copies at the end, folded by nothing but the fold."""
    log_: dict[int, list[StoredRecord]] = {number: [] for number in range(settings.partitions)}
    copies: list[tuple[int, Event]] = []
    rejected: dict[str, tuple[str, bytes]] = {}
    for record in sent:
        here = log_[record.partition]
        headers = dict(record.headers)
        for item in read_record(record.value, LATER_MS, content_type=headers.get("content-type")):
            if isinstance(item, Rejection):
                place = f"{settings.events_topic}/{record.partition}/{len(here)}/{item.index}"
                rejected[place] = (item.reason, item.raw)
            elif item.type in OPTS and "fanout" not in headers:
                copies += [(number, item) for number in log_ if number != record.partition]
            elif item.type not in OPTS and partition_of(item.key, settings.partitions) != record.partition:
                copies.append((partition_of(item.key, settings.partitions), item))
        here.append(StoredRecord(len(here), LATER_MS, None, record.headers, record.value))
    assert len(copies) > 100
    for number, event in copies:
        log_[number].append(StoredRecord(len(log_[number]), LATER_MS, None, (), wire.encode_event(event)))
    folds = [PartitionFold(number, settings.shards, settings.rules) for number in log_]
    for fold in folds:
        for stored in log_[fold.partition]:
            fold.fold(stored.offset, read_entry(stored, fold.partition, settings.partitions).events)
    return Outcome(_digest(folds, settings), _counts([fold.counts for fold in folds]), rejected)


async def live(settings: Settings, sent: Sequence[Sent]) -> Outcome:
    """A worker on the real Kafka; equal to the fold of its own log as well."""
    await topics.create(settings)
    await publish(settings, sent)
    with WorkerProcess(settings) as worker:
        follower = await folded(settings)
        assert worker.stop() == 0
    digests = found(follower, settings)
    assert digests == await expected(settings)
    seen = [decode(record.value) for record in await read_topic(settings, settings.changes_topic)]
    markers: dict[int, Any] = {marker.partition: marker for marker in seen if isinstance(marker, Marker)}
    counts = [
        {name: getattr(marker, name) for name in ("accepted", "duplicate", "late")} for marker in markers.values()
    ]
    letters = await read_topic(settings, settings.rejected_topic)
    rejected = {letter.key.decode(): (dict(letter.headers)["reason"].decode(), letter.value) for letter in letters}
    return Outcome(digests, _counts(counts), rejected)


async def embedded(settings: Settings, sent: Sequence[Sent]) -> Outcome:
    """The driver over SQLite; equal to the fold of its own log as well."""
    with Driver(settings) as driver:
        with Store(settings) as store, store.writing() as db:
            log.append(db, [Record(record.partition, None, record.value or b"", record.headers, 1) for record in sent])
        fold_all(driver)
    with Store(settings) as store:
        digests = digest(state.picture(store).values.values(), settings.rules)
        counted = state.counts(store).events
        rejected = {letter.key: (letter.reason, letter.value) for letter in state.letters(store, 100_000)}
    assert digests == await embedded_log(settings)
    return Outcome(digests, {name: counted[name] for name in ("accepted", "duplicate", "late")}, rejected)


async def replayed(settings: Settings, sent: Sequence[Sent]) -> Outcome:
    """The log of a live worker folded into another generation; it publishes nothing, so letters are the live ones."""
    there = await live(settings, sent)
    again = replace(
        settings, generation=f"{settings.generation}-again", changes_topic=f"{settings.changes_topic}.again"
    )
    await topics.create(again)
    before = [len(await read_topic(settings, topic)) for topic in (settings.events_topic, settings.rejected_topic)]
    async with KafkaHistory(again) as history:
        for number, (_, end) in (await history.bounds()).items():
            fold = ReplayFold(again, number, history, Span(), Pace())
            assert await fold.run(end, lambda position, events: None)
    after = [len(await read_topic(settings, topic)) for topic in (settings.events_topic, settings.rejected_topic)]
    assert before == after
    async with ChangelogFollower(again) as follower:
        values = (await follower.consistent()).values.values()
    seen = [decode(record.value) for record in await read_topic(again, again.changes_topic)]
    markers: dict[int, Any] = {marker.partition: marker for marker in seen if isinstance(marker, Marker)}
    counts = [
        {name: getattr(marker, name) for name in ("accepted", "duplicate", "late")} for marker in markers.values()
    ]
    return Outcome(digest(values, again.rules), _counts(counts), there.rejected)


BACKENDS: dict[str, Backend] = {"live": live, "embedded": embedded, "replayed": replayed}
"""Each is compared with ``pure``."""


def fold_all(driver: Driver) -> None:
    """Until there is nothing more, copies included."""
    while driver.step() or driver.checkpoint():
        pass


async def embedded_log(settings: Settings) -> dict[str, str]:
    """The digest of an embedded log as it is: each record once, in order, by the pure fold alone."""
    folds = [PartitionFold(number, settings.shards, settings.rules) for number in range(settings.partitions)]
    async with SqliteHistory(settings) as history:
        for number, (first, end) in (await history.bounds()).items():
            async for entries in history.entries(number, first, end):
                for entry in entries:
                    folds[number].fold(entry.offset, entry.events)
    return _digest(folds, settings)


def _digest(folds: Sequence[PartitionFold], settings: Settings) -> dict[str, str]:
    values = [value for fold in folds for _, value in fold.checkpoint("1-reference").records[:-1]]
    return digest(values, settings.rules)


def _counts(found: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(counts[name] for counts in found) for name in ("accepted", "duplicate", "late")}
