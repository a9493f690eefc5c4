"""What a rebalance may leave behind in Faust's reader: every guard of our consumer by itself, without Kafka."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from mode.utils.trees import Node

from streams import transport
from streams.chunks import Chunk
from streams.transport import CALLS_MAX, Batch, Consumer, ConsumerThread, driver

EVENTS, CHANGELOG = TP("events", 0), TP("changelog", 0)


def records(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset, headers=()) for offset in offsets]


def message(offset: int, last: int, generation: int = 1, tp: TP = EVENTS) -> Any:
    value = Batch(records(offset, last)) if tp == EVENTS else b""
    return SimpleNamespace(tp=tp, offset=offset, generation_id=generation, value=value)


class Bare(Consumer):
    """Our consumer with nothing of Faust's behind it; ``found`` is what the next fetch brings."""

    def __init__(self, **found: Any) -> None:
        self.app: Any = SimpleNamespace(
            consumer_generation_id=1, rebalancing=False, monitor=SimpleNamespace(track_tp_end_offset=lambda tp, end: 0),
            conf=SimpleNamespace(broker_max_poll_records=10),
        )  # fmt: skip
        self.batch_topic = EVENTS.topic
        self.found: dict[TP, list[Any]] = found.get("found", {})
        self.active: set[TP] | None = None
        self.flow_active = True
        self.can_resume_flow: Any = asyncio.Event()
        self.while_fetching: Any = lambda: None
        self.calls: list[Any] = []
        self.fails = False
        self._buffered_partitions: Any = set()
        self._read_offset: Any = {EVENTS: 7, CHANGELOG: 7}
        self._next_offsets = {}
        self._begin_at = {}
        self._committed_offset: Any = defaultdict(lambda: None)
        self._acked: Any = defaultdict(list)
        self._acked_index: Any = defaultdict(set)
        self._idle = asyncio.Event()
        self._idle.set()

    should_stop = False  # type: ignore[assignment]
    log = SimpleNamespace(warning=lambda *args: None)  # type: ignore[assignment]

    async def _wait_next_records(self, timeout: float) -> Any:
        assert timeout <= transport.POLL_S
        assert not self._idle.is_set()
        self.while_fetching()
        return self.found, self.active

    def highwater(self, tp: TP) -> int:
        return 99

    def _to_message(self, tp: TP, record: Any) -> Any:
        return SimpleNamespace(tp=tp, offset=record.offset, value=None, headers=record.headers)

    async def wait(self, *waited: Any, **_: Any) -> Any:
        self.calls.append("wait")
        for one in waited:
            await one

    async def sleep(self, seconds: Any, **_: Any) -> None:
        self.calls.append("sleep")

    async def perform_seek(self) -> None:
        self.calls.append("seek")
        if self.fails:
            raise RuntimeError("a rebalance came between")

    async def crash(self, reason: BaseException) -> None:
        self.calls.append(type(reason))

    def stop_flow(self) -> None:
        self.calls.append("stop_flow")


async def read(consumer: Bare) -> list[tuple[TP, int]]:
    """The next fetch; offsets of the messages that come out of it."""
    return [(tp, found.offset) async for tp, found in consumer.getmany(60.0)]


async def test_a_batch_is_one_message_and_so_is_what_a_fetch_brought_of_the_changelog() -> None:
    here = Bare(found={EVENTS: records(3, 4, 9), CHANGELOG: records(5, 6)})
    out = [(tp, found) async for tp, found in here.getmany(60.0)]
    assert [(tp, found.offset) for tp, found in out] == [(EVENTS, 3), (CHANGELOG, 6)], "recovered up to 6"
    assert [record.offset for record in out[1][1].value] == [5, 6]
    assert (out[0][1].value.first, out[0][1].value.last, out[0][1].headers) == (3, 9, ())
    assert here._read_offset == {EVENTS: None, CHANGELOG: 7}  # Faust would drop a batch that begins before it
    assert here._idle.is_set()


async def test_nothing_is_fetched_while_the_flow_is_stopped() -> None:
    here = Bare(found={EVENTS: records(3)})
    here.flow_active = False
    reading = asyncio.create_task(read(here))
    await asyncio.sleep(0)
    assert (here.calls, here._idle.is_set(), reading.done()) == (["wait"], True, False)
    here.flow_active = True
    here.can_resume_flow.set()
    assert await reading == [(EVENTS, 3)]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_fetch_that_outlives_the_flow_is_read_again(fails: bool) -> None:
    here = Bare(found={EVENTS: records(3)})
    here.fails = fails  # then the recovery seeks
    here.while_fetching = lambda: setattr(here, "flow_active", False)
    assert await read(here) == []
    assert here.calls == ["seek"]


