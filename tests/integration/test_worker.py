"""The worker on a real Kafka: every form of record, copies, OPT_*, dead letters, floods, generations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from streams import topics, wire
from streams.changelog import ChangelogFollower
from streams.changes import Changes, Marker, decode, load_view
from streams.errors import PartUnavailable, SettingError
from streams.events import Event
from streams.fold.rules import Rules
from streams.settings import Settings
from streams.table import parse_key, partition_of
from streams.validate import read_record
from tests.workers import (
    Sent,
    WorkerProcess,
    committed,
    expected,
    folded,
    found,
    instance,
    publish,
    read_topic,
)  # fmt: skip
from tests.worlds import say


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    return instance(kafka, tmp_path)


def home(event: Event, settings: Settings) -> int:
    return partition_of(event.key, settings.partitions)


def single(event: Event, settings: Settings) -> Sent:
    return Sent(wire.encode_event(event), home(event, settings))


def evening(count: int = 40) -> list[Event]:
    """People in three rooms, and one alone."""
    kinds = ("BREATH", "SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE")
    return [
        say(f"device-{n % 7}", kinds[n % 5], n * 0.2, room=None if n % 7 == 6 else f"room-{n % 3}", seq=n)
        for n in range(count)
    ]


async def test_every_form_of_record_is_folded_and_committed(settings: Settings) -> None:
    await topics.create(settings)
    records = [single(event, settings) for event in evening()]
    for number in range(settings.partitions):
        here = [event for event in evening(80)[40:] if home(event, settings) == number]
        records.append(Sent(wire.encode_batch(here[::2]), number))
        records.append(Sent(wire.encode_frame(here[1::2]), number, (("content-type", b"application/vnd.field.frame"),)))
    await publish(settings, records)
    with WorkerProcess(settings) as worker:
        follower = await folded(settings)
        assert found(follower, settings) == await expected(settings)
        assert worker.stop() == 0
    assert sum((await committed(settings)).values()) == len(records)
    seen = [decode(record.value) for record in await read_topic(settings, settings.changes_topic)]
    last = {change.partition: change for change in seen if isinstance(change, Marker)}
    assert {number: marker.position for number, marker in last.items()} == follower.positions
    assert sum(marker.accepted for marker in last.values()) == 80
    rooms = {row.room_id for change in seen if isinstance(change, Changes) for row in change.sessions}
    assert rooms == {"room-0", "room-1", "room-2"}


@pytest.mark.parametrize("folds", [("simple", "compiled"), ("compiled", "simple")], ids=" then ".join)
async def test_either_fold_goes_on_where_the_other_stopped(settings: Settings, folds: tuple[str, str]) -> None:
    await topics.create(settings)
    events = evening(120)
    for fold, some in zip(folds, (events[:60], events[60:]), strict=True):
        await publish(settings, [single(event, settings) for event in some])
        with WorkerProcess(replace(settings, fold=fold)) as worker:
            follower = await folded(settings)
            assert f"the fold: {fold}" in worker.log.read_text()
            assert worker.stop() == 0
    assert found(follower, settings) == await expected(settings)


async def test_a_publisher_may_compress_as_it_likes(settings: Settings) -> None:
    await topics.create(settings)
    events = evening(100)
    for at, codec in enumerate(("gzip", "snappy", "lz4", "zstd", None)):
        await publish(settings, [single(event, settings) for event in events[at * 20 : at * 20 + 20]], codec)
    with WorkerProcess(settings) as worker:
        follower = await folded(settings)
        assert found(follower, settings) == await expected(settings)
        assert worker.stop() == 0
    assert sum((await committed(settings)).values()) == len(events)


async def test_an_event_on_the_wrong_partition_is_copied_and_folded_once(settings: Settings) -> None:
    await topics.create(settings)
    event = say("device-1", "BLOOM", 1, room="hall", seq=1)
    right = home(event, settings)
    await publish(settings, [Sent(wire.encode_batch([event]), 1 - right)])
    with WorkerProcess(settings):
        follower = await folded(settings)
        await publish(settings, [])
        original, copy = sorted(await read_topic(settings, settings.events_topic), key=lambda r: r.partition == right)
        follower = await folded(settings)
    assert dict(copy.headers) == {
        "source": f"{settings.events_topic}/{1 - right}/0/0".encode(),
        "received": b"%d" % original.timestamp,
    }
    assert (copy.partition, copy.key, read_record(copy.value, original.timestamp)) == (right, b"hall", [event])
    assert {partition for partition, _ in follower.values} == {right}
    assert found(follower, settings) == await expected(settings)


async def test_an_opt_out_that_came_alone_reaches_every_partition(settings: Settings) -> None:
    await topics.create(settings)
    told = [say("ana", "BLOOM", n, room=f"room-{n}", seq=n) for n in range(8)]
    assert {home(event, settings) for event in told} == set(range(settings.partitions))
    out = say("ana", "OPT_OUT", 20)
    spread = say("ben", "OPT_OUT", 20)
    await publish(settings, [single(event, settings) for event in told])
    await publish(settings, [Sent(wire.encode_event(spread), n, (("fanout", b"2"),)) for n in range(2)])
    await publish(settings, [single(out, settings)])
    with WorkerProcess(settings):
        await folded(settings)
        log = await read_topic(settings, settings.events_topic)
        follower = await folded(settings)
    opts = [dict(record.headers) for record in log if b"OPT_OUT" in record.value]
    assert sorted(list(headers) for headers in opts) == [[], ["fanout"], ["fanout"], ["source", "received"]]
    assert [row for value in follower.values.values() for row in load_view(value).rows] == []


async def test_bad_input_is_kept_with_reason_and_place(settings: Settings) -> None:
    await topics.create(settings)
    good = say("device-1", "BLOOM", 1, room="hall", seq=1)
    partition = home(good, settings)
    batch = b'[%s,{"type":"NOTHING"}]' % wire.encode_event(good)
    values = [b"{not json", batch, None]
    await publish(settings, [Sent(value, partition) for value in values])
    with WorkerProcess(settings):
        follower = await folded(settings)
        rejected = await read_topic(settings, settings.rejected_topic)
    source = f"{settings.events_topic}/{partition}"
    letters = {record.key.decode(): record for record in rejected}
    assert sorted(letters) == [f"{source}/0/0", f"{source}/1/1", f"{source}/2/0"]
    first = letters[f"{source}/0/0"]
    assert first.value == values[0]
    headers = dict(first.headers)
    assert sorted(headers) == ["detail", "reason", "received", "source"]
    assert (headers["reason"], headers["source"]) == (b"malformed_json", first.key)
    assert letters[f"{source}/1/1"].value == b'{"type":"NOTHING"}'
    assert dict(letters[f"{source}/2/0"].headers)["reason"] == b"empty"
    assert len([row for value in follower.values.values() for row in load_view(value).rows]) == 1


async def test_a_flood_of_bad_records_stops_the_worker(kafka: str, tmp_path: Path) -> None:
    settings = instance(kafka, tmp_path, flood_window=20)
    await topics.create(settings)
    await publish(settings, [Sent(b"?", 0)] * 30)
    with WorkerProcess(settings) as worker:
        assert await worker.ended() == 3
        assert "FIELD_FLOOD_SHARE" in worker.log.read_text()
    assert len(await read_topic(settings, settings.rejected_topic)) == 20
    assert (await committed(settings))[0] <= 20


async def test_another_fold_is_refused(settings: Settings) -> None:
    await topics.create(settings)
    await publish(settings, [single(event, settings) for event in evening()])
    with WorkerProcess(settings) as worker:
        await folded(settings)
        assert worker.stop() == 0
    other = Settings(**{f: getattr(settings, f) for f in settings.__slots__} | {"rules": Rules(seats=32)})
    with WorkerProcess(other) as worker:
        assert await worker.ended() == 4
        assert "field replay" in worker.log.read_text()


async def test_records_of_earlier_writers_get_tombstones(settings: Settings) -> None:
    await topics.create(settings)
    for start in (0, 40):
        await publish(settings, [single(event, settings) for event in evening(80)[start : start + 40]])
        with WorkerProcess(settings) as worker:
            follower = await folded(settings)
            assert worker.stop() == 0
    last = {record.key: record.value for record in await read_topic(settings, topics.changelog_topic(settings))}
    writers = {parse_key(key)[2] for key in last}
    living = {parse_key(key)[2] for key, value in last.items() if value is not None}
    assert len(writers) == 2
    assert len(living) == 1
    assert found(follower, settings) == await expected(settings)


async def test_topics_are_created_once_and_partitions_are_for_life(settings: Settings) -> None:
    assert set(await topics.create(settings)) == set(topics.configs(settings))
    assert await topics.create(settings) == []
    more = Settings(**{f: getattr(settings, f) for f in settings.__slots__} | {"partitions": 3})
    with pytest.raises(SettingError, match="has 2 partitions"):
        await topics.create(more)


async def test_a_changelog_that_is_not_there_is_said_so(settings: Settings) -> None:
    with pytest.raises(PartUnavailable, match="no topic"):
        await ChangelogFollower(settings).start()


async def test_kafka_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    settings = instance("127.0.0.1:9", tmp_path)
    with WorkerProcess(settings) as worker:
        assert await worker.ended() == 7
        assert "Kafka does not answer" in worker.log.read_text()
