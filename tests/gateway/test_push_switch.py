"""The field grows into a topic with more partitions while listeners are there: the push goes over with its readers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from projections.gateway import crossing
from projections.gateway.target import Target
from projections.generations import enter
from streams import topics
from streams.archive.history import ArchiveHistory
from streams.archive.publish import publish as publish_archive
from streams.archive.publish import published
from streams.archive.store import Store
from streams.archive.write import archive
from streams.events import Event
from streams.history import KafkaHistory
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.validate import LIMITS
from tests.fixtures.gateway import Serving, serving
from tests.gateway.pushing import Ear, in_order, logged, publish, publisher, sse, ws
from tests.gateway.reading import eventually
from tests.gateway.test_out_generations import switch
from tests.gateway.test_push_events import some
from tests.integration.projecting import database, until


class Growing(NamedTuple):
    """A field that is about to grow: publishers of both topics, and what operators do."""

    old: Settings
    new: Settings
    to_old: LogPublisher
    to_new: LogPublisher

    async def copy(self) -> None:
        """``field archive --all`` and ``field publish --archive`` into the new topic."""
        store = Store(self.old.archive, self.old.events_topic)
        async with KafkaHistory(self.old) as history:
            await archive(history, store, self.old.partitions, rest=True)
        marks = await published(self.new, self.old.events_topic)
        async with LogPublisher(self.new, "frame") as to:
            await publish_archive(ArchiveHistory(store), to, marks, LIMITS)

    async def switch(self) -> None:
        await asyncio.to_thread(switch, self.old, self.new.generation)


@pytest.fixture
def old(make_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    return make_settings(partitions=2, archive=str(tmp_path / "archive"))


@asynccontextmanager
async def growing(old: Settings) -> AsyncIterator[Growing]:
    name = f"{old.generation}-wide"
    new = replace(
        old, generation=name, partitions=3, events_topic=f"{name}.events", changes_topic=f"{name}.changes",
        rejected_topic=f"{name}.rejected",
    )  # fmt: skip
    async with database(old), publisher(old) as to_old:
        await asyncio.to_thread(enter, new)
        await topics.create(new)
        async with LogPublisher(new) as to_new:
            yield Growing(old, new, to_old, to_new)


async def crossed(served: Serving, to: Settings) -> None:
    async def there() -> bool:
        log = served.gateway.hub.log
        return log is not None and log.topic == to.events_topic

    await eventually(there, "that the push has gone over")


def ids(events: Sequence[Event]) -> list[str]:
    return sorted(event.id for event in events)


def heard(ear: Ear) -> list[str]:
    return sorted(id for *_, id in ear.heard)


async def test_who_is_there_hears_everything_once_across_the_switch(old: Settings) -> None:
    async with growing(old) as field, serving(old) as served:
        async with (
            sse(served, include="events") as over_http,
            ws(served, filters={"include": ["events"]}) as (over_ws, _),
        ):
            said = some(60)
            await publish(field.to_old, said)
            await over_http.hears(60)
            await field.copy()
            await publish(field.to_old, late := some(20, 60))
            await field.copy()
            await field.switch()
            for ear in (over_http, over_ws):
                await ear.until(lambda ear=ear: ear.of("moved"), "that the log is another one")
            await publish(field.to_new, fresh := some(40, 80))
            await over_http.hears(120)
            await publish(field.to_old, lost := some(10, 120))  # somebody had not heard of it
            await field.copy()
            said += late + fresh + lost
            for ear in (over_http, over_ws):
                await ear.hears(130)
                assert heard(ear) == ids(said)
                (moved,) = ear.of("moved")
                assert moved["left"].partition("~")[0] != moved["id"].partition("~")[0]
                assert ear.id.count(":") == 3
                place = ear.messages.index(moved)
                after = [message for message in ear.messages[place:] if message["type"] == "events"]
                assert sum(len(message["events"]) for message in after) == 50
        async with sse(served, last_id=moved["id"], include="events") as again:
            await again.until(lambda: again.of("live"), "that it has joined")
            assert heard(again) == ids(fresh + lost), "nothing of before a second time"


async def test_what_came_before_a_gateway_began_is_not_pushed_when_it_hears_of_an_old_switch(
    old: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, ask = asyncio.Event(), Target._try

    async def away(self: Target) -> None:
        if answers.is_set():
            await ask(self)

    monkeypatch.setattr(Target, "_try", away)
    monkeypatch.setattr(crossing, "CLOCKS_MS", 0)
    async with growing(old) as field:
        await publish(field.to_old, some(10))
        await field.copy()
        await field.switch()
        await publish(field.to_new, some(30, 10))
        await asyncio.sleep(0.1)
        async with serving(old) as served, sse(served, include="events") as ear:
            await crossed(served, field.old)
            answers.set()
            await crossed(served, field.new)
            await publish(field.to_new, fresh := some(5, 40))
            await ear.hears(5)
            assert heard(ear) == ids(fresh)


async def test_who_comes_back_with_positions_of_another_log_is_told_so(old: Settings) -> None:
    async with growing(old) as field, serving(old) as served, httpx.AsyncClient(base_url=served.url) as client:
        async with sse(served, include="events") as ear:
            await publish(field.to_old, some(20))
            await ear.hears(20)
        await field.copy()
        await field.switch()
        await crossed(served, field.new)
        answer = await client.get("/api/consciousness/stream", headers={"Last-Event-ID": ear.id})
        assert (answer.status_code, answer.json()["code"]) == (410, "other_log"), answer.text
        async with ws(served, last_id=ear.id) as (over_ws, connection):
            (problem,) = over_ws.of("problem")
            assert (problem["status"], problem["code"]) == (410, "other_log")
            await connection.send(json.dumps({"type": "subscribe", "filters": {"include": ["events"]}}))
            await over_ws.until(lambda: over_ws.id, "its first positions")
            await publish(field.to_new, some(5, 20))
            await over_ws.hears(5)
        async with sse(served, last_id=over_ws.id, include="events") as again:
            await publish(field.to_new, some(5, 25))
            await again.hears(5)
            assert len(heard(again)) == 5
        await until(lambda: not served.gateway.hub.listeners, "that all have left")


async def test_the_past_of_a_log_made_of_an_archive_has_the_times_of_what_it_is_a_copy_of(old: Settings) -> None:
    async with growing(old) as field, serving(old) as served:
        began_ms = int(time.time() * 1000)
        await publish(field.to_old, before := some(30))
        await asyncio.sleep(1.2)  # events of one second share a frame, and its time
        middle_ms = int(time.time() * 1000)
        await publish(field.to_old, after := some(30, 30))
        await field.copy()
        await field.switch()
        await crossed(served, field.new)
        for start_ms, wanted in ((0, before + after), (middle_ms, after)):
            async with sse(served, include="events", **{"from": str(start_ms)}) as ear:
                await ear.until(lambda ear=ear: ear.of("live"), "that it has joined")
                assert heard(ear) == ids(wanted)
                assert in_order(ear.heard)
        assert sorted(id for *_, id in await logged(field.new)) == ids(before + after)
        slowly = {"from": str(began_ms), "speed": "1"}
        async with sse(served, include="events", **slowly) as ear:
            await ear.hears(30)
            first = time.monotonic()
            assert len(ear.heard) == 30
            await ear.hears(60)
            assert time.monotonic() - first > 0.5, "at the pace at which they were received, not copied"


async def test_who_hears_the_past_during_the_switch_is_let_go(old: Settings) -> None:
    async with growing(old) as field, serving(old) as served:
        await publish(field.to_old, some(20))
        slowly = {"from": str(int(time.time() * 1000) - 500), "speed": "0.5"}
        async with (
            sse(served, include="events", **slowly) as over_http,
            ws(served, **slowly) as (over_ws, connection),
        ):
            await field.switch()
            for ear in (over_http, over_ws):
                await ear.until(lambda ear=ear: ear.of("bye"), "the end")
                assert ear.of("bye")[0]["reason"] == "moved"
            await connection.wait_closed()
            assert (connection.close_code, connection.close_reason) == (1012, "moved")


async def test_positions_to_wait_for_are_of_one_log(old: Settings) -> None:
    """What a device is told before the switch is refused after it, and partitions are those of the other log."""
    event = {"type": "ENTER", "device_id": "ana", "room_id": "hall", "intensity": 0.5, "v": 1, "data": {}}
    event["timestamp"] = int(time.time() * 1000)
    async with growing(old) as field, serving(old) as served:
        client = httpx.AsyncClient(base_url=f"{served.url}/api/consciousness", timeout=30)
        async with client:

            async def said(number: int) -> str:
                answer = await client.post("/sync", json={**event, "id": f"00000000-0000-4000-8000-{number:012}"})
                assert answer.status_code == 200, answer.text
                found = answer.json()
                return f"{found['log']}~" + ",".join(f"{part}:{at}" for part, at in found["positions"].items())

            before = await said(1)
            await field.switch()

            async def over() -> bool:
                return served.gateway.intake.gather.topic == field.new.events_topic

            await eventually(over, "the new topic")
            after = await said(2)
            assert before.partition("~")[0] != after.partition("~")[0]
            gone = await client.get("/state", params={"at_least": before})
            assert (gone.status_code, gone.json()["code"]) == (410, "other_log")
            for wanted in (after, "2:0"):  # known, and nobody folds here
                late = await client.get("/state", params={"at_least": wanted})
                assert late.json()["code"] in ("no_field", "not_yet"), late.text
            bad = await client.get("/state", params={"at_least": "3:0"})
            assert (bad.status_code, bad.json()["parameter"]) == (400, "at_least")