async def test_a_fetch_that_outlives_its_generation_is_dropped() -> None:
    here = Bare(found={EVENTS: records(3), CHANGELOG: records(5)})
    generations = iter([1, 2])

    class App(SimpleNamespace):
        @property
        def consumer_generation_id(self) -> int:
            return next(generations, 2)

    here.app = App(monitor=here.app.monitor)
    assert await read(here) == []


@pytest.mark.parametrize(("name", "value"), [("flow_active", False), ("generation", 2)])
async def test_what_is_left_of_a_fetch_is_dropped_when_a_rebalance_begins(name: str, value: Any) -> None:
    here, out = Bare(found={EVENTS: records(3), CHANGELOG: records(5)}), []
    async for tp, _ in here.getmany(60.0):
        out.append(tp)
        if name == "flow_active":
            here.flow_active = value
        else:
            here.app.consumer_generation_id = value
    assert out == [EVENTS]


async def test_chunks_of_a_fetch_come_as_batches_until_a_rebalance_begins() -> None:
    chunks = [Chunk(EVENTS.topic, 0, 8 * n, 8 * n, 8 * n + 7, 0, -1, 8, b"") for n in range(3)]
    here, out = Bare(found={EVENTS: chunks}), []
    assert await read(here) == [(EVENTS, 0), (EVENTS, 8), (EVENTS, 16)]
    async for _, message in here.getmany(60.0):
        out.append(message.value.last)
        here.app.consumer_generation_id += message.offset // 8
    assert out == [7, 15], "the third is of before the rebalance"


async def test_partitions_that_are_no_longer_read_are_left_out_unless_their_queue_is_full() -> None:
    here = Bare(found={EVENTS: records(3), CHANGELOG: records(5)})
    here.active = {CHANGELOG}
    assert await read(here) == [(CHANGELOG, 5)]
    here._buffered_partitions = {EVENTS}
    assert await read(here) == [(EVENTS, 3), (CHANGELOG, 5)]


async def test_a_stopping_consumer_hands_out_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Bare(found={EVENTS: records(3)})
    monkeypatch.setattr(Bare, "should_stop", True)
    assert await read(here) == []


@pytest.mark.parametrize(
    ("rebalancing", "asked", "fetched"),
    [
        (False, {EVENTS, CHANGELOG}, {EVENTS, CHANGELOG}),
        (True, {EVENTS, CHANGELOG}, {CHANGELOG}),
        (True, {EVENTS}, None),
        (False, set(), None),
        (False, None, None),
    ],
)
async def test_the_input_is_not_fetched_before_recovery_is_over(
    monkeypatch: pytest.MonkeyPatch, rebalancing: bool, asked: set[TP] | None, fetched: set[TP] | None
) -> None:
    """And never with no partitions, which aiokafka takes for all of them."""
    seen: list[Any] = []

    async def getmany(self: Any, active: set[TP], timeout: float) -> dict[TP, list[Any]]:
        seen.append(set(active))
        return {}

    monkeypatch.setattr(driver.Consumer, "_getmany", getmany)
    here = Bare()
    here.app.rebalancing = rebalancing
    await here._getmany(asked, 1.0)
    assert seen == ([] if fetched is None else [fetched])
    assert here.calls == (["sleep"] if fetched is None else [])


def test_a_full_queue_keeps_the_input_in_the_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    out: list[TP] = []
    monkeypatch.setattr(driver.Consumer, "on_buffer_full", lambda self, tp: out.append(tp))
    for tp in (EVENTS, CHANGELOG):
        Consumer.on_buffer_full(Bare(), tp)
    assert out == [CHANGELOG]


async def test_partitions_without_a_commit_are_sought_to_their_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    async def committed(self: Any) -> dict[TP, int | None]:
        return {EVENTS: None, TP("events", 1): 0, TP("events", 2): 5, CHANGELOG: None}

    sought: list[TP] = []

    async def begin(*partitions: TP) -> None:
        sought.extend(partitions)

    monkeypatch.setattr(driver.Consumer, "seek_to_committed", committed)
    here = Bare()
    here._thread = SimpleNamespace(seek_to_beginning=begin)  # type: ignore[assignment]
    await here.seek_to_committed()
    assert sought == [EVENTS, TP("events", 1)]


