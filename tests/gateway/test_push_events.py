"""Events reach their listeners: once, in the log's order, filtered, and again from where a listener was cut off."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from projections.gateway import groups
from streams.events import Event
from streams.settings import Settings
from tests.fixtures.gateway import serving
from tests.gateway.pushing import heard_in, in_order, logged, publish, publisher, sse, ws, ws_url
from tests.integration.projecting import until
from tests.worlds import say


def some(count: int, start: int = 0) -> list[Event]:
    """Of nine devices, some of them in rooms: on all partitions."""
    return [
        say(f"dev-{n % 9}", "BREATH" if n % 3 else "BLOOM", n / 10, room=f"room-{n % 2}" if n % 4 == 0 else None,
            intensity=n % 10 / 10, at=(n % 20, n % 7), seq=n)
        for n in range(start, start + count)
    ]  # fmt: skip


async def test_every_event_once_and_in_order(settings: Settings) -> None:
    async with publisher(settings) as log, serving(settings) as served:
        async with (
            sse(served, include="events") as over_http,
            ws(served, filters={"include": ["events"]}) as (over_ws, _),
            sse(served) as other,
        ):
            for part in range(10):
                await publish(log, some(60, part * 60))
            await publish(log, [say("zoe", "OPT_OUT", 100), say("yan", "OPT_IN", 100)])
            expected = await logged(settings)
            assert len(expected) == 602
            for ear in (over_http, over_ws, other):
                await ear.hears(602)
                assert sorted(ear.heard) == expected
                assert in_order(ear.heard)
        first = next(event for event in over_http.of("events")[0]["events"] if event["type"] == "BLOOM")
        assert set(first) >= {"id", "type", "device_id", "timestamp", "intensity", "log", "received", "position"}
        assert set(first["position"]) == {"x", "y"}
        messages = over_http.of("events")
        assert len(messages) < 300, "gathered, not one by one"
        before = {number: -1 for number in range(settings.partitions)}
        for message in messages:  # an id says what was heard up to there
            log, _, vector = message["id"].partition("~")
            assert log == served.gateway.target.log.id
            positions = dict(map(int, pair.split(":")) for pair in vector.split(","))
            for partition, offset, _, _ in heard_in([message]):
                assert before[partition] < offset <= positions[partition]
            before = positions


@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        ({"types": "BLOOM"}, lambda e: e["type"] == "BLOOM"),
        ({"room": "room-0"}, lambda e: e.get("room_id") == "room-0"),
        ({"device": "dev-3,dev-4"}, lambda e: e["device_id"] in ("dev-3", "dev-4")),
        ({"box": "2,1,9.5,4"}, lambda e: 2 <= e["position"]["x"] <= 9.5 and 1 <= e["position"]["y"] <= 4),
        ({"min_intensity": "0.7"}, lambda e: e["intensity"] >= 0.7),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_only_what_was_asked_for(settings: Settings, asked: dict[str, str], passes: Any) -> None:
    async with (
        publisher(settings) as log,
        serving(settings) as served,
        sse(served, include="events") as whole,
        sse(served, include="events", **asked) as part,
    ):
        await publish(log, some(200))
        await whole.hears(200)
        events = [event for message in whole.of("events") for event in message["events"]]
        wanted = [event["id"] for event in events if passes(event)]
        assert 0 < len(wanted) < 200
        await part.hears(len(wanted))
        assert [one[3] for one in part.heard] == wanted


async def test_equal_filters_are_encoded_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    encode = groups.events_message

    def counted(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        return encode(*given)

    monkeypatch.setattr(groups, "events_message", counted)
    async with (
        publisher(settings) as log,
        serving(settings) as served,
        sse(served, include="events", types="BLOOM,BREATH") as one,
        sse(served, types="BREATH,BLOOM", include="events") as two,
        ws(served, filters={"types": ["BLOOM", "BREATH"], "include": ["events"]}) as (three, _),
        sse(served, include="events") as four,
    ):
        assert len(served.gateway.hub.groups) == 2
        await publish(log, some(1))
        for ear in (one, two, three, four):
            await ear.hears(1)
        assert calls == 2


@pytest.mark.parametrize("tail", [20_000, 100], ids=["from the tail", "from the log"])
@pytest.mark.parametrize("over", ["sse", "ws"])
async def test_who_was_cut_off_misses_nothing(settings: Settings, over: str, tail: int) -> None:
    settings = replace(settings, push_tail_events=tail)
    async with publisher(settings) as log, serving(settings) as served:
        async with sse(served, include="events") as ear:
            await publish(log, some(100))
            await ear.hears(100)
        await publish(log, some(400, 100))
        again = (
            sse(served, last_id=ear.id, include="events")
            if over == "sse"
            else ws(served, last_id=ear.id, filters={"include": ["events"]})
        )
        async with again as found:
            other = found[0] if isinstance(found, tuple) else found
            await other.until(lambda: other.of("live"), "that it has joined")
            await publish(log, some(50, 500))
            await other.hears(450)
        heard = ear.heard + other.heard
        assert sorted(heard) == await logged(settings)
        assert in_order(heard)
        assert len(other.of("live")) == 1


async def test_a_listener_of_another_gateway_may_be_ahead(settings: Settings) -> None:
    """It comes back to a gateway that has not heard yet what it has: nothing twice."""
    async with publisher(settings) as log, serving(settings) as one, serving(settings) as other:
        async with sse(one, include="events") as ear, sse(other, include="events") as theirs:
            await publish(log, some(20))
            await ear.hears(20)
            await theirs.hears(20)
        async with sse(other, last_id=ear.id, include="events") as again:
            await publish(log, some(20, 20))
            await again.hears(20)
            assert sorted(ear.heard + again.heard) == await logged(settings)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("types=SNEEZE", "bad_filter"),
        ("box=1,2,3", "bad_filter"),
        ("box=5,0,1,1", "bad_filter"),
        ("min_intensity=nan", "bad_filter"),
        ("min_intensity=2", "bad_filter"),
        ("include=all", "bad_filter"),
        ("from=yesterday", "bad_time"),
        ("from=2026-01-01T00:00:00", "bad_time"),
        ("from=0&speed=-1", "bad_speed"),
        ("last_event_id=tomorrow", "bad_position"),
        ("last_event_id=99:1", "bad_position"),
    ],
)
async def test_what_cannot_be_meant_is_refused(settings: Settings, query: str, code: str) -> None:
    async with publisher(settings), serving(settings) as served, httpx.AsyncClient(base_url=served.url) as client:
        answer = await client.get(f"/api/consciousness/stream?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert not served.gateway.hub.listeners


async def test_too_far_back_is_said(settings: Settings) -> None:
    settings = replace(settings, push_back_records=50, push_tail_events=100)
    async with publisher(settings) as log, serving(settings) as served, httpx.AsyncClient(base_url=served.url) as http:
        async with sse(served, include="events") as ear:
            start = ear.id
            for part in range(10):
                await publish(log, some(30, part * 30))
                await ear.hears(30 * (part + 1))  # gathered all at once they would be in the tail as a whole
        answer = await http.get("/api/consciousness/stream", headers={"Last-Event-ID": start})
        assert (answer.status_code, answer.json()["code"]) == (410, "too_far_back")
        assert "at most 50" in answer.json()["detail"]


async def test_no_more_listeners_than_there_is_room_for(settings: Settings) -> None:
    settings = replace(settings, push_connections_max=2)
    async with publisher(settings), serving(settings) as served, httpx.AsyncClient(base_url=served.url) as client:
        async with sse(served), ws(served):
            full = await client.get("/api/consciousness/stream")
            assert (full.status_code, full.json()["code"]) == (503, "full")
            assert int(full.headers["retry-after"]) > 0
            with pytest.raises(InvalidStatus) as refused:
                await connect(ws_url(served))
            assert refused.value.response.status_code == 503
            assert json.loads(refused.value.response.body or b"")["code"] == "full"
        await until(lambda: not served.gateway.hub.listeners, "that they have left")
        async with sse(served):
            pass


async def test_pages_of_others_may_not_open_a_socket(settings: Settings) -> None:
    settings = replace(settings, gateway_origins="")
    async with publisher(settings), serving(settings) as served:
        with pytest.raises(InvalidStatus) as refused:
            await connect(ws_url(served), origin="https://elsewhere.example")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
        async with connect(ws_url(served), origin=served.url), connect(ws_url(served)):  # type: ignore[arg-type]
            pass
