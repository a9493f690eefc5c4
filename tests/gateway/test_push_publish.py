"""Publishing over a WebSocket: who may, how much, and how many at a time; refusals are messages, and the line stays."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from projections.gateway import push_socket
from projections.gateway.intake import accept
from projections.gateway.tokens import mint
from streams.settings import Settings
from tests.gateway.devices import SYNC, breath, count_of, log_of, reached
from tests.gateway.pushing import LIMIT_S, ws_url
from tests.integration.projecting import until


@contextlib.asynccontextmanager
async def talking(it: Any, token: str = "") -> AsyncIterator[ClientConnection]:
    """A device's WebSocket; ``token`` as browsers give it."""
    query = f"?token={token}" if token else ""
    async with asyncio.timeout(LIMIT_S), connect(ws_url(it.served) + query, max_size=None) as socket:
        yield socket


async def said(socket: ClientConnection, *events: dict[str, Any], request: Any = 7) -> dict[str, Any]:
    """The answer to publishing these."""
    await socket.send(json.dumps({"type": "publish", "request": request, "events": events}))
    while (found := json.loads(await socket.recv()))["type"] not in ("published", "problem"):
        pass
    assert found["request"] == request
    return dict(found)


async def test_a_token_in_the_query_is_asked_for_and_looked_at(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(gateway_key="secret")
    soon, past = int(time.time()) + 60, int(time.time()) - 1
    good = mint("secret", "ana", soon)
    wrong = {
        "": "no_token", "nonsense": "bad_token", mint("other", "ana", soon): "bad_token",
        mint("secret", "ana", past): "bad_token", good[:-2]: "bad_token",
    }  # fmt: skip
    async with reached(settings) as it:
        for token, code in wrong.items():
            async with talking(it, token) as socket:
                for _ in range(2):  # it is told, and the line stays
                    found = await said(socket, breath("ana"))
                    assert (found["type"], found["status"], found["code"]) == ("problem", 401, code), token
                    assert found["title"]
                    assert found["detail"]
        assert count_of(await log_of(settings)) == 0
        async with talking(it, good) as socket:
            assert (await said(socket, breath("ana")))["accepted"] == 1
        assert count_of(await log_of(settings)) == 1


async def test_a_device_writes_as_no_other(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(gateway_key="secret")
    async with reached(settings) as it, talking(it, mint("secret", "ana", int(time.time()) + 60)) as socket:
        found = await said(socket, breath("bea"), breath("ana"))
        assert (found["type"], found["accepted"], found["rejected"]) == ("published", 1, 1)
        assert [(one["verdict"], one.get("reason")) for one in found["events"]] == [
            ("forbidden", "forbidden"), ("accepted", None),
        ]  # fmt: skip
        alone = await said(socket, breath("bea"))
        assert (alone["accepted"], alone["events"][0]["verdict"]) == (0, "forbidden")
        log = await log_of(settings)
        assert [event.device_id for entries in log.values() for one in entries for event in one.events] == ["ana"]


async def test_who_says_too_much_is_told_when_to_come_again(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(gateway_device_rate=1.0, gateway_burst_s=3, gateway_address_rate=0.0)
    async with reached(settings) as it, talking(it) as socket:
        assert (await said(socket, *[breath("ana") for _ in range(3)]))["accepted"] == 3
        for _ in range(2):
            found = await said(socket, *[breath("ana") for _ in range(3)])
            assert (found["type"], found["status"], found["code"]) == ("problem", 429, "rate_limited")
            assert found["violated-policies"] == ["device"]
            assert found["detail"]
        assert (await said(socket, breath("bea")))["accepted"] == 1, "another device has a bucket of its own"
        assert count_of(await log_of(settings)) == 4


async def test_messages_and_bodies_share_the_room_for_what_is_read(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is in a message beside its events: it is kept until that is answered."""
    go = asyncio.Event()

    async def slowly(*given: Any) -> Any:
        await go.wait()
        return await accept(*given)

    monkeypatch.setattr(push_socket, "accept", slowly)
    settings = make_settings(gateway_waiting_bytes=65_536)
    long = "x" * 40_000
    async with reached(settings) as it, talking(it) as one, talking(it) as other:
        reading = it.served.gateway.intake.reading
        first = asyncio.create_task(said(one, breath("ana"), request=long))
        await until(lambda: reading.bytes > 40_000, "that it counts")
        busy = await said(other, breath("bea"), request=long)
        assert (busy["type"], busy["status"], busy["code"]) == ("problem", 503, "busy")
        assert busy["detail"]
        body = await it.client.post(SYNC, content=b" " * 40_000, headers={"content-type": "application/json"})
        assert (body.status_code, body.json()["code"]) == (503, "busy")
        go.set()
        assert (await first)["accepted"] == 1
        assert (await said(other, breath("bea"), request=long))["accepted"] == 1
        assert reading.bytes == 0, "what was answered is free again"
