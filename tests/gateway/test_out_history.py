"""History is what the raw rows come to, at each resolution; pages meet every bucket once; it outlives the database."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from projections.gateway.history import DAY_MS, HOUR_MS, TYPES, WIDTHS_MS, chosen
from projections.gateway.kept import ANSWERS_MAX, PLACES, place
from projections.views import now_ms
from streams.events import Event
from streams.settings import Settings
from tests.gateway.filling import lately, world
from tests.gateway.reading import answered, gateway, no_database, refused

WEIGHTS = {"BREATH": 1, "TOUCH": 2, "SPIRAL": 3, "BLOOM": 5, "SACRED_PHRASE": 8}


@pytest.fixture
def small(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(partitions=2, shards=2, hot_s=60)


def days(seed: int, count: int = 500) -> list[Event]:
    """Three days of all types; ``gone`` opts out in the middle."""
    chance = random.Random(seed)
    events = [lately("gone", "OPT_OUT", 1.5 * 86_400)]
    for _ in range(count):
        kind = chance.choice(TYPES)
        events.append(
            lately(
                chance.choice(["ana", "bea", "cyd", "gone"]),
                kind,
                chance.uniform(0, 3 * 86_400),
                room="hall" if kind in ("ENTER", "LEAVE") or chance.random() < 0.5 else None,
                to="dan" if kind in ("ENTANGLE", "RELEASE") else None,
                intensity=chance.randrange(1001) / 1000,
                at=(chance.uniform(-50, 50), chance.uniform(-50, 50)) if chance.random() < 0.6 else None,
            )
        )
    return sorted(events, key=lambda event: event.timestamp)


def by_hand(events: list[Event], width: int, since: int, until: int) -> list[dict[str, Any]]:
    """The points, from the events alone."""
    out_since = events_of(events, "OPT_OUT")[0].timestamp
    buckets: dict[int, list[Event]] = {}
    for event in events:
        counted = event.type != "OPT_OUT" and not (event.device_id == "gone" and event.timestamp >= out_since)
        if counted and since - since % width <= event.timestamp // width * width < until:
            buckets.setdefault(event.timestamp // width * width, []).append(event)
    points = []
    for bucket, inside in sorted(buckets.items()):
        felt = [value for event in inside if (value := resonance(event)) is not None]
        spots = [(event.x, event.y) for event in inside if event.x is not None]
        kinds = Counter(event.type for event in inside)
        points.append(
            {
                "bucket": bucket,
                "events": len(inside),
                "active_nodes": len({event.device_id for event in inside}),
                "resonance": sum(felt) / len(felt) if felt else None,
                "centre": middle(spots) if spots else None,
                "counts": {kind: kinds[kind] for kind in TYPES},
            }
        )
    return points


def resonance(event: Event) -> float | None:
    """Intensity by weight; FIELD has one of its own, or none."""
    if event.type == "FIELD":
        own = getattr(event.data, "resonance", None)
        return None if own is None else float(own)
    return event.intensity / 1e6 * WEIGHTS[event.type] if event.type in WEIGHTS else None


def events_of(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event.type == kind]


def middle(spots: list[tuple[Any, Any]]) -> dict[str, float]:
    return {name: sum(spot[n] for spot in spots) / len(spots) for n, name in enumerate("xy")}


def close(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    flat = [[point[name] for point in points] for points in (found, wanted) for name in ("bucket", "events", "counts")]
    assert flat[:3] == flat[3:]
    for one, other in zip(found, wanted, strict=True):
        assert one["active_nodes"] == other["active_nodes"]
        assert one["resonance"] == pytest.approx(other["resonance"])
        assert one["centre"] == pytest.approx(other["centre"])
    return True


async def test_it_is_what_the_raw_rows_come_to(small: Settings) -> None:
    async with world(small) as told:
        told.say(*days(1))
        await told.project()
        async with gateway(small) as (_, client):
            for resolution, width in WIDTHS_MS.items():
                until = now_ms()
                for since in (until - 3 * DAY_MS, until - 5 * HOUR_MS):
                    asked = {"from": since, "until": until, "resolution": resolution, "limit": 5_000}
                    found = (await answered(client, "/history", **asked))["data"]
                    wanted = by_hand(told.events, width, since, until)
                    assert found["next"] is None
                    assert found["resolution"] == resolution
                    assert close(found["points"], wanted)
                    assert len(wanted) > 1 or resolution == "1d"


async def test_pages_meet_every_bucket_once_while_more_is_written(small: Settings) -> None:
    async with world(small) as told:
        told.say(*days(2, 200))
        await told.project()
        until = now_ms()
        asked: dict[str, Any] = {"from": until - 3 * DAY_MS, "until": until, "resolution": "1min"}
        async with gateway(small, gateway_memory_ms=0) as (_, client):
            whole = (await answered(client, "/history", limit=5_000, **asked))["data"]["points"]
            met: list[int] = []
            cursor: dict[str, Any] = {}
            while True:
                page = (await answered(client, "/history", limit=7, **asked, **cursor))["data"]
                met += [point["bucket"] for point in page["points"]]
                assert len(page["points"]) <= 7
                if page["next"] is None:
                    break
                cursor = {"cursor": page["next"]}
                told.say(lately("zoe", "BLOOM", random.Random(len(met)).uniform(0, 3 * 86_400)))
                await told.project()
        assert met == sorted(set(met))
        assert {point["bucket"] for point in whole} <= set(met)


async def test_the_range_chooses_the_resolution(small: Settings) -> None:
    until = now_ms()
    assert [chosen(until - hours * HOUR_MS, until) for hours in (1, 6, 7, 31 * 24, 32 * 24)] == [
        "1min", "1min", "1h", "1h", "1d",
    ]  # fmt: skip
    async with world(small) as told, gateway(small) as (_, client):
        await told.project()
        assert (await answered(client, "/history"))["data"]["resolution"] == "1min"
        assert (await answered(client, "/history", **{"from": "2026-01-01T00:00:00Z"}))["data"]["resolution"] == "1d"


async def test_it_outlives_the_database(small: Settings, redis_port: int) -> None:
    """The copy in Redis answers a gateway that never saw the database, memory one that has lost both."""
    async with world(small) as told:
        told.say(*days(3, 100))
        await told.project()
        asked = {"from": now_ms() - DAY_MS, "until": now_ms()}
        async with gateway(small) as (_, client):
            first = await answered(client, "/history", **asked)
            assert first["reflects"]["tier"] == "database"
            assert first["reflects"]["positions"] == {str(n): at for n, at in told.positions.items() if at >= 0}
            assert (await answered(client, "/history", **asked))["reflects"]["tier"] == "memory"
        async with gateway(small, **no_database()) as (_, client):
            copy = await answered(client, "/history", **asked)
            assert (copy["reflects"]["tier"], copy["data"]) == ("redis", first["data"])
            other = await client.get("/history", params={"from": "2020-01-01T00:00:00Z"})
            assert (other.status_code, other.json()["code"]) == (503, "database_away")
            assert other.headers["retry-after"]
        short = replace(small, gateway_memory_ms=1, gateway_stale_ms=1)
        async with gateway(short, **no_database()) as (served, client):
            assert (await answered(client, "/history", **asked))["reflects"]["stale"] is True
            async with Redis(port=redis_port) as redis:
                await redis.flushdb()
            again = await answered(client, "/history", **asked)
            assert (again["reflects"]["tier"], again["data"]) == ("memory", first["data"])
            served.gateway.past.kept._memory.clear()
            assert (await client.get("/history", params=asked)).status_code == 503


async def test_different_questions_take_a_bounded_place(small: Settings, redis_port: int) -> None:
    async with world(small) as told:
        await told.project()
        now = now_ms()
        async with gateway(small) as (served, client), Redis(port=redis_port) as redis:
            for number in range(ANSWERS_MAX + 8):
                await answered(client, "/history", **{"from": now - HOUR_MS - number, "until": now})
            assert len(served.gateway.past.kept._memory) == ANSWERS_MAX
            assert not served.gateway.past.kept._flights
            assert 1 < len(await redis.keys("gateway:kept:*")) <= PLACES
            assert 0 < await redis.ttl((await redis.keys("gateway:kept:*"))[0]) <= small.gateway_kept_s
    assert len({place(f"question {number}") for number in range(10_000)}) == PLACES


async def test_figures_and_what_is_unknown(small: Settings) -> None:
    async with world(small) as told:
        told.say(*(lately("ana", "BREATH", 1 + n / 10, room="hall") for n in range(30)), lately("bea", "BLOOM", 600))
        await told.publish()
        await told.project()
        async with gateway(small) as (_, client):
            await client.get("/state")
            found = (await answered(client, "/metrics"))["data"]
            assert found["events_per_s"] == 0.5
            assert found["counts"] == dict.fromkeys(TYPES, 0) | {"BREATH": 30, "BLOOM": 1}
            assert found["active_nodes"] == 1
            assert found["gateway"]["requests"] > 0
            assert 0 < found["gateway"]["latency"]["p50_ms"] <= found["gateway"]["latency"]["p99_ms"]
        async with Redis(port=small.redis_port) as redis:
            await redis.delete(*await redis.keys("gateway:kept:*"))
        async with gateway(small, **no_database()) as (_, client):
            found = (await answered(client, "/metrics"))["data"]
            assert (found["events_per_s"], found["counts"], found["lag"]) == (None, None, None)
            assert found["active_nodes"] == 1


REFUSED = (
    ("/history?from=yesterday", "from"),
    ("/history?from=2026-02-30T00:00:00Z", "from"),
    ("/history?until=-1", "until"),
    ("/history?from=2000&until=1000", "from"),
    ("/history?until=253402300800000", "until"),
    ("/history?resolution=2h", "resolution"),
    ("/history?limit=0", "limit"),
    ("/history?limit=-1", "limit"),
    ("/history?limit=1e3", "limit"),
    ("/history?limit=", "limit"),
    ("/history?cursor=x", "cursor"),
    ("/history?cursor=WyJyb29tcyIsImEiXQ", "cursor"),
    ("/history?depth=3", "depth"),
    ("/history?from=1&from=2", "from"),
    ("/history?from=NaN", "from"),
    ("/history?from=%001", "from"),
    ("/history?limit=1%0a", "limit"),
    ("/history?limit=99999999999999999999999999", "limit"),
)


async def test_what_cannot_be_is_named() -> None:
    await refused(REFUSED)
