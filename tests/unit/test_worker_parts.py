"""The worker's own small machines, without Kafka: flood, watchdogs, gaps, checkpoints, tombstones, sends, headers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest
import uvloop

from streams import assignment, delivery, topics, transport, wire
from streams.delivery import Delivery, Place, acknowledged
from streams.errors import DeliveryError, HistoryError, OtherLogError, StalledError
from streams.fold.partition import PartitionFold
from streams.intake import Flood, Intake
from streams.settings import Settings
from streams.table import partition_of
from streams.transport import Batch
from streams.validate import Rejection, received_at
from streams.watchdog import LOOKS, CommitAge, Pulse, Watchdog
from tests.worlds import say

SETTINGS = Settings(partitions=2, shards=2, flood_window=10, stall_s=30)


def test_a_flood_is_half_of_a_full_window() -> None:
    flood = Flood(SETTINGS)
    assert not any(flood.add(True) for _ in range(9))
    assert flood.add(True)
    assert not any(flood.add(False) for _ in range(6))  # only a bad record can be one too many
    assert flood.bad == 4
    assert not flood.add(True)
    for _ in range(9):
        flood.add(False)
    assert flood.bad == 1


def test_above_one_the_share_never_stops_anything() -> None:
    flood = Flood(Settings(flood_window=3, flood_share=1.5))
    assert not any(flood.add(True) for _ in range(20))


def test_the_watchdog_leaves_when_work_waits_and_nothing_happens() -> None:
    now = 0.0
    dog = Watchdog(SETTINGS, clock=lambda: now)
    dog.look("start", {0: 5, 1: 7})
    now = 29
    dog.look("start", {0: 5, 1: 7})
    now = 31
    with pytest.raises(StalledError, match="12 records wait") as caught:
        dog.look("start", {0: 5, 1: 7})
    assert (caught.value.partition, caught.value.exit_code) == (1, 6)


@pytest.mark.parametrize(("progress", "lag"), [("more", 9), ("start", 0), ("start", 3)])
def test_the_watchdog_is_content_with_progress_or_nothing_to_do(progress: str, lag: int) -> None:
    now = 0.0
    dog = Watchdog(SETTINGS, clock=lambda: now)
    dog.look("start", {0: 5})
    now = 31
    dog.look(progress, {0: lag})


def test_the_loop_that_does_not_come_by_is_missed_after_some_looks() -> None:
    pulse = Pulse(SETTINGS, leave=lambda error: None)
    for _ in range(3):
        pulse.beat()
        assert [pulse.look() for _ in range(LOOKS)] == [None] * LOOKS
    error = pulse.look()
    assert error is not None
    assert error.exit_code == 6
    assert "in _place (watchdog.py" in str(error)  # where this thread stands now


def test_the_pulse_is_looked_at_by_another_thread_until_it_is_over() -> None:
    quick = Settings(stall_s=5)
    object.__setattr__(quick, "stall_s", 0.01)  # a setting cannot be so short
    stuck = threading.Event()
    with Pulse(quick, leave=lambda error: stuck.set()):
        assert stuck.wait(60)
    left: list[StalledError] = []
    with Pulse(SETTINGS, leave=left.append):
        assert "pulse" in [thread.name for thread in threading.enumerate()]
    for thread in threading.enumerate():
        if thread.name == "pulse":
            thread.join(60)
            assert not thread.is_alive()
    assert left == []  # it did not end because it had missed something


def test_the_age_of_a_commit_begins_when_something_waits() -> None:
    now = 0.0
    age = CommitAge(clock=lambda: now)
    assert age.seconds(False, 0.0) == 0
    now = 103
    assert age.seconds(True, 0.0) == 0
    now = 107
    assert age.seconds(True, 0.0) == 4
    assert age.seconds(True, 106.0) == 1
    assert age.seconds(False, 107.0) == 0
    now = 200
    assert age.seconds(True, 107.0) == 0


class Record:
    """A record of Kafka, appended at 1,000 ms unless it is said otherwise."""

    topic, partition = "field.events", 0

    def __init__(
        self, offset: int, value: bytes | None = None, headers: dict[str, bytes] | None = None, timestamp: int = 1_000
    ) -> None:
        self.offset = offset
        self.value = value
        self.headers = tuple((headers or {}).items())
        self.timestamp = timestamp


class Topic:
    """Takes what is sent and acknowledges it some turns of the loop later; ``waiting_max`` is the most at a time."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.waiting = self.waiting_max = 0

    def send_soon(self, **sent: Any) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self.sent.append(sent)
        self.waiting += 1
        self.waiting_max = max(self.waiting_max, self.waiting)
        loop.call_later(0.001, self._acknowledge, future)
        return future

    def _acknowledge(self, future: asyncio.Future[None]) -> None:
        self.waiting -= 1
        future.set_result(None)


