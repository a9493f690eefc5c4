"""An archive onto the log again: into topics with other numbers of partitions, exactly once, whatever is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy import cli
from streams import topics
from streams.archive.history import ArchiveHistory
from streams.archive.marks import MARK
from streams.archive.publish import publish, published
from streams.archive.store import Store
from streams.archive.write import archive
from streams.errors import InputError
from streams.events import OPTS, Event
from streams.history import KafkaHistory
from streams.publish import LogPublisher
from streams.settings import Settings, exports
from streams.validate import LIMITS, Limits, read_record
from tests.archives import fold, publish_fleet, read_all, run_script, topic_records
from tests.unit.test_cli import valid
from tests.workers import LIMIT_S, WorkerProcess, folded, found, instance, read_topic

_PUBLISH = """
from pathlib import Path
from deploy.commands.archive import run_publish
from streams import publish
from streams.archive import publish as of_archive
of_archive.FRAME_EVENTS, publish.SET_BYTES_MAX = 20, 3_000  # many small sends: a kill hits one in the middle
run_publish(Path(sys.argv[1]))
"""


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    return instance(kafka, tmp_path, partitions=4, archive=str(tmp_path / "archive"))


def other(settings: Settings, partitions: int) -> Settings:
    """Another set of topics, and a generation of its own."""
    name = f"{settings.generation}-{partitions}"
    return replace(
        settings, generation=name, partitions=partitions, events_topic=f"{name}.events",
        changes_topic=f"{name}.changes", rejected_topic=f"{name}.rejected",
    )  # fmt: skip


async def archived(settings: Settings, seconds: float, seed: int = 3) -> ArchiveHistory:
    await topics.create(settings, only=(settings.events_topic,))
    await publish_fleet(settings, seconds, seed)
    store = Store(settings.archive, settings.events_topic)
    async with KafkaHistory(settings) as history:
        await archive(history, store, settings.partitions, rest=True, stretch=700)
    return ArchiveHistory(store)


async def into(archive: ArchiveHistory, target: Settings, limits: Limits = LIMITS) -> int:
    await topics.create(target, only=(target.events_topic,))
    marks = await published(target, archive.store.topic)
    async with LogPublisher(target, "frame") as publisher:
        return await publish(archive, publisher, marks, limits)


def by_key(entries: dict[int, list[Any]]) -> dict[str, list[Event]]:
    """Events by routing key, in the order of the log, without OPT_*."""
    out: dict[str, list[Event]] = {}
    for some in entries.values():
        for entry in some:
            for event in entry.events:
                if event.type not in OPTS:
                    out.setdefault(event.key, []).append(event)
    return out


@pytest.mark.parametrize("partitions", [4, 16, 6, 1])
async def test_another_number_of_partitions_gives_an_equal_merged_digest(settings: Settings, partitions: int) -> None:
    source = await archived(settings, 10)
    before = await read_all(source)
    target = other(settings, partitions)
    sent = await into(source, target)
    async with KafkaHistory(target) as history:
        after = await read_all(history)
    assert by_key(after) == by_key(before)
    assert fold(after, target) == fold(before, settings)
    assert sum(len(entry.events) for some in after.values() for entry in some) == sent
    opts = [{event.id for entry in some for event in entry.events if event.type in OPTS} for some in after.values()]
    assert opts[0]
    assert all(one == opts[0] for one in opts)
    assert await into(source, target) == 0  # all of it is there


async def test_the_same_number_of_partitions_gives_the_same_events_in_the_same_order(settings: Settings) -> None:
    source = await archived(settings, 10)
    before = await read_all(source)
    target = other(settings, 4)
    await into(source, target)
    async with KafkaHistory(target) as history:
        after = await read_all(history)
    assert {number: [event for entry in some for event in entry.events] for number, some in after.items()} == {
        number: [event for entry in some for event in entry.events] for number, some in before.items()
    }
    received = {
        (n, event.id): entry.received_ms for n, some in before.items() for entry in some for event in entry.events
    }
    for number, some in after.items():
        for entry in some:
            assert all(0 <= entry.received_ms - received[number, event.id] <= 1_000 for event in entry.events)


async def test_a_worker_folds_what_was_published_and_copies_nothing(settings: Settings) -> None:
    source = await archived(settings, 6)
    target = other(settings, 6)
    await into(source, target)
    await topics.create(target)
    count = len(await topic_records(target))
    with WorkerProcess(target) as worker:
        follower = await folded(target)
        assert found(follower, target) == fold(await read_all(source), settings)
        assert worker.stop() == 0
    assert len(await topic_records(target)) == count
    assert not await read_topic(target, target.rejected_topic)


async def test_killed_while_publishing_nothing_is_there_twice(settings: Settings) -> None:
    source = await archived(settings, 30)
    target = other(settings, 6)
    await topics.create(target, only=(target.events_topic,))
    kills, seen = 0, 0
    for number in range(100):
        process = run_script(_PUBLISH, target, str(source.store.path))
        end = time.monotonic() + LIMIT_S
        while process.poll() is None and number < 6:
            records = await topic_records(target)
            if len(records) > seen:
                seen = len(records)
                process.send_signal(signal.SIGKILL)
            assert time.monotonic() < end
        process.wait()
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert kills >= 3
    async with KafkaHistory(target) as history:
        after = await read_all(history)
    before = await read_all(source)
    assert by_key(after) == by_key(before)
    assert fold(after, target) == fold(before, settings)


async def test_an_archive_that_has_grown_is_published_from_where_it_was(settings: Settings) -> None:
    target = other(settings, 4)
    first = await into(await archived(settings, 4), target)
    grown = await archived(settings, 2, seed=8)
    async with LogPublisher(target) as publisher:  # others have written meanwhile, more than the first look reaches
        for number in range(2_500):
            await publisher.publish_line(b'{"type": "nothing", "number": %d}' % number)
    second = await into(grown, target)
    assert second > 0
    async with KafkaHistory(target) as history:
        after = await read_all(history)
    assert by_key(after) == by_key(await read_all(grown))
    assert sum(len(entry.events) for some in after.values() for entry in some) == first + second


async def test_every_record_is_marked_and_safe_to_validate(settings: Settings) -> None:
    source = await archived(settings, 4)
    target = other(settings, 16)
    await into(source, target)
    for record in await topic_records(target):
        headers = dict(record.headers)
        assert headers["fanout"] == b"16"
        assert headers[MARK].startswith(settings.events_topic.encode() + b" ")
        assert int(headers["received"]) <= record.timestamp
        assert all(isinstance(one, Event) for one in read_record(record.value, int(headers["received"])))


async def test_a_topic_that_began_otherwise_is_refused(settings: Settings) -> None:
    source = await archived(settings, 2)
    with pytest.raises(InputError, match="begins with no archive"):
        await into(source, settings)
    target = other(settings, 4)
    await into(source, target)
    again = replace(settings, events_topic=settings.events_topic + ".again")
    with pytest.raises(InputError, match="begins with the archive of"):
        await into(await archived(again, 2), target)


async def test_limits_that_refuse_an_archived_event_are_named(settings: Settings) -> None:
    source = await archived(settings, 2)
    with pytest.raises(InputError, match="FIELD_SKEW_MS_MAX"):
        await into(source, other(settings, 4), Limits(skew_ms_max=-(2**50)))
    with pytest.raises(InputError, match="FIELD_EVENT_BYTES_MAX"):
        await into(source, other(settings, 4), Limits(event_bytes_max=5))


async def test_the_commands(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await topics.create(settings, only=(settings.events_topic,))
    await publish_fleet(settings, 3)
    environ = exports(settings, secrets=True)

    async def field(*args: str, **over: str) -> tuple[int, str, str]:
        for name, value in {**environ, **over}.items():
            monkeypatch.setenv(name, value)
        code = await asyncio.to_thread(cli.main, args)
        return code, *capsys.readouterr()

    code, out, _ = await field("archive")
    assert (code, out.split()[0]) == (0, "0")
    code, out, _ = await field("archive", "--until", "0:40", "1:9,2:9")
    assert (code, len(out.splitlines())) == (0, 4)
    code, out, _ = await field("archive", "--all", "--json")
    valid("archive", out)
    assert (code, json.loads(out)["open_records"], len(json.loads(out)["files"])) == (0, 0, 4)
    code, out, _ = await field("archive", "verify", "--json")
    valid("archive", out)
    code, out, _ = await field("archive", "verify")
    assert code == 0
    assert "every checksum right, nothing missing" in out
    code, out, _ = await field("archive", "verify", str(Path(settings.archive) / settings.events_topic))
    assert code == 0
    count = sum(len(entry.events) for some in (await read_all(_archive(settings))).values() for entry in some)
    target = exports(other(settings, 4), secrets=True)
    code, out, _ = await field("publish", "--archive", settings.archive, **target)
    assert (code, out.split()[0]) == (0, str(count))
    path = cut(Path(settings.archive))
    code, _, err = await field("archive", "verify")
    assert code == 11
    assert path.name in err


def cut(folder: Path) -> Path:
    """One file loses its last byte."""
    path = next(folder.rglob("*.field"))
    path.write_bytes(path.read_bytes()[:-1])
    return path


def _archive(settings: Settings) -> ArchiveHistory:
    return ArchiveHistory(Store(settings.archive, settings.events_topic))
