"""Field calculation over HTTP, on a snapshot in a real Redis: equal to the definition, bounded, told from where."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from deploy.local import loopback
from projections import field
from streams.settings import Settings
from tests.fixtures.gateway import serving
from tests.gateway.filling import World, gathering, lately, world
from tests.oracle import field as oracle

URL = "/api/consciousness/field"


@pytest.fixture
def chosen(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(partitions=2, shards=4, hot_s=60)


@pytest.fixture
async def there(chosen: Settings) -> AsyncIterator[World]:
    """A published field of blooms, and of two quantum fields."""
    waves = [(1.0, 2.0, 1.5, 0.75, 0.25), (4.0, -3.0, 0.5, -1.0, 2.0)]
    async with world(chosen) as found:
        found.say(*gathering())
        found.say(lately("eve", "FIELD", 2, harmonics=waves, phase=0.5), lately("fay", "FIELD", 1, phase=1.5))
        await found.publish()
        yield found


@pytest.fixture
async def client(there: World) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(there.settings) as served, httpx.AsyncClient(base_url=served.url, timeout=30) as one:
        yield one


async def asked(client: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    answer = await client.get(URL, params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def cells(grid: dict[str, Any]) -> list[tuple[float, float]]:
    """Centres, row by row from below."""
    (x0, y0, x1, y1), columns, rows = grid["box"], grid["columns"], grid["rows"]
    wide, high = (x1 - x0) / columns, (y1 - y0) / rows
    return [(x0 + (n + 0.5) * wide, y0 + (m + 0.5) * high) for m in range(rows) for n in range(columns)]


async def test_it_is_the_definition_over_the_snapshot(client: httpx.AsyncClient) -> None:
    seen = (await client.get("/api/consciousness/snapshot")).json()["data"]
    assert len(seen["particles"]) == 7
    for parameters in (
        {"points": "0,0;1.5,-2;100,100"},
        {"grid": "9x5"},
        {"grid": "8", "box": "-3,-8,7,2", "phase": "-0.5", "resonance": "0.25"},
    ):
        data = (await asked(client, **parameters))["data"]
        places = data["points"] or cells(data["grid"])
        assert len(places) == len(data["values"])
        for (x, y), value in zip(places, data["values"], strict=True):
            expected = oracle.strength(
                x, y, seen["particles"], seen["quantum_fields"], data["at"],
                phase=data["phase"], resonance=data["resonance"],
            )  # fmt: skip
            assert value == pytest.approx(expected, abs=1e-9)
    assert data["grid"] == {"columns": 8, "rows": 8, "box": [-3, -8, 7, 2]}
    assert (data["phase"], data["resonance"], data["sources"]) == (-0.5, 0.25, 9)


async def test_phase_and_resonance_are_those_of_the_field_where_none_are_given(client: httpx.AsyncClient) -> None:
    answer = await asked(client)
    seen = (await client.get("/api/consciousness/snapshot")).json()
    data = answer["data"]
    phases = [one["data"].get("phase", 0.0) for one in seen["data"]["quantum_fields"]]
    assert sorted(phases) == [0.0, 0.5, 1.5]
    mean = math.atan2(sum(map(math.sin, phases)), sum(map(math.cos, phases)))
    assert (data["phase"], data["resonance"]) == (pytest.approx(mean), seen["data"]["global_resonance"])
    assert (data["grid"]["columns"], data["grid"]["rows"]) == (64, 64)
    assert data["grid"]["box"] == [-10, -16, 16, 12]  # around all that acts
    assert answer["reflects"]["positions"] == seen["reflects"]["positions"]
    assert answer["reflects"]["tier"] in ("redis", "memory")


async def test_equal_questions_are_computed_once_for_each_field(client: httpx.AsyncClient, there: World) -> None:
    first = await asked(client, grid=16)
    assert not first["data"]["cached"]
    assert first["performance"]["cacheHitRate"] == 0
    again = await asked(client, grid=16)
    assert again["data"]["cached"]
    assert again["data"]["values"] == first["data"]["values"]
    assert again["performance"]["cacheHitRate"] == 0.5
    for other in ({"grid": 17}, {"grid": 16, "phase": 1}, {"grid": 16, "resonance": 1}, {"grid": 16, "box": "0,0,1,1"}):
        assert not (await asked(client, **other))["data"]["cached"]
    places = there.say(lately("ana", "BLOOM", at=(3.0, 3.0), intensity=1.0))
    await there.publish()
    at_least = ",".join(f"{partition}:{offset}" for partition, offset in places.items())
    fresh = await asked(client, grid=16, at_least=at_least)
    assert not fresh["data"]["cached"]
    assert fresh["data"]["values"] != first["data"]["values"]


async def test_an_answer_that_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get(URL, params={"grid": 8})
    again = await client.get(URL, params={"grid": 8}, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


IMPOSSIBLE = [
    ("grid=0", "grid"), ("grid=129", "grid"), ("grid=16385x1", "grid"), ("grid=8x", "grid"), ("grid=-8", "grid"),
    ("box=0,0,0,1", "box"), ("box=0,0,1", "box"), ("box=0,0,1,2e9", "box"), ("points=", "points"),
    ("points=1,2;", "points"), ("points=1,2,3", "points"), ("points=nan,1", "points"), ("points=1,1e10", "points"),
    ("points=" + ";".join(["1,2"] * (field.POINTS_MAX + 1)), "points"), ("points=1,2&grid=8", "points"),
    ("points=1,2&box=0,0,1,1", "points"), ("phase=inf", "phase"), ("phase=1e7", "phase"),
    ("resonance=1.01", "resonance"), ("resonance=-0.1", "resonance"), ("limit=3", "limit"), ("at_least=x", "at_least"),
]  # fmt: skip


async def test_what_cannot_be_asked_is_named(client: httpx.AsyncClient) -> None:
    for query, name in IMPOSSIBLE:
        answer = await client.get(f"{URL}?{query}")
        assert (answer.status_code, answer.json()["parameter"]) == (400, name), query[:80]
    for most in ("grid=128", "grid=16384x1", "points=" + ";".join(["1.5,-2"] * field.POINTS_MAX)):
        assert (await client.get(f"{URL}?{most}")).status_code == 200


async def test_an_empty_field_has_no_strength(chosen: Settings) -> None:
    async with (
        world(chosen) as empty,
        serving(chosen) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):
        await empty.publish()
        data = (await asked(client, grid=4))["data"]
    assert (data["values"], data["sources"], data["phase"]) == ([0.0] * 16, 0, 0.0)


async def test_without_any_store_it_says_when_to_come_again(parts_settings: Settings) -> None:
    gone = loopback.free()
    url = f"postgresql://field:field@127.0.0.1:{gone}/field"
    settings = replace(parts_settings, database_url=url, redis_port=gone, gateway_metrics_port=0)
    async with serving(settings) as served, httpx.AsyncClient(base_url=served.url, timeout=30) as client:
        answer = await client.get(URL)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


async def test_the_database_alone_will_do(there: World, redis_port: int) -> None:
    await there.project()
    async with Redis(port=redis_port) as redis:  # its key has the generation of this test
        assert await redis.delete(f"{there.settings.generation}:field:current") == 1
    async with serving(there.settings) as served, httpx.AsyncClient(base_url=served.url, timeout=30) as client:
        found = await asked(client, points="0,0")
    assert found["reflects"]["tier"] == "database"
    assert found["data"]["sources"] == 9