async def taken_in(records: list[Record], settings: Settings) -> tuple[Topic, Topic, Intake]:
    """What a batch makes of it: copies, dead letters, and who has read it."""
    copies, letters = Topic(), Topic()
    intake = Intake(Delivery(copies, letters, settings), settings)
    here = assignment.load([], {0: (0, 0)}, 1, "aaaa", settings)
    assert await intake.fold(Batch(records), here.partitions[0], here)
    return copies, letters, intake


def test_a_batch_keeps_its_offsets_when_the_records_go() -> None:
    batch = Batch([Record(3), Record(4), Record(9)])
    batch.release()
    assert (batch.first, batch.last, len(batch.records)) == (3, 9, 0)


def part(highwater: int = 0) -> assignment.Partition:
    return assignment.load([], {0: (0, highwater)}, 1, "aaaa", SETTINGS).partitions[0]


def test_a_gap_is_asked_for_once_and_then_believed() -> None:
    here = part()
    assert here.starts_after_gap(0) is None
    here.next_offset = 10
    assert here.starts_after_gap(10) is None
    assert here.starts_after_gap(4) is None
    assert here.starts_after_gap(20) is True
    assert here.starts_after_gap(30) is False  # was on its way already
    assert here.starts_after_gap(20) is None  # read again: there is nothing between
    assert here.starts_after_gap(25) is True


def test_checkpoints_are_full_until_the_end_of_the_log_as_it_was() -> None:
    here = part(highwater=3)
    fulls = []
    for offset in range(5):
        here.fold.fold(offset, [say("ana", "BLOOM", offset, room="hall", seq=offset)])
        checkpoint, _ = here.plan("1-aaaa")
        fulls.append(b'"full":true' in checkpoint.changes[0][1])
    assert fulls == [True, True, True, True, False]  # the first one after it is full once more


def test_keys_of_earlier_writers_are_named_once_their_shard_is_written_again() -> None:
    first = part()
    first.fold.fold(0, [say("ana", "BLOOM", 0, room="hall", seq=0)])
    records = first.plan("1-aaaa")[0].records
    second = assignment.load(records, {0: (0, 1)}, 2, "bbbb", SETTINGS).partitions[0]
    second.begin(1)
    second.fold.fold(1, [])
    checkpoint, _ = second.plan("2-bbbb")
    assert second.superseded(checkpoint) == [b"0/position/1-aaaa"]
    second.fold.fold(2, [say("ana", "BLOOM", 1, room="hall", seq=1)])
    checkpoint, _ = second.plan("2-bbbb")
    assert second.superseded(checkpoint) == [records[0][0]]
    assert second.superseded(checkpoint) == []


def test_an_assignment_says_how_far_it_has_folded_not_how_far_somebody_else_had() -> None:
    """A position record of a zombie may be ahead of the shards that are left of its checkpoint."""
    zombie = PartitionFold(0, SETTINGS.shards, SETTINGS.rules)
    zombie.fold(100, [])
    position = zombie.checkpoint("1-aaaa").records[-1:]
    here = assignment.load(position, {0: (0, 101)}, 2, "bbbb", SETTINGS).partitions[0]
    here.begin(50)
    here.fold.fold(50, [say("ana", "BLOOM", 0, room="hall", seq=0)])
    checkpoint, _ = here.plan("2-bbbb")
    assert checkpoint.position == 50


