"""The frame of the gateway: problems, faults, metrics, and parts that end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from prometheus_client import generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.local import loopback
from projections import pool
from projections.gateway import app, target
from projections.gateway.context import Gateway, gateway_of
from projections.gateway.problems import Problem, answer
from streams.metrics import REGISTRY
from streams.settings import Settings
from tests.fixtures.gateway import serving


@pytest.fixture
def alone() -> Settings:
    """Settings under which no store is there."""
    gone = loopback.free()
    url = f"postgresql://field:field@127.0.0.1:{gone}/field"
    return replace(
        Settings(), kafka_brokers=f"127.0.0.1:{gone}", database_url=url, redis_port=gone, gateway_metrics_port=0
    )


@pytest.fixture
def area(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    async def told(request: Request) -> Response:
        return answer({"generation": gateway_of(request).settings.generation})

    async def refused(request: Request) -> Response:
        raise Problem(503, "kafka_away", "the log does not answer", retry_after_s=2, part="kafka")

    async def broken(request: Request) -> Response:
        raise RuntimeError("secret of ours")

    routes = [Route("/told/{id}", told), Route("/refused", refused), Route("/broken", broken)]
    monkeypatch.setattr(app, "AREAS", (*app.AREAS, lambda: routes))
    return iter(())


async def test_ends_without_waiting_for_a_store_that_is_away(alone: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "FIRST_S", 600.0)
    monkeypatch.setattr(pool, "TIMEOUT_S", 600.0)
    async with asyncio.timeout(30), serving(alone):  # a bound on hanging
        await asyncio.sleep(0.1)


async def test_answers_problems_and_faults_without_any_store(alone: Settings, area: None) -> None:
    async with serving(alone) as served, httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/told/1")).json() == {"generation": "live"}
        refused = await client.get("/refused")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json() == {
            "type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "kafka_away",
            "detail": "the log does not answer", "part": "kafka",
        }  # fmt: skip
        nowhere = await client.get("/api/nowhere")
        assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
        wrong = await client.post("/told/1")
        assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
        assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}
        fault = await client.get("/broken")
        assert (fault.status_code, fault.json()["code"]) == (500, "fault")
        assert "secret" not in fault.text
    text = generate_latest(REGISTRY).decode()
    assert 'field_gateway_requests_total{route="/told/{id}",status="200"} 1.0' in text
    assert 'route="/refused",status="503"' in text


async def test_who_is_told_to_end_while_it_begins_leaves_no_line_open(settings: Settings) -> None:
    for after_ms in (0, 2, 4, 6, 8, 10, 15, 20, 30, 50):
        async with app.running(app.build(settings), lambda: None):
            await asyncio.sleep(after_ms / 1000)
        gc.collect()  # what was lost is told now, and a warning is an error


async def test_a_part_that_ends_ends_the_gateway(alone: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails:
        async def run(self, stop: asyncio.Event) -> None:
            raise RuntimeError("it cannot go on")

    monkeypatch.setattr(Gateway, "parts", (Fails(),))
    over = asyncio.Event()
    async with app.running(app.build(alone), over.set), asyncio.timeout(30):
        await over.wait()
