"""The gateway of an embedded field as its users meet it: one process, killed at any moment, and what its file keeps."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser

from deploy import processes
from deploy.embedded.keeper import InProcess
from projections.embedded.rows import FILE
from projections.embedded.watch import EmbeddedWatch
from streams.embedded.store import file_of
from streams.errors import FieldError
from streams.settings import Settings
from tests.browser.visiting import Visit
from tests.conformance.test_gateway import projected
from tests.embedded.process import Home, Running
from tests.fixtures.gateway import Serving, serving
from tests.gateway.devices import SYNC, breath, log_of
from tests.gateway.filling import lately
from tests.gateway.pushing import publish, publisher, sse
from tests.gateway.reading import eventually
from tests.worlds import say

KILLS = 4
BASE = "/api/consciousness"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"), parts="embedded", checkpoint_ms=50, publish_ms=50)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", FIELD_CHECKPOINT_MS="200", FIELD_PUBLISH_MS="100")


def address(running: Running) -> str:
    """Of the page, as the start says it."""
    return running.says("in a browser").split()[1].rstrip("/")


class Device:
    """Publishes without end; ``sent`` by id, ``acknowledged`` those that were answered for."""

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.acknowledged: dict[str, tuple[int, int, int]] = {}
        self.positions: dict[str, int] = {}

    async def publish(self, client: httpx.AsyncClient, events: list[dict[str, Any]]) -> None:
        """One request; an answer that never came is none."""
        self.sent |= {event["id"] for event in events}
        try:
            answer = await client.post(SYNC, json=events)
        except httpx.TransportError:
            return
        if answer.status_code != 200:
            return
        told = answer.json()
        self.positions |= told["positions"]
        for said in told["events"]:
            place = said["position"]
            self.acknowledged[said["id"]] = place["partition"], place["offset"], place["index"]

    async def on(self, client: httpx.AsyncClient, seed: int) -> None:
        chance = random.Random(seed)
        while True:
            count = chance.randint(1, 20)
            await self.publish(client, [breath(f"dev-{chance.randrange(30)}", room_id="hall") for _ in range(count)])


async def test_what_was_acknowledged_is_there_once_whatever_is_killed(home: Home) -> None:
    """Publish over HTTP, kill -9 in the middle, start again: the log, the state and the push have all of it, once."""
    device, chance = Device(), random.Random(7)
    for _ in range(KILLS):
        with home.start("run", "--embedded", "--rate", "0") as running:
            async with httpx.AsyncClient(base_url=await asyncio.to_thread(address, running), timeout=30) as client:
                publishing = [asyncio.create_task(device.on(client, seed)) for seed in range(3)]
                wanted = len(device.acknowledged) + chance.randint(50, 200)
                await eventually(lambda at=wanted: _true(len(device.acknowledged) >= at), "acknowledgements")
                running.kill()
                for task in publishing:
                    task.cancel()
                await asyncio.gather(*publishing, return_exceptions=True)
    with home.start("run", "--embedded", "--rate", "0") as running:
        url = await asyncio.to_thread(address, running)
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            at_least = ",".join(f"{number}:{at}" for number, at in device.positions.items())
            state = (await client.get(f"{BASE}/state", params={"at_least": at_least})).json()
            assert state["data"]["rooms_open"] == 1
            assert all(state["data"]["positions"][number] >= at for number, at in device.positions.items())
            async with sse(_at(url), include="events", **{"from": "0", "speed": "max"}) as ear:
                await ear.until(lambda: ear.of("live"), "that it has joined")
                heard = ear.heard
    times = Counter(id for *_, id in heard)
    assert set(times.values()) == {1}, "heard once each"
    assert set(device.acknowledged) <= set(times) <= device.sent
    assert {id: (partition, offset, index) for partition, offset, index, id in heard}.items() >= (
        device.acknowledged.items()
    )


async def test_the_page_opens_and_its_stream_lives(home: Home) -> None:
    with home.start("run", "--embedded", "--devices", "30", "--rate", "100") as running:
        url = await asyncio.to_thread(address, running)
        assert [found.pid for found in processes.read_all(home.folder)] == [running.pid], "one process"
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            page = await client.get("/")
            assert page.status_code == 200
            assert "text/html" in page.headers["content-type"]
            async with sse(_at(url)) as ear:
                await ear.hears(100)
                await ear.until(lambda: any(one["active_nodes"] == 30 for one in ear.of("field")), "all thirty")
            health = (await client.get("/api/health")).json()
        assert set(health["parts"]) == {"sqlite", "worker", "projector"}
        assert all(part["up"] for part in health["parts"].values())
        code, rest = await asyncio.to_thread(running.interrupt)
    assert code == 0, rest


async def test_in_the_background_and_where_the_port_is_taken(home: Home) -> None:
    home.environ["FIELD_PARTS"] = "embedded"
    del home.environ["FIELD_GATEWAY_PORT"]
    said = await asyncio.to_thread(home.field, "up")
    try:
        url = next(line for line in said.splitlines() if "the live page: " in line).split()[-1]
        other = Home(home.folder.parent / "other")
        other.environ["FIELD_GATEWAY_PORT"] = url.rsplit(":", 1)[1].rstrip("/")
        refused = await asyncio.to_thread(lambda: other.field("run", "--embedded", code=7))
        assert "FIELD_GATEWAY_PORT names another port" in refused
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            event = breath("ana", type="BLOOM", data={})
            answer = await client.post(SYNC, json=event)
            ((number, at),) = answer.json()["positions"].items()
            state = await client.get(f"{BASE}/particles", params={"at_least": f"{number}:{at}"})
            assert [one["id"] for one in state.json()["data"]["particles"]] == [event["id"]]
    finally:
        await asyncio.to_thread(home.field, "down")


async def test_a_log_that_is_locked_is_away_and_then_goes_on(settings: Settings) -> None:
    settings = replace(settings, gateway_ack_ms=300)
    async with reached(settings) as (_, client):
        with closing(sqlite3.connect(file_of(settings), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = await client.post(SYNC, json=breath())
            assert refused.status_code == 503, refused.text
            assert "retry-after" in refused.headers
            assert (await client.get(f"{BASE}/state")).status_code == 200, "reading goes on"
            other.execute("ROLLBACK")

        async def taken() -> bool:
            return (await client.post(SYNC, json=breath())).status_code == 200

        await eventually(taken, "a log that takes events again")


async def test_requests_at_the_same_time_are_few_transactions(settings: Settings) -> None:
    async with reached(settings) as (served, client):
        assert (await client.post(SYNC, json=breath())).status_code == 200, "there is a line"
        line: Any = served.gateway.intake.gather._line
        append, sets = line._append, []

        def counted(found: Any) -> Any:
            sets.append(len(found))
            return append(found)

        line._append = counted
        events = [[breath(f"dev-{n}-{m}") for m in range(40)] for n in range(10)]
        answers = await asyncio.gather(*(client.post(SYNC, json=some) for some in events))
        assert [answer.json()["accepted"] for answer in answers] == [40] * 10
    assert max(sets) == settings.partitions, "of all partitions at once"
    assert sum(len(entry.events) for some in (await log_of(settings)).values() for entry in some) == 401


@pytest.mark.parametrize("what", ["damaged", "of another version", "of another log"])
async def test_rows_that_do_not_fit_are_written_anew(settings: Settings, what: str) -> None:
    async with publisher(settings) as to:
        await publish(to, [say("ana", "BLOOM", n, room="hall") for n in range(20)])
    async with serving(settings) as served:
        await projected(served)
    rows = file_of(settings).with_name(FILE)
    if what == "damaged":
        rows.write_bytes(b"no database" * 1_000)
    else:
        with closing(sqlite3.connect(rows)) as db:
            db.execute(
                "PRAGMA user_version = 99" if what == "of another version" else "UPDATE positions SET position = 999"
            )
            db.execute("DELETE FROM events WHERE timestamp % 2 = 0")
            db.commit()
    async with serving(settings) as served, httpx.AsyncClient(base_url=served.url) as client:
        await projected(served)
        found = (await client.get(f"{BASE}/archaeology?room=hall")).json()
    assert len(found["data"]["events"]) == 20


async def test_who_went_out_before_the_start_is_not_pushed(settings: Settings) -> None:
    """Whoever wants the past waits until it is known who is out: what is played has no OPT_OUT in it."""
    async with publisher(settings) as to:
        await publish(to, [say("ana", "BREATH", 1), say("ana", "OPT_OUT", 2), say("bea", "BREATH", 3)])
        await asyncio.sleep(0.1)
        since_ms = int(time.time() * 1000)
        await publish(to, [say("ana", "BREATH", 4), say("bea", "BREATH", 5)])
        async with serving(settings) as served, sse(served, include="events", **{"from": str(since_ms)}) as ear:
            await ear.until(lambda: ear.of("live"), "that it has joined")
    devices = [event["device_id"] for message in ear.of("events") for event in message["events"]]
    assert devices == ["bea"]


async def test_a_question_about_too_much_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with publisher(settings) as to:
        await publish(to, [say(f"dev-{n % 50}", "BREATH", n / 100) for n in range(20_000)])
    async with reached(settings) as (served, client):
        await projected(served)
        monkeypatch.setattr("projections.embedded.rows.ANSWER_S", 0.0)
        for path in ("history?resolution=1d&from=0", "archaeology/patterns"):
            found = await client.get(f"{BASE}/{path}")
            assert (found.status_code, found.headers["retry-after"] != "") == (503, True), found.text


async def test_a_room_that_is_over_is_told(settings: Settings) -> None:
    async with publisher(settings) as to:
        await publish(to, [lately("ana", "BLOOM", 3_600, room="hall")])
    async with reached(settings) as (_, client):

        async def there() -> bool:
            return (await client.get(f"{BASE}/rooms/hall")).status_code == 200

        await eventually(there, "the room")
        found = (await client.get(f"{BASE}/rooms/hall")).json()
        assert (found["data"]["open"], found["data"]["devices"]) == (False, 1)
        assert (await client.get(f"{BASE}/rooms/attic")).status_code == 404


async def test_a_part_that_ends_ends_the_field(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: EmbeddedWatch, stop: asyncio.Event) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(EmbeddedWatch, "run", broken)
    ended = asyncio.Event()
    keeper = InProcess(replace(settings, worker_metrics_port=0, gateway_port=0), None, print, ended.set)
    await keeper.start()
    async with asyncio.timeout(60):
        await ended.wait()
    with pytest.raises(FieldError, match="a part of the gateway"):
        await keeper.stop()


async def test_a_browser_shows_the_embedded_field(browser: Browser, settings: Settings) -> None:
    async with publisher(settings) as to, serving(settings) as served:
        await publish(to, [lately(f"dev-{n}", "BLOOM", room="hall", at=(n, n)) for n in range(12)])
        context = await browser.new_context()
        visit = Visit(await context.new_page(), served.url)
        await visit.page.goto(served.url)
        await visit.mode("live", "fresh")
        await visit.until("document.querySelectorAll('#rooms-list li').length === 1")
        assert await visit.text("people") == "12"
        assert visit.faults == []
        assert visit.asked == {served.url}
        await context.close()


@asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[tuple[Serving, httpx.AsyncClient]]:
    async with serving(settings) as served, httpx.AsyncClient(base_url=served.url, timeout=60) as client:
        yield served, client


def _at(url: str) -> Serving:
    """For ``sse``, which only wants to know where."""
    return Serving(url, None, None)  # type: ignore[arg-type]


async def _true(found: bool) -> bool:
    return found