def test_a_state_and_a_log_that_do_not_belong_together_are_refused() -> None:
    first = part()
    for offset in range(5):
        first.fold.fold(offset, [say("ana", "BLOOM", offset, room="hall", seq=offset)])
    records = first.plan("1-aaaa")[0].records
    for start, end in ((0, 5), (5, 5), (5, 9)):
        assert assignment.load(records, {0: (start, end)}, 2, "bbbb", SETTINGS).partitions[0].next_offset == 5
    with pytest.raises(OtherLogError, match="FIELD_GENERATION"):
        assignment.load(records, {0: (0, 4)}, 2, "bbbb", SETTINGS)
    with pytest.raises(OtherLogError):  # a crash left the shards and not the position
        assignment.load(records[:-1], {0: (0, 4)}, 2, "bbbb", SETTINGS)
    with pytest.raises(HistoryError, match="the log begins at 6"):
        assignment.load(records, {0: (6, 9)}, 2, "bbbb", SETTINGS)


def test_positions_are_forgotten_first() -> None:
    first = part()
    first.fold.fold(0, [say("ana", "BLOOM", 0, room="hall", seq=0)])
    records = first.plan("1-aaaa")[0].records
    second = assignment.load(records, {0: (0, 1)}, 2, "bbbb", SETTINGS).partitions[0]
    assert second.recovered_keys() == [b"0/position/1-aaaa", records[0][0]]
    assert second.recovered_keys() == []


def test_two_of_three_brokers_must_have_a_write() -> None:
    for replication, wanted in ((1, None), (2, None), (3, "2"), (5, "2")):
        found = topics.configs(Settings(replication=replication))
        assert {config.get("min.insync.replicas") for config in found.values()} == {wanted}


def test_the_place_of_a_copy_is_that_of_its_original() -> None:
    assert Place("field.events", 1, 42, 0).position(3) == "field.events/1/42/3"
    assert Place("field.events", 1, 42, 0, "field.events/0/7/0").position(3) == "field.events/0/7/0"


@pytest.mark.parametrize("items", [1, 700, 3_000])
async def test_bad_records_cannot_pile_up_dead_letters(monkeypatch: pytest.MonkeyPatch, items: int) -> None:
    monkeypatch.setattr(delivery, "OUTSTANDING_MAX", 1_000)
    count = 9_000 // items
    bad = [Record(offset, b"[" + b",".join([b"1"] * items) + b"]") for offset in range(count)]
    _, letters, intake = await taken_in(bad, Settings(flood_share=2.0))
    assert len(letters.sent) == count * items == intake.events
    assert 1_000 <= letters.waiting_max < 1_000 + items


async def test_what_is_settled_still_waits_for_a_checkpoint_that_comes_between() -> None:
    letters = Topic()
    here = Delivery(Topic(), letters, SETTINGS)
    here.reject(Rejection(0, "empty", "", b""), Place("field.events", 0, 0, 0))
    settling = asyncio.create_task(here.settle("dead letters"))
    await asyncio.sleep(0)
    here.reject(Rejection(1, "empty", "", b""), Place("field.events", 0, 0, 0))
    checkpoint = here._outstanding.copy()
    await settling
    assert len(checkpoint) == 2
    assert len(here.take()) == 1  # the second was sent after settling had begun


@pytest.mark.parametrize(
    ("header", "is_one"),
    [(b"t/0/1/2", True), (b"t/0/1", False), (b"t/0/1/2/3", False), (b"t/0/1/2\n", False), (b"t/0/1/x", False),
     (b"/0/1/2", False), (b"", False), (b"\xff/0/1/2", False)],
)  # fmt: skip
async def test_a_source_has_a_form(header: bytes, is_one: bool) -> None:
    _, letters, _ = await taken_in([Record(7, b"?", {"source": header})], SETTINGS)
    assert [letter["key"] for letter in letters.sent] == [b"t/0/1/2" if is_one else b"field.events/0/7/0"]


