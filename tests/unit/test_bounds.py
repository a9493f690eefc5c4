"""What may wait or be remembered has a bound, and this happens at it (deploy/BOUNDS.md)."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from deploy import processes, supervisor
from deploy.supervisor import Supervisor
from projections import pool
from projections.follow import FETCH_BYTES, Follower
from streams import assignment, checkpoint, delivery, envelope, packing, publish, topics, transport
from streams.app import FETCH_BYTES_MAX, make_app
from streams.changes import PART_ROWS_MAX
from streams.checkpoint import Checkpointer
from streams.chunks import Chunk
from streams.errors import DeliveryError, InputError
from streams.fold.partition import PartitionFold
from streams.logs.start import REPEATS_MAX
from streams.packing import Record
from streams.publish import LogPublisher
from streams.settings import Settings, known
from streams.table import partition_of
from streams.validate import DETAIL_MAX, RECORD_EVENTS_MAX, Rejection, read_record
from streams.wire import encode_event
from tests.worlds import START_S, say


async def test_the_worker_reads_ahead_no_more_than_it_says(tmp_path: Path) -> None:
    app = make_app(Settings(home=str(tmp_path), poll_records=321))
    assert app.conf.stream_buffer_maxsize == 8
    assert (app.conf.broker_max_poll_records, app.conf.consumer_max_fetch_size) == (321, FETCH_BYTES_MAX)
    producer: Any = app.producer
    assert producer.buffer.max_messages == transport.SENDS_MAX


def test_chunks_of_a_fetch_are_given_as_batches_of_so_many_records() -> None:
    chunks = [Chunk("t", 0, 4 * n, 4 * n, 4 * n + 3, 0, -1, 4, b"") for n in range(25)]
    given = list(transport.split(chunks, 10))
    assert [one for some in given for one in some] == chunks
    assert [transport.Batch(some).size for some in given] == [8] * 12 + [4]
    assert [transport.Batch(some).first for some in given][:3] == [0, 8, 16]
    assert [len(some) for some in transport.split(chunks, 3)] == [1] * 25, "a chunk stays whole"


async def test_a_record_that_is_too_large_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust would log it, and the checkpoint would be taken for written."""
    settings = Settings(partitions=1, shards=1)
    here = assignment.load([], {0: (0, 1)}, 1, "aaaa", settings)
    part = here.partitions[0]
    part.fold.fold(0, [say("ana", "BLOOM", 0, room="hall", seq=0)])
    part.folded.append(SimpleNamespace(ack=lambda: pytest.fail("it was acknowledged")))
    monkeypatch.setattr(checkpoint.topics, "RECORD_BYTES_MAX", 1_024 + 64)
    nothing: Any = SimpleNamespace(take=list, send_soon=lambda **_: pytest.fail("sent"))
    with pytest.raises(DeliveryError, match=r"too large.*FIELD_SHARDS"):
        await Checkpointer(nothing, nothing, nothing, settings).run(here)
    assert topics.RECORD_BYTES_MAX == 1_024 + 64


def test_events_become_final_between_checkpoints() -> None:
    """The tail of a key holds the last L and a little more, however long no checkpoint comes."""
    fold = PartitionFold(0, 1)
    longest = 0
    for number in range(5_000):
        fold.fold(number, [say("ana", "BREATH", number / 10, room="hall", seq=number)])
        longest = max(longest, len(fold._shards[0].keys["hall"].tail))
    in_lateness = 100
    assert in_lateness < longest <= 3 * in_lateness + 64
    fold.checkpoint("1-a")
    assert len(fold._shards[0].keys["hall"].tail) == in_lateness + 1


def test_what_is_said_of_bad_input_is_short() -> None:
    bad = encode_event(say("ana", "BLOOM", 0)).replace(b'"ana"', b'"%s"' % ("\N{GRINNING FACE}" * 99).encode())
    (item,) = read_record(bad, START_S * 1_000)
    assert isinstance(item, Rejection)
    assert (item.reason, len(item.detail)) == ("bad_id", DETAIL_MAX)


class Broker:
    """A producer whose broker takes one set of a partition and acknowledges it when it is told to."""

    def __init__(self) -> None:
        self.sets: list[int] = []
        self.free = asyncio.Event()

    def create_batch(self) -> Any:
        self.size = 0
        return SimpleNamespace(append=self._append, close=lambda: None)

    def _append(self, *, key: bytes, value: bytes, **_: Any) -> object:
        self.size += len(value)
        return object()

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[None]:
        self.sets.append(self.size)
        if len(self.sets) > 1:
            await self.free.wait()
        return asyncio.get_running_loop().create_future()


