"""What a gateway keeps and what waits in it has a bound (deploy/BOUNDS.md); others stand by their area."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import pytest
from redis.asyncio import Redis

from deploy.local import loopback
from projections.gateway import cursors, hub, kept, limits, past, playback, pseudonyms
from projections.gateway.answers import Reflects
from projections.gateway.flight import Rest
from projections.gateway.kafka_log import kafka_log
from projections.gateway.kept import Found, Kept, RedisCopies, Told
from projections.gateway.limits import Limiter
from projections.gateway.optouts import OptOuts, stored_in
from projections.gateway.past import Past
from projections.gateway.performance import Performance
from projections.gateway.problems import Problem
from projections.gateway.pseudonyms import pseudonym
from projections.gateway.reader import Reader
from projections.gateway.vectors import Log
from projections.queries import query
from projections.views import now_ms
from streams.settings import Settings
from tests.fixtures.gateway import serving
from tests.gateway.pushing import LIMIT_S, logged, publish, publisher, sse
from tests.gateway.test_push_events import some
from tests.integration.projecting import database


async def test_so_many_refused_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REFUSED_MAX", 10)
    async with Redis(port=loopback.free()) as away:
        limiter = Limiter(Settings(gateway_address_rate=1.0, gateway_device_rate=0.0, gateway_burst_s=1), away)
        for number in range(40):
            address = f"10.0.0.{number}"
            await limiter.charge(address, {}, 1)
            with pytest.raises(Problem, match="rate_limited"):
                await limiter.charge(address, {}, 1)
            assert len(limiter._refused) <= 10
        with pytest.raises(Problem, match="rate_limited"):
            limiter.check("10.0.0.39", None)
        limiter.check("10.0.0.0", None)  # forgotten: it is asked about again


async def test_a_request_of_many_devices_asks_for_its_address_only() -> None:
    async with Redis(port=loopback.free()) as away:
        limiter = Limiter(Settings(), away)
        devices = {f"d{number}": 1 for number in range(limits.DEVICES_MAX)}
        assert len(limiter._asks("::1", devices, 64)) == limits.DEVICES_MAX + 1
        assert len(limiter._asks("::1", devices | {"more": 1}, 65)) == 1


def test_so_many_pseudonyms_are_remembered() -> None:
    for number in range(pseudonyms._CACHED + 100):
        pseudonym("key", "device", f"many-{number}")
    assert pseudonym.cache_info().currsize == pseudonyms._CACHED


def test_a_cursor_is_so_long_and_no_longer() -> None:
    for length in range(300, 420):
        text = cursors.make("rooms", "x" * length)
        if len(text) <= cursors.LENGTH_MAX:
            assert cursors.read(text, "rooms", str) == ("x" * length,)
            continue
        with pytest.raises(Problem, match="cursor"):
            cursors.read(text, "rooms", str)


class Answers:
    """Of a database that answers when it is told to."""

    def __init__(self, size: int = 1) -> None:
        self.go = asyncio.Event()
        self.asked = 0
        self._size = size

    async def load(self, question: str) -> Found:
        self.asked += 1
        await self.go.wait()
        return Found(question, msgspec.Raw(msgspec.json.encode("x" * self._size)), {}, now_ms(), "live")


@pytest.fixture
async def keeping(redis_port: int) -> Any:
    async with Redis(port=redis_port) as redis:
        settings = Settings()
        yield Kept(settings, RedisCopies(settings, redis, Rest()), Performance(cached=True))


async def test_so_many_questions_are_asked_at_a_time(keeping: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FLIGHTS_MAX", 3)
    answers = Answers()
    names = [f"{id(answers)} {number}" for number in range(4)]
    tasks = [asyncio.create_task(keeping.ask(name, lambda name=name: answers.load(name))) for name in names[:3]]
    async with asyncio.timeout(30):
        while answers.asked < 3:  # noqa: ASYNC110 (tasks of others have their turns)
            await asyncio.sleep(0.01)
    with pytest.raises(Problem, match="busy") as refused:
        await keeping.ask(names[3], lambda: answers.load(names[3]))
    assert refused.value.headers["Retry-After"]
    same = asyncio.create_task(keeping.ask(names[0], lambda: answers.load(names[0])))  # is one of the three
    await asyncio.sleep(0)
    answers.go.set()
    assert [told.tier for told in await asyncio.gather(*tasks, same)] == ["database"] * 4
    assert answers.asked == 3
    assert (await keeping.ask(names[3], lambda: answers.load(names[3]))).tier == "database"
    assert not keeping._flights


async def test_a_young_answer_is_stale_where_the_log_has_had_more_for_long() -> None:
    asked: list[tuple[dict[int, int], int]] = []

    def behind(positions: dict[int, int], bound_ms: int) -> bool:
        asked.append((positions, bound_ms))
        return positions[0] < 5

    keeping = Kept(Settings(gateway_stale_ms=7_000), None, Performance(cached=True), behind)
    stale = [
        keeping.reflects(Told(Found("", msgspec.Raw(b"1"), {0: at}, now_ms(), "live"), "database")).stale
        for at in (4, 5)
    ]
    assert stale == [True, False]
    assert asked == [({0: 4}, 7_000), ({0: 5}, 7_000)]


def test_lists_from_the_database_are_stale_where_the_log_has_had_more_for_long() -> None:
    """Whatever the snapshot says that they stand in for."""
    cold: Any = SimpleNamespace(tier="database", positions=None)
    none: Any = None
    reader = Reader(Settings(), none, cold, none, none, lambda positions, bound_ms: positions[0] < 5)
    young = Reflects("memory", {0: 9}, 0, 0, "live", False)
    found = [reader.from_lists(young, {0: at}) for at in (4, 5)]
    assert [(one.tier, one.positions, one.stale) for one in found] == [
        ("database", {0: 4}, True), ("database", {0: 5}, False),
    ]  # fmt: skip


async def test_what_is_too_large_is_not_kept(keeping: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "BYTES_MAX", 100)
    for size, asked in ((98, 1), (99, 2)):
        answers = Answers(size)
        answers.go.set()
        name = f"{id(answers)} {size}"
        for _ in range(2):
            await keeping.ask(name, lambda name=name, answers=answers: answers.load(name))
        assert answers.asked == asked


async def test_messages_have_so_many_events_and_gathering_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gathers for ten minutes would say nothing before that, if 50 records were not enough."""
    monkeypatch.setattr(hub, "POLL_RECORDS", 50)
    monkeypatch.setattr(hub, "BATCH_EVENTS", 20)
    settings = replace(settings, partitions=1, push_gather_ms=600_000)
    async with publisher(settings) as log, serving(settings) as served, sse(served, include="events") as ear:
        for number in range(200):  # each of them is a record, not a part of one
            await log.publish(some(1, number)[0])
            await log.flush()
        await ear.hears(150)
        sizes = [len(message["events"]) for message in ear.of("events")]
        assert max(sizes) <= 20 < 50
        heard = ear.heard
        assert heard == (await logged(settings))[: len(heard)]