async def test_a_gap_ends_before_the_offset_that_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    gaps: list[tuple[int, int]] = []

    async def add(self: Any, tp: TP, start: int, end: int) -> None:
        gaps.append((start, end))

    monkeypatch.setattr(driver.Consumer, "_add_gap", add)
    await Bare()._add_gap(EVENTS, 3, 9)
    assert gaps == [(3, 8)]


def test_a_batch_of_an_earlier_generation_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver.Consumer, "ack", lambda self, message: message.offset != 30)  # acknowledged already
    here = Bare()
    assert not here.ack(message(0, 9, generation=0))
    assert here._new_offset(EVENTS) is None
    assert here.ack(message(10, 19))
    assert not here.ack(message(30, 39))
    assert here.ack(message(5, 5, tp=CHANGELOG))
    here._acked[EVENTS], here._acked_index[EVENTS] = [10], {10}
    assert here._new_offset(EVENTS) == 20
    assert (here._acked[EVENTS], here._acked_index[EVENTS]) == ([], set())  # or they would grow for ever
    assert here._next_offsets == {EVENTS: 20}
    assert here.waiting_for_commit()
    here._committed_offset[EVENTS] = 20
    assert not here.waiting_for_commit()


@pytest.mark.parametrize("stuck", [False, True])
async def test_no_fetch_outlives_its_assignment(monkeypatch: pytest.MonkeyPatch, stuck: bool) -> None:
    async def revoked(self: Bare, gone: set[TP]) -> None:
        self.calls.append("revoked")

    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", revoked)
    monkeypatch.setattr(transport, "FETCH_OVER_S", 0.5 if stuck else 60.0)
    here = Bare()
    here._next_offsets = {EVENTS: 20, TP("events", 1): 30}
    here._idle.clear()
    leaving = asyncio.create_task(here.on_partitions_revoked({EVENTS}))
    for _ in range(5):
        await asyncio.sleep(0)
    assert "revoked" in here.calls
    assert not leaving.done()
    if not stuck:
        here._idle.set()
    await leaving
    assert here.calls == ["stop_flow", "revoked", *([TimeoutError] if stuck else [])]
    assert here._next_offsets == {TP("events", 1): 30}


@pytest.mark.parametrize("done", [False, True])
async def test_only_a_commit_that_was_made_counts(monkeypatch: pytest.MonkeyPatch, done: bool) -> None:
    async def commit(self: Any, offsets: Any) -> bool:
        return done

    monkeypatch.setattr(driver.Consumer, "_commit", commit)
    here = Bare()
    here.commits, here.committed_at = 0, -1.0
    assert await here._commit({}) is done
    assert (here.commits, here.committed_at >= 0) == (int(done), done)


async def test_a_fetch_does_not_stand_behind_calls_that_wait_for_a_broker() -> None:
    class Bare(ConsumerThread):
        def __init__(self) -> None:
            self.thread_loop = self.parent_loop = asyncio.get_running_loop()
            self.beacon: Any = Node(None)

    thread, never = Bare(), asyncio.Event()

    async def fetch() -> str:
        return "records"

    await thread.method_queue.start()
    waiting = [asyncio.create_task(thread.call_thread(never.wait)) for _ in range(CALLS_MAX - 1)]
    try:
        await asyncio.sleep(0)
        assert await asyncio.wait_for(thread.call_thread(fetch), 10) == "records"
    finally:
        never.set()
        await asyncio.gather(*waiting)
        await thread.method_queue.stop()


def test_the_table_takes_what_was_fetched_and_the_newest_of_a_key_counts() -> None:
    table = SimpleNamespace(data=SimpleNamespace(data={b"old": b"0", b"gone": b"0"}))
    written = [[(b"new", b"1"), (b"gone", None)], [(b"new", b"2"), (b"back", None), (b"back", b"3"), (b"none", None)]]
    fetched = [SimpleNamespace(value=[SimpleNamespace(key=key, value=value) for key, value in one]) for one in written]
    transport.Shards.apply_changelog_batch(table, fetched)  # type: ignore[arg-type]
    assert table.data.data == {b"old": b"0", b"new": b"2", b"back": b"3"}