async def test_two_of_one_record_have_two_places() -> None:
    _, letters, _ = await taken_in([Record(7, b"[1,2]", {"source": b"t/0/1/2"})], SETTINGS)
    assert [letter["key"] for letter in letters.sent] == [b"field.events/0/7/0", b"field.events/0/7/1"]


@pytest.mark.parametrize(
    ("headers", "spread"),
    [({}, True), ({"fanout": b"2"}, False), ({"fanout": b"3"}, True), ({"fanout": b"x"}, True),
     ({"source": b"t/1/0/0"}, False), ({"source": b"somewhere"}, True)],
)  # fmt: skip
async def test_only_headers_that_can_be_true_keep_an_opt_out_here(headers: dict[str, bytes], spread: bool) -> None:
    copies, _, _ = await taken_in([Record(0, wire.encode_event(say("ana", "OPT_OUT", 0)), headers)], told())
    assert [sent["partition"] for sent in copies.sent] == [1] * spread


async def test_received_cannot_let_the_future_in() -> None:
    event = say("ana", "BLOOM", 0, room="hall", seq=0)
    assert partition_of("hall", 1) == 0
    early = event.timestamp - 60_001
    alone = Settings(partitions=1)
    record = Record(0, wire.encode_event(event), {"received": b"%d" % event.timestamp}, early)
    _, letters, _ = await taken_in([record], alone)
    assert [dict(letter["headers"])["reason"] for letter in letters.sent] == [b"future"]
    _, letters, _ = await taken_in([Record(0, record.value, {}, early + 1)], alone)
    assert letters.sent == []


@pytest.mark.parametrize(
    ("header", "received"),
    [(None, 100), (b"99", 99), (b"100", 100), (b"101", 100), (b"-1", 100), (b"x", 100), (b"", 100), (b"0" * 16, 100)],
)
def test_received_is_never_after_the_append(header: bytes | None, received: int) -> None:
    assert received_at(header, 100) == received


def told() -> Settings:
    """Two partitions, and events of whatever time."""
    return Settings(partitions=2, skew_ms_max=10**12 * 4)


async def test_a_send_that_fails_is_an_error_with_a_name() -> None:
    good: asyncio.Future[None] = asyncio.Future()
    bad: asyncio.Future[None] = asyncio.Future()
    good.set_result(None)
    bad.set_exception(OSError("gone"))
    with pytest.raises(DeliveryError, match=r"shards not acknowledged.*gone"):
        await acknowledged([good, bad], "changelog", "shards")


def test_the_consumers_thread_has_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the process has uvloop's, which may crash when Faust calls it from another thread."""
    made: list[asyncio.AbstractEventLoop] = []
    monkeypatch.setattr(transport, "ConsumerThread", lambda *_, thread_loop=None, **__: made.append(thread_loop))
    monkeypatch.setattr(asyncio, "new_event_loop", uvloop.new_event_loop)
    consumer = transport.Consumer.__new__(transport.Consumer)
    consumer.loop = consumer.beacon = None
    consumer._new_consumer_thread()
    (loop,) = made
    assert isinstance(loop, asyncio.SelectorEventLoop)
    loop.close()


def test_a_worker_that_faust_does_not_stop_ends_all_the_same() -> None:
    code = (
        "import asyncio, signal, faust; from streams import app\n"
        "class Folding:\n"
        "    async def finish(self): print('kept')\n"
        "async def never(self, signal): await asyncio.Event().wait()\n"
        "faust.Worker._stop_on_signal, app.STOP_S = never, 0.1\n"
        "worker = app.Worker.__new__(app.Worker)\n"
        "worker._folding = Folding()\n"
        "asyncio.run(worker._stop_on_signal(signal.SIGTERM))"
    )
    done = subprocess.run([sys.executable, "-uc", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "kept\n"), done.stderr