async def test_messages_of_the_past_have_so_many_events(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "MESSAGE_EVENTS", 20)
    monkeypatch.setattr(playback, "JOIN_EVENTS", 30)
    settings = replace(settings, push_tail_events=100)
    async with publisher(settings) as log:
        for part in range(20):
            await publish(log, some(10, part * 10))
        async with serving(settings) as served:
            assert await served.gateway.hub.reached({}, LIMIT_S)
            for part in range(20, 30):
                await publish(log, some(10, part * 10))
            async with sse(served, include="events", **{"from": "0"}) as ear:
                await ear.until(lambda: ear.of("live"), "that it has joined")
                assert len(ear.heard) == 300
                sizes = [len(message["events"]) for message in ear.of("events")]
                assert max(sizes) <= 30 < 40
            heard = 0
            for message in ear.of("events"):
                heard += len(message["events"])
                if heard >= 220:
                    break
            async with sse(served, include="events", last_id=message["id"]) as again:  # all of it is in the tail
                await again.until(lambda: again.of("live"), "that it has joined")
                assert len(again.heard) == 300 - heard > 40
                assert max(len(one["events"]) for one in again.of("events")) <= 30


async def test_so_many_records_of_a_partition_are_read_ahead(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "RECORDS", 7)
    async with publisher(settings) as log:
        for part in range(40):
            await publish(log, some(5, part * 5))
        async with Past(settings, kafka_log(settings), Log(settings.events_topic, settings.partitions)) as found:
            start = await found.since(0)
            end = {number: at + 10_000 for number, at in start.items()}
            await found.begin(start, end)
            end = {place.partition: at - 1 for place, at in (await found._consumer.end_offsets(found._places)).items()}
            most = count = 0
            async for _ in found.until(end):
                count += 1
                most = max(most, *(len(heads) for heads in found._heads.values()))
            assert count >= 40
            assert 1 < most <= 7


async def test_so_many_who_are_out_are_read_from_postgres(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    async with database(settings) as pool:
        with psycopg.connect(settings.database_url) as connection:
            connection.execute(
                "INSERT INTO opt_toggles SELECT 'd' || n, now() - n * interval '1 second', gen_random_uuid(), true"
                " FROM generate_series(1, 50) n"
            )
            rows = connection.execute(query("push_opt_toggles"), {"most": 5}).fetchall()
        assert [row[0] for row in rows] == ["d5", "d4", "d3", "d2", "d1"]
        known = OptOuts(stored_in(pool), devices_max=5)
        await known.load()
        assert set(known._toggles) == {f"d{number}" for number in range(1, 6)}, "those that went last"
