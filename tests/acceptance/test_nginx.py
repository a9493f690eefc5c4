"""A real nginx in front of two gateways, one of them killed: nothing acknowledged is lost, nobody hears twice."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import httpx
import psycopg
import pytest
from redis import Redis

from deploy import context
from deploy.local import loopback
from projections.gateway.tokens import mint
from streams.settings import Settings
from tests.acceptance.front import SYNC, Device, Front, Listener
from tests.acceptance.stack import Stack, until
from tests.gateway.pushing import logged

KEY = "a key of a test, long enough to sign with it"
DEVICES = 8
BEFORE_S = float(os.environ.get("FRONT_BEFORE_S", "2"))
"""How long devices publish before one gateway is killed, and then again."""
ELSEWHERE = "127.0.0.9"
"""Another address of this machine: a client that is not the proxy."""


@pytest.fixture
def stack(make_settings: Callable[..., Settings]) -> Iterator[Stack]:
    with Stack(make_settings(session_timeout_s=6, gateway_key=KEY, gateway_proxies="127.0.0.1")) as one:
        yield one


def second_gateway(stack: Stack) -> tuple[int, subprocess.Popen[str]]:
    port = loopback.free()
    process = stack.start("gateway", FIELD_GATEWAY_PORT=str(port), FIELD_GATEWAY_METRICS_PORT="0")

    def answers() -> bool:
        assert process.poll() is None, process.communicate()[0]
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/health/live").status_code == 200
        except httpx.HTTPError:
            return False

    until(answers, "the second gateway is up")
    return port, process


@cache
def token(name: str) -> str:
    return mint(KEY, name, int(time.time()) + 3_600)


async def test_a_gateway_is_killed_behind_nginx(stack: Stack, tmp_path: Path) -> None:
    first = context.load(stack.environ).gateway_port
    second, process = await asyncio.to_thread(second_gateway, stack)
    with Front(tmp_path / "front", [first, second]).running() as front:
        await asyncio.to_thread(check_face, front)
        await check_addresses(stack.settings, front, first)
        start = ",".join(f"{number}:-1" for number in range(stack.settings.partitions))
        names = await asyncio.to_thread(front.names, DEVICES // 2, token)
        listeners = [
            Listener(front, token(name), "ws" if number % 2 else "sse", start) for number, name in enumerate(names)
        ]
        async with httpx.AsyncClient(base_url=front.url, verify=front.trust(), timeout=15) as client:
            devices = [Device(name, token(name), client) for name in names]
            hearing = [asyncio.create_task(one.listen()) for one in listeners]
            publishing = [asyncio.create_task(one.publish()) for one in devices]
            try:
                await asyncio.sleep(BEFORE_S)
                await holds(lambda: all(len(one.stored) > 5 for one in devices), "every device is answered")
                await holds(lambda: all(one.heard for one in listeners), "every listener hears")
                killed_s = time.monotonic()
                process.send_signal(signal.SIGKILL)
                at = [len(one.stored) for one in devices]
                await holds(lambda: all(len(one.stored) > n + 5 for one, n in zip(devices, at, strict=True)), "on")
                went_on_s = time.monotonic() - killed_s
                await asyncio.sleep(BEFORE_S)
                for one in devices:
                    one.stopping = True
                await asyncio.gather(*publishing)
                log = await logged(stack.settings)
                wanted = {place[:3] for place in log}
                await holds(lambda: all(set(one.heard) >= wanted for one in listeners), "all is heard by everybody")
            finally:
                await gone([*publishing, *hearing])
    await asyncio.to_thread(stack.field, "wait")
    check_log(stack.settings, devices, log)
    check_listeners(listeners, log)
    taken = [one for one in front.log() if (one["http.route"], one["http.response.status_code"]) == (SYNC, 200)]
    gateways = Counter(one["field.gateway"] for one in taken)
    assert {f"127.0.0.1:{first}", f"127.0.0.1:{second}"} <= set(gateways), "both have taken events"
    assert KEY not in (text := (front.folder / "errors").read_text())
    assert "token=" not in text + (front.folder / "access").read_text(), "tokens are in no log"
    print_figures(devices, listeners, log, went_on_s, gateways)


def check_face(front: Front) -> None:
    """What nginx itself says: TLS, HTTP/2, where to go, what is too large."""
    moved = httpx.get(f"http://127.0.0.1:{front.plain}/api/health", headers={"host": "localhost"})
    assert (moved.status_code, moved.headers["location"]) == (301, "https://localhost/api/health")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        trust = front.trust()
        trust.minimum_version = trust.maximum_version = version
        trust.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", front.port)) as line,
            trust.wrap_socket(line, server_hostname="localhost") as secure,
        ):
            assert secure.selected_alpn_protocol() == "h2"
    with httpx.Client(base_url=front.url, verify=front.trust()) as client:
        health = client.get("/api/health/live")
        assert health.json() == {"alive": True}
        assert "max-age" in health.headers["strict-transport-security"]
        large = client.post(SYNC, content=b"[" + b" " * 4_194_304)
        assert (large.status_code, large.json()["code"]) == (413, "too_large")
        assert large.headers["content-type"] == "application/problem+json"


async def check_addresses(settings: Settings, front: Front, gateway: int) -> None:
    """Limits count the client and not nginx, and nobody can be somebody else by saying so."""
    transport = httpx.AsyncHTTPTransport(verify=front.trust(), local_address=ELSEWHERE)
    event = b'{"id": "x"}'
    with Redis(port=settings.redis_port) as redis:
        redis.delete(*(f"gateway:limit:address:{one}" for one in (ELSEWHERE, "9.9.9.9", "127.0.0.1")))
        for url in (front.url, f"http://127.0.0.1:{gateway}"):
            async with httpx.AsyncClient(transport=transport, base_url=url) as client:
                headers = {"X-Forwarded-For": "9.9.9.9", "Authorization": f"Bearer {token('x')}"}
                answer = await client.post(SYNC, content=event, headers=headers)
                assert answer.status_code == 422, answer.text
            transport = httpx.AsyncHTTPTransport(local_address=ELSEWHERE)
        await holds(lambda: bool(redis.exists(f"gateway:limit:address:{ELSEWHERE}")), "the client is counted")
        assert not redis.exists("gateway:limit:address:9.9.9.9")
        assert not redis.exists("gateway:limit:address:127.0.0.1")


def check_log(settings: Settings, devices: list[Device], log: list[tuple[int, int, int, str]]) -> None:
    """What was answered stands where the answer says; once, unless it was sent again; and is one row in any case."""
    by_id: dict[str, list[tuple[int, int, int]]] = {}
    for *place, name in log:
        by_id.setdefault(name, []).append((place[0], place[1], place[2]))  # type: ignore[arg-type]
    for device in devices:
        for name, where in device.stored.items():
            assert where in by_id[name]
            assert len(by_id[name]) == 1 or name in device.again
    answered = [name for device in devices for name in device.stored]
    with psycopg.connect(settings.database_url) as connection:
        rows = connection.execute("SELECT id::text FROM consciousness_events").fetchall()
    counts = Counter(name for (name,) in rows)
    assert {counts[name] for name in answered} == {1}


def check_listeners(listeners: list[Listener], log: list[tuple[int, int, int, str]]) -> None:
    for one in listeners:
        assert Counter(one.heard) == Counter(place[:3] for place in log), "every place of the log once"
        for partition in {place[0] for place in one.heard}:
            mine = [place for place in one.heard if place[0] == partition]
            assert mine == sorted(mine), "in the order of the log"
    assert any(one.lines > 1 for one in listeners), "some were cut and came back"
    assert any(one.lines == 1 for one in listeners), "those at the other gateway noticed nothing"


def test_too_many_requests_are_told_so(tmp_path: Path) -> None:
    front = Front(tmp_path / "front", [loopback.free()], FRONT_REQUESTS="1", FRONT_BURST="2")
    with front.running(), httpx.Client(base_url=front.url, verify=front.trust()) as client:
        answers = [client.get("/api/health/live") for _ in range(6)]
    told = {(one.status_code, one.json()["code"], one.headers["retry-after"]) for one in answers}
    assert told == {(503, "away", "1"), (429, "too_often", "1")}


async def holds(condition: Callable[[], bool], what: str) -> None:
    """A bound on hanging only."""
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end, f"it never came about: {what}"
        await asyncio.sleep(0.05)


async def gone(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    faults = [result for result in results if isinstance(result, Exception)]
    assert not faults, faults


def print_figures(
    devices: list[Device], listeners: list[Listener], log: list[tuple[int, int, int, str]], went_on_s: float,
    gateways: Counter[str],
) -> None:  # fmt: skip
    answers = sum((one.answers for one in devices), Counter())
    print(f"\n{sum(len(one.stored) for one in devices)} events answered with their place, {len(log)} on the log, "
          f"{sum(len(one.again) for one in devices)} sent again; answers {dict(answers)}")  # fmt: skip
    print(f"events by gateway: {dict(gateways)}")
    print(f"every device went on {went_on_s:.2f} s after the kill; longest gap between two answers "
          f"{max(one.gap_s for one in devices):.2f} s")  # fmt: skip
    for kind in ("sse", "ws"):
        some = [one for one in listeners if one.kind == kind]
        print(f"{kind}: {len(some)} listeners, {sum(one.lines > 1 for one in some)} were cut and came back; longest "
              f"silence {max(one.silent_s for one in some):.2f} s; {len(log)} places heard once each")  # fmt: skip
