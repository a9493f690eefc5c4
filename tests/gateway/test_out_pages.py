"""Pages, tags and refusals: every row once while others come, 304 only while nothing has changed, 400 with a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from projections.gateway.parameters import FIELDS_MAX
from streams.settings import Settings
from tests.gateway.filling import gathering, lately, world
from tests.gateway.reading import SCHEMA, alone, answered, gateway, no_database, nowhere, refused


@pytest.fixture
def small(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(partitions=2, shards=4, hot_s=60)


async def walk(client: httpx.AsyncClient, path: str, name: str, then: Callable[[int], Any], **asked: Any) -> list[Any]:
    """All rows; ``then`` is called between two pages."""
    met: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await answered(client, path, limit=3, **asked, **cursor))["data"]
        assert len(page[name]) <= 3
        met += page[name]
        if page["next"] is None:
            return met
        cursor = {"cursor": page["next"]}
        await then(len(met))


@pytest.mark.parametrize(
    ("path", "name", "key"),
    [
        ("/rooms", "rooms", ("room_id",)),
        ("/entanglements", "pairs", ("low", "high")),
        ("/particles", "particles", ("timestamp", "id")),
    ],
)
async def test_a_walk_meets_every_row_once_while_others_come(
    small: Settings, path: str, name: str, key: tuple[str, ...]
) -> None:
    async with world(small) as told:
        told.say(*gathering(), *(lately("ana", "ENTANGLE", 9, to=f"far{number}") for number in range(8)))
        await told.publish()

        async def more(number: int) -> None:
            told.say(
                lately(f"new{number}", "ENTER", room=f"room{number}"),
                lately(f"new{number}", "BLOOM", at=(0, 0)),
                lately(f"anew{number}", "ENTANGLE", to=f"zed{number}"),
            )
            await told.publish()

        async with gateway(small, gateway_memory_ms=0) as (_, client):
            before = (await answered(client, path, limit=1_000))["data"]
            found = [tuple(row[part] for part in key) for row in await walk(client, path, name, more)]
        assert len(found) == len(set(found))
        first = [tuple(row[part] for part in key) for row in before[name]]
        assert before["total"] == len(first) >= 7
        assert set(first) <= set(found)
        assert found == sorted(found, reverse=name == "particles")


async def test_filters(small: Settings) -> None:
    async with world(small) as told:
        told.say(*gathering(), lately("far", "ENTANGLE", 9, to="zed"))
        await told.publish()
        async with gateway(small) as (_, client):
            pairs = (await answered(client, "/entanglements", device="ana"))["data"]["pairs"]
            assert [(pair["low"], pair["high"]) for pair in pairs] == [("ana", "bea")]
            inside = (await answered(client, "/particles", box="1,-3,3,-1"))["data"]["particles"]
            assert [one["x"] for one in inside] == [3.0, 2.0, 1.0]
            assert (await answered(client, "/particles", box="-9,-9,-8,-8"))["data"]["particles"] == []


async def test_one_room_open_over_and_never_there(small: Settings) -> None:
    async with world(small) as told:
        told.say(lately("old", "BLOOM", 3_000, room="attic"), *gathering())
        await told.publish()
        await told.project()
        async with gateway(small) as (_, client):
            hall = await answered(client, "/rooms/hall")
            assert hall["data"]["open"]
            assert {one["device_id"] for one in hall["data"]["participants"]} == {"ana", "bea", "cyd", "dan"}
            attic = await answered(client, "/rooms/attic")
            assert (attic["data"]["open"], attic["data"]["blooms"]) == (False, 1)
            assert attic["reflects"]["tier"] == "database"
            nobody = await client.get("/rooms/nobody")
            assert (nobody.status_code, nobody.json()["code"]) == (404, "no_such_room")
        async with gateway(small, **no_database()) as (_, client):
            assert (await answered(client, "/rooms/hall"))["data"]["open"]
            assert (await client.get("/rooms/attic")).status_code == 503


async def test_unchanged_is_304_until_something_happens(small: Settings) -> None:
    paths = ("/state", "/snapshot", "/rooms", "/entanglements", "/particles", "/history?from=2026-01-01T00:00:00Z")
    async with world(small) as told:
        told.say(*gathering())
        await told.publish()
        await told.project()
        async with gateway(small, gateway_memory_ms=0) as (_, client):
            tags = {}
            for path in paths:
                first = await client.get(path)
                tags[path] = first.headers["etag"]
                assert tags[path].startswith('W/"')
                assert first.headers["cache-control"] == "no-cache"
                for given in (tags[path], f'"other", {tags[path]}', "*", tags[path].removeprefix("W/")):
                    again = await client.get(path, headers={"If-None-Match": given})
                    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tags[path]), path
                other = await client.get(path, headers={"If-None-Match": '"other"'})
                assert other.status_code == 200
            assert len(set(tags.values())) == len(paths)
            told.say(lately("ana", "BREATH"))  # no particle, and yet the answer reflects more of the log
            await told.publish()
            further = await client.get("/particles", headers={"If-None-Match": tags["/particles"]})
            assert further.status_code == 200
            told.say(
                lately("zoe", "BLOOM", room="hall", at=(1.0, 1.0)), lately("yan", "ENTANGLE", to="zed"),
                lately("xia", "ENTER", room="roof"),
            )  # fmt: skip
            await told.publish()
            await told.project()
            for path in paths:
                changed = await client.get(path, headers={"If-None-Match": tags[path]})
                assert changed.status_code == 200, path
                assert changed.headers["etag"] != tags[path]


async def test_a_head_has_no_body(small: Settings) -> None:
    async with world(small) as told:
        await told.publish()
        async with gateway(small) as (_, client):
            found = await client.head("/state")
            assert (found.status_code, found.content) == (200, b"")
            assert found.headers["etag"]


REFUSED = (
    ("/state?at_least=1", "at_least"),
    ("/state?at_least=4:0", "at_least"),
    ("/state?at_least=0:1,0:2", "at_least"),
    ("/state?at_least=0:-1", "at_least"),
    ("/state?at_least=0:99999999999999999999", "at_least"),
    ("/state?at_least=0:9223372036854775808", "at_least"),
    ("/state?at_least=", "at_least"),
    ("/state?verbose=1", "verbose"),
    ("/state?at_least=0:0&at_least=0:1", "at_least"),
    ("/snapshot?limit=1", "limit"),
    ("/rooms?limit=0", "limit"),
    ("/rooms?limit=ten", "limit"),
    ("/rooms?limit=%D9%A1", "limit"),
    ("/rooms?cursor=%00", "cursor"),
    ("/rooms?cursor=WyJwYWlycyIsImEiLCJiIl0", "cursor"),
    ("/rooms?cursor=", "cursor"),
    ("/rooms?cursor=" + "A" * 600, "cursor"),
    ("/rooms?cursor=WzFd", "cursor"),
    ("/rooms/a%20b", "room_id"),
    ("/rooms/%00", "room_id"),
    ("/rooms/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "room_id"),
    ("/entanglements?device=a%0Ab", "device"),
    ("/entanglements?device=", "device"),
    ("/particles?box=1,2,3", "box"),
    ("/particles?box=3,0,1,1", "box"),
    ("/particles?box=0,0,inf,1", "box"),
    ("/particles?box=0,0,1e300,1", "box"),
    ("/particles?box=nan,0,1,1", "box"),
    ("/metrics?x", "x"),
    ("/particles?%00=1", "?"),
)


async def test_what_cannot_be_is_named() -> None:
    await refused(REFUSED)


async def test_a_query_that_is_none() -> None:
    async with gateway(alone()) as (_, client):
        for query in ("device=%ff", "&".join(f"a{number}=1" for number in range(FIELDS_MAX + 1))):
            found = await client.get(f"/entanglements?{query}")
            assert (found.status_code, found.json()["code"]) == (400, "bad_query")


async def test_huge_limits_are_cut(small: Settings) -> None:
    async with world(small) as told:
        told.say(*(lately(f"one{number}", "ENTER", room=f"room{number:04}") for number in range(502)))
        await told.publish()
        async with gateway(small) as (_, client):
            page = (await answered(client, "/rooms", limit=999_999))["data"]
            assert (len(page["rooms"]), page["total"]) == (500, 502)
            rest = (await answered(client, "/rooms", limit=999_999, cursor=page["next"]))["data"]
            assert ([room["room_id"] for room in rest["rooms"]], rest["next"]) == (["room0500", "room0501"], None)


async def test_other_origins_read_only_when_they_are_named(small: Settings) -> None:
    async with world(small) as told:
        await told.publish()
        await origins(replace(small, gateway_cors=""), {"https://a.example": None})
        named = {
            "https://a.example": "https://a.example",
            "https://b.example": "https://b.example",
            "https://c.example": None,
        }
        await origins(replace(small, gateway_cors="https://a.example, https://b.example"), named)
        await origins(replace(small, gateway_cors="*"), {"https://c.example": "*"})


async def origins(settings: Settings, allowed: dict[str, str | None]) -> None:
    async with gateway(settings) as (_, client):
        for origin, expected in allowed.items():
            found = await client.get("/state", headers={"Origin": origin})
            assert found.status_code == 200
            assert found.headers.get("access-control-allow-origin") == expected
            if expected:
                assert "ETag" in found.headers["access-control-expose-headers"]
                asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
                assert (await client.options("/state", headers=asked)).status_code == 200


async def test_about() -> None:
    async with gateway(alone()) as (served, _), httpx.AsyncClient() as client:
        found = (await client.get(f"{served.url}/api/")).json()
        assert (found["name"], found["tokens"], found["pseudonyms"]) == ("the field", False, False)
        SCHEMA.validate({"/api/": found})
        assert found["links"]["state"] == "/api/consciousness/state"
    async with (
        gateway(replace(alone(), gateway_key="k" * 32, pseudonym_key="p" * 32)) as (served, _),
        httpx.AsyncClient() as client,
    ):
        text = (await client.get(f"{served.url}/api/")).text
        assert '"tokens":true,"pseudonyms":true' in text
        assert "kkkk" not in text


@pytest.mark.parametrize("tier", ["redis", "database"])
@pytest.mark.parametrize(
    ("path", "name", "key"),
    [("/rooms", "rooms", ("room_id",)), ("/entanglements", "pairs", ("low", "high"))],
)
async def test_a_walk_goes_beyond_what_a_snapshot_has(
    small: Settings, path: str, name: str, key: tuple[str, ...], tier: str
) -> None:
    """Eight rooms and ten pairs, of which a snapshot has four."""
    small = replace(small, hot_rows=4)
    async with world(small) as told:
        told.say(*gathering(), *(lately("ana", "ENTANGLE", 9, to=f"far{number}") for number in range(8)))
        told.say(*(lately("ana", "ENTANGLE", 8, room=f"room{number}", to="far1") for number in range(3)))
        whole = await told.project()
        await told.publish()
        away = {} if tier == "redis" else nowhere()
        wanted = [tuple(getattr(row, part) for part in key) for row in getattr(whole, name)]
        assert len(wanted) in (8, 10)

        async def nothing(_: int) -> None: ...

        async with gateway(small, **away) as (_, client):
            found = await walk(client, path, name, nothing)
            assert [tuple(row[part] for part in key) for row in found] == wanted
            page = await answered(client, path, limit=3)
            assert (page["data"]["truncated"], page["data"]["total"]) == (False, len(wanted))
            assert page["reflects"]["tier"] == "database"
            positions = ",".join(f"{number}:{at}" for number, at in told.positions.items())
            assert (await answered(client, path, at_least=positions))["data"]["total"] == len(wanted)
            if name == "pairs":
                ana = (await answered(client, path, device="ana"))["data"]["pairs"]
                assert [(one["low"], one["high"]) for one in ana] == [pair for pair in wanted if "ana" in pair]
        if tier == "redis":
            async with gateway(small, **no_database()) as (_, client):
                found = await walk(client, path, name, nothing)
                assert len(found) == 4
                page = await answered(client, path)
                assert (page["data"]["truncated"], page["data"]["total"]) == (True, len(wanted))