async def test_a_publisher_waits_for_the_broker_with_one_set_of_a_partition() -> None:
    publisher, broker = LogPublisher(Settings()), Broker()
    publisher._producer = broker  # type: ignore[assignment]
    record = Record(0, b"hall", b"x" * 60_000, (), 1)
    adding = asyncio.create_task(publisher._add([record] * 100))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not adding.done()
    assert len(broker.sets) == 2  # one is on its way, one waits for its turn
    broker.free.set()
    await adding
    assert max(broker.sets) <= publish.SET_BYTES_MAX
    assert sum(map(len, publisher._waiting.values())) <= publish.SET_BYTES_MAX // 60_000


async def test_a_line_that_no_record_can_hold_is_refused() -> None:
    with pytest.raises(InputError, match=f"line 1 has {packing.LINE_BYTES_MAX + 1} bytes"):
        await LogPublisher(Settings()).publish_line(b"x" * (packing.LINE_BYTES_MAX + 1))


class Consumer:
    """Two partitions with records without end; ``asked`` says which were read."""

    places = (TopicPartition("t", 0), TopicPartition("t", 1))

    def __init__(self, stop: asyncio.Event) -> None:
        self.asked: list[tuple[int, ...]] = []
        self._stop = stop

    def assignment(self) -> set[TopicPartition]:
        return set(self.places)

    async def getmany(self, *places: TopicPartition, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
        await asyncio.sleep(0)
        self.asked.append(tuple(sorted(place.partition for place in places)))
        assert max_records == 7
        if len(self.asked) == 20:
            self._stop.set()
        return {place: [SimpleNamespace(offset=len(self.asked))] for place in places}


async def test_a_projection_reads_nothing_more_of_a_partition_whose_rows_are_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop = asyncio.Event()
    projection: Any = SimpleNamespace(name="x", topic="t", scope="t", remedy="")
    nobody: Any = None
    follower, consumer = Follower(projection, Settings(project_events=7), nobody, stop), Consumer(stop)
    follower._consumer = consumer
    follower._loaded = dict.fromkeys(consumer.places, 0)
    never = asyncio.Event()

    async def project(place: TopicPartition, records: Any) -> None:
        if place.partition == 0:
            await never.wait()  # PostgreSQL does not answer

    monkeypatch.setattr(follower, "_project", project)
    await follower._follow()
    assert consumer.asked == [(0, 1), *[(1,)] * 19]
    never.set()
    await asyncio.gather(*follower._busy.values())
    assert FETCH_BYTES <= FETCH_BYTES_MAX


def test_connections_are_counted() -> None:
    made = pool.make_pool("postgresql://nobody@127.0.0.1:1/nothing")
    assert (made.max_size, made.timeout, made.closed) == (pool.SIZE_MAX, pool.TIMEOUT_S, True)


async def test_a_log_that_has_grown_is_set_aside_when_its_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOG_BYTES_MAX", 10)
    here = Supervisor(tmp_path, {"worker": [sys.executable, "-c", "print('anew')"]}, {}, lambda line: None)
    log = here.log("worker")
    log.parent.mkdir(parents=True)
    log.with_suffix(".log.1").write_text("the one before")
    log.write_text("more than ten bytes")
    await here.start()
    await asyncio.gather(*here._tasks.values())
    assert log.read_text() == "anew\n"
    assert log.with_suffix(".log.1").read_text() == "more than ten bytes"
    assert sorted(path.name for path in log.parent.iterdir()) == ["worker.log", "worker.log.1"]
    processes.remove(tmp_path, "worker")


def test_the_page_has_the_numbers_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "deploy/BOUNDS.md").read_text()
    counts = (
        transport.SENDS_MAX, delivery.OUTSTANDING_MAX, RECORD_EVENTS_MAX, PART_ROWS_MAX, DETAIL_MAX, pool.SIZE_MAX,
        REPEATS_MAX, packing.LINE_BYTES_MAX, partition_of.cache_info().maxsize,
        envelope.known_id.cache_info().maxsize,
    )  # fmt: skip
    sizes = (topics.RECORD_BYTES_MAX, FETCH_BYTES, FETCH_BYTES_MAX, supervisor.LOG_BYTES_MAX)
    missing = [count for count in counts if f"{count:,}" not in text]
    missing += [size for size in sizes if f"{size // 1024**2} MiB" not in text]
    assert [*missing, f"{publish.SET_BYTES_MAX // 1024} KiB" in text] == [True]
    assert set(re.findall(r"FIELD_[A-Z_]+", text)) <= set(known())
