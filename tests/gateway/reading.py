"""How tests read a gateway: one served for the test, and stores that are away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from deploy.local import loopback
from schema.generate import ROOT
from streams.settings import Settings
from tests.fixtures.gateway import Serving, serving

SCHEMA = Draft202012Validator(json.loads((ROOT / "gateway/v1.json").read_bytes()))


@asynccontextmanager
async def gateway(settings: Settings, **over: Any) -> AsyncIterator[tuple[Serving, httpx.AsyncClient]]:
    """One served with these settings, and a client below ``/api/consciousness``."""
    async with (
        serving(replace(settings, **over)) as served,
        httpx.AsyncClient(base_url=f"{served.url}/api/consciousness", timeout=30) as client,
    ):
        yield served, client


async def answered(client: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    """An answer that is one; its ``performance`` is as it should be."""
    response = await client.get(path, params=parameters or None)
    assert response.status_code == 200, response.text
    found = response.json()
    place = path.partition("?")[0]
    place = "/rooms/{room_id}" if place.startswith("/rooms/") else place
    SCHEMA.validate({f"/api/consciousness{place}": found})
    performance = found["performance"]
    assert performance["calculationComplexity"] == "O(n log n)"
    assert 0 <= performance["cacheHitRate"] <= 1
    assert performance["averageResponseTime"] > 0
    return found


def alone() -> Settings:
    """Settings under which no store is there."""
    gone = loopback.free()
    return replace(Settings(), kafka_brokers=f"127.0.0.1:{gone}", gateway_metrics_port=0, **no_database(), **nowhere())


async def refused(paths: Sequence[tuple[str, str]]) -> None:
    """Each of the paths is answered with a 400 that names this parameter; no store is needed for that."""
    async with gateway(alone()) as (_, client):
        for path, names in paths:
            found = await client.get(path)
            assert (found.status_code, found.json()["code"]) == (400, "bad_parameter"), (path, found.text)
            assert found.json()["parameter"] == names, path
            assert found.headers["content-type"] == "application/problem+json"


def nowhere() -> dict[str, Any]:
    """Settings of a Redis that is away."""
    return {"redis_port": loopback.free()}


def no_database() -> dict[str, Any]:
    """Settings of a PostgreSQL that is away."""
    return {"database_url": f"postgresql://field:field@127.0.0.1:{loopback.free()}/field"}


def vector(positions: dict[int, int]) -> dict[str, int]:
    """As JSON has it."""
    return {str(number): position for number, position in positions.items()}


async def eventually(true: Callable[[], Awaitable[Any]], what: str, tries: int = 1_000) -> None:
    """Waits until it is true."""
    for _ in range(tries):
        if await true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never came: {what}")
