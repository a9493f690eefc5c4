"""Each kind of bad input has a clear answer, and nothing of it is on the log."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from deploy.local import loopback
from projections.gateway import bodies
from projections.gateway.tokens import mint
from streams.settings import Settings
from tests.gateway.devices import SYNC, Reached, at, breath, count_of, log_of, reached, touch
from tests.gateway.structured import fields

JSON = {"content-type": "application/json"}
ID = "00000000-0000-4000-8000-000000000001"


def written(over: dict[str, str]) -> str:
    """A good event as JSON, and more members as they are written."""
    plain = json.dumps(breath(id=ID))
    return plain[:-1] + "".join(f", {name}: {value}" for name, value in over.items()) + "}"


BAD = {
    "not JSON": (b"hello", 400, "malformed_json"),
    "nothing": (b"", 400, "malformed_json"),
    "only space": (b" \n", 400, "malformed_json"),
    "a number": (b"7", 400, "malformed_json"),
    "cut off": (b'{"id": "', 400, "malformed_json"),
    "an array cut off": (b'[{"id": 1}', 400, "malformed_json"),
    "an array of nothing": (b"[]", 422, "empty"),
    "events of nothing": (b'{"events": []}', 422, "empty"),
    "events is no array": (b'{"events": {}}', 422, "bad_value"),
    "events twice": (b'{"events": [1], "events": [2]}', 400, "duplicate_key"),
    "not UTF-8": (b'{"id": "\xff"}', 400, "not_utf8"),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400, "malformed_json"),
    "an empty object": (b"{}", 422, "missing_field"),
    "a key twice": (written({'"device_id"': '"bea"'}).encode(), 422, "duplicate_key"),
    "a key twice, once with an escape": (written({'"device\\u005fid"': '"bea"'}).encode(), 422, "duplicate_key"),
    "a key twice, deep": (written({'"extra"': '{"a": [{"b": 1, "b": 1}]}'}).encode(), 422, "duplicate_key"),
    "NaN": (written({'"extra"': "NaN"}).encode(), 422, "not_finite"),
    "Infinity": (written({'"extra"': "[-Infinity]"}).encode(), 422, "not_finite"),
    "a huge number": (written({'"extra"': "1e999"}).encode(), 422, "not_finite"),
    "a huge number that counts": (written({'"seq"': "1e999"}).encode(), 422, "not_finite"),
    "a huge whole number": (written({'"extra"': "9" * 4_000}).encode(), 422, "not_finite"),
    "a whole number beyond 64 bits": (written({'"seq"': "9" * 30}).encode(), 422, "bad_value"),
    "NUL as an escape": (written({'"extra"': '"a\\u0000"'}).encode(), 422, "nul"),
    "NUL as an escape in a key": (written({'"a\\u0000"': "1"}).encode(), 422, "nul"),
    "NUL in an id": (written({'"user_id"': '"a\\u0000"'}).encode(), 422, "bad_id"),
    "NUL as a byte": (written({'"extra"': '"a\0"'}).encode(), 400, "malformed_json"),
    "half a character": (written({'"extra"': '["\\ud800"]'}).encode(), 422, "lone_surrogate"),
    "half a character in a key": (written({'"\\udfff"': "1"}).encode(), 422, "lone_surrogate"),
    "half a character in an id": (written({'"user_id"': '"\\ud800"'}).encode(), 422, "bad_id"),
    "too deep": (written({'"extra"': "[" * 17 + "]" * 17}).encode(), 422, "too_deep"),
    "much too deep": (b"[" * 100_000, 400, "malformed_json"),
    "too large": (written({'"extra"': json.dumps("a" * 70_000)}).encode(), 422, "too_large"),
    "too many": (b"[" + b"1," * 10_000 + b"1]", 413, "too_large"),
    "no type": (json.dumps({"id": ID}).encode(), 422, "missing_field"),
    "of the future": (json.dumps(breath(timestamp=int(time.time() * 1000) + 86_400_000)).encode(), 422, "future"),
}


@pytest.mark.parametrize(
    ("origin", "named", "status"),
    [
        (None, "", 200), ("SELF", "", 200), ("https://a.example", "", 403), ("null", "", 403),
        ("https://a.example", "https://a.example", 200), ("https://b.example", "https://a.example", 403),
        ("SELF", "https://a.example", 200), ("https://b.example", "*", 200),
    ],
)  # fmt: skip
async def test_pages_of_other_origins_write_only_when_they_are_named(
    settings: Settings, origin: str | None, named: str, status: int
) -> None:
    """Such a page may send text to anywhere, without asking first."""
    async with reached(replace(settings, gateway_cors=named)) as it:
        headers = {} if origin is None else {"Origin": it.served.url if origin == "SELF" else origin}
        event = breath()
        bodies = {
            SYNC: event,
            "/api/consciousness/opt-out": {"device_id": "ana"},
            "/api/trpc/consciousness.sync": event,
        }
        for path, body in bodies.items():
            told = headers | (JSON if "trpc" in path else {})
            answer = await it.client.post(path, content=json.dumps(body), headers=told)
            assert answer.status_code == status, (path, answer.text)


async def test_bad_bodies_are_named(settings: Settings) -> None:
    async with reached(settings) as it:
        for name, (body, status, code) in BAD.items():
            answer = await it.client.post(SYNC, content=body, headers=JSON)
            told = answer.json()
            assert (answer.status_code, told["code"]) == (status, code), (name, told)
            assert answer.headers["content-type"] == "application/problem+json", name
        assert count_of(await log_of(settings)) == 0
        good = await it.client.post(SYNC, content=written({'"extra"': '"\\ud83d\\ude00 \\\\u0000"'}), headers=JSON)
        assert good.json()["accepted"] == 1, "a whole character in two halves, and a backslash, are no fault"


async def test_the_same_faults_within_a_batch_are_verdicts(settings: Settings) -> None:
    """But for what leaves the brackets of the whole in doubt."""
    alone = {
        name: bad for name, bad in BAD.items() if bad[0][:1] == b"{" and bad[0][-1:] == b"}" and b"events" not in bad[0]
    }
    assert len(alone) > 15
    good = json.dumps(breath()).encode()
    async with reached(settings) as it:
        body = b"[" + b",".join([good, *(bad[0] for bad in alone.values()), good]) + b"]"
        told = (await it.client.post(SYNC, content=body, headers=JSON)).json()
    found = [one.get("reason") for one in told["events"]]
    assert found == [None, *(bad[2] for bad in alone.values()), None]
    assert told["accepted"] == 2


async def test_media_types_and_codings(settings: Settings) -> None:
    body = json.dumps(breath())
    async with reached(settings) as it:
        for headers, status, code in (
            ({"content-type": "text/plain"}, 415, "media_type"),
            ({"content-type": "application/json; charset=latin-1"}, 415, "media_type"),
            (JSON | {"content-encoding": "br"}, 415, "content_encoding"),
            (JSON | {"content-encoding": "gzip"}, 400, "bad_gzip"),
        ):
            answer = await it.client.post(SYNC, content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code), headers
        cut = await it.client.post(
            SYNC, content=gzip.compress(body.encode())[:-9], headers=JSON | {"content-encoding": "gzip"}
        )
        assert (cut.status_code, cut.json()["code"]) == (400, "bad_gzip")
        none = await it.client.post(SYNC, content=body, headers={"content-type": "application/json;charset=UTF-8"})
        assert none.status_code == 200
        assert (await it.client.get(SYNC)).status_code == 405


async def test_large_bodies_are_refused_before_they_are_held(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(gateway_body_bytes_max=100_000)
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join([*(bomb.compress(b" " * 1_000_000) for _ in range(80)), bomb.flush()])
    assert len(packed) < 100_000

    async def chunks():
        for _ in range(1_000):
            yield b" " * 1_000

    async with reached(settings) as it:
        for content, headers in (
            (b" " * 100_001, JSON),
            (chunks(), JSON),
            (packed, JSON | {"content-encoding": "gzip"}),
        ):
            answer = await it.client.post(SYNC, content=content, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        members = gzip.compress(b"") * (bodies.MEMBERS_MAX + 1)
        many = await it.client.post(SYNC, content=members, headers=JSON | {"content-encoding": "gzip"})
        assert (many.status_code, many.json()["code"]) == (400, "bad_gzip")
        assert it.served.gateway.intake.reading.bytes == 0, "what was read is free again"


async def test_too_many_bodies_at_once_are_busy(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(gateway_waiting_bytes=65_536)
    async with reached(settings) as it:
        answer = await it.client.post(SYNC, content=b" " * 70_000, headers=JSON)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", "1")
        assert (await it.client.post(SYNC, json=breath())).status_code == 200


async def test_a_device_cannot_write_as_another(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(gateway_key="secret")
    good, late = (mint("secret", "ana", int(time.time()) + left) for left in (60, -1))
    async with reached(settings) as it:

        async def post(body: Any, token: str | None, path: str = SYNC) -> httpx.Response:
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            return await it.client.post(path, json=body, headers=headers)

        for token, code in (
            (None, "no_token"),
            ("nothing", "bad_token"),
            (good[:-2], "bad_token"),
            (late, "bad_token"),
            (mint("other", "ana", int(time.time()) + 60), "bad_token"),
        ):
            answer = await post(breath("ana"), token)
            assert (answer.status_code, answer.json()["code"]) == (401, code)
            assert answer.headers["www-authenticate"].startswith("Bearer ")
        other = await post([breath("bea")], good)
        assert (other.status_code, other.json()["code"]) == (403, "forbidden")
        mixed = (await post([breath("ana"), breath("bea"), touch("ana", "bea")], good)).json()
        assert [one["verdict"] for one in mixed["events"]] == ["accepted", "forbidden", "accepted"]
        assert (await post({"device_id": "bea"}, good, "/api/consciousness/opt-out")).status_code == 403
        assert (await post({"device_id": "ana"}, good, "/api/consciousness/opt-out")).status_code == 200
        log = await log_of(settings)
    assert {event.device_id for entries in log.values() for entry in entries for event in entry.events} == {"ana"}


async def test_names_become_pseudonyms_before_the_log(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(gateway_key="secret", pseudonym_key="hidden")
    token = mint("secret", "ana", int(time.time()) + 60)
    async with reached(settings, authorization=f"Bearer {token}") as it:
        first = (await it.client.post(SYNC, json=[touch("ana", "bea", user_id="someone", room_id="hall")])).json()
        named = at(await log_of(settings), first["events"][0]["position"])
        again = (await it.client.post(SYNC, json=[touch(named.device_id, str(named.target)), breath("bea")])).json()
        out = (await it.client.post("/api/consciousness/opt-out", json={"device_id": "ana"})).json()
        log = await log_of(settings)
    assert named.device_id.startswith("p.")
    assert str(named.target).startswith("p.")
    assert str(named.user_id).startswith("p.")
    assert named.room_id == "hall"
    assert len({named.device_id, named.target, named.user_id}) == 3
    assert [one["verdict"] for one in again["events"]] == ["accepted", "forbidden"]
    twice = at(log, again["events"][0]["position"])
    assert (twice.device_id, twice.target) == (named.device_id, named.target), "none is hashed twice"
    assert twice.key == min(named.device_id, str(named.target))
    assert out["device_id"] == named.device_id


@pytest.fixture
def limited(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(gateway_device_rate=0.2, gateway_address_rate=0.5, gateway_burst_s=50)


async def test_limits_in_redis_hold_for_all_gateways(limited: Settings) -> None:
    async with reached(limited) as one, reached(replace(limited), topic=False) as other:
        await _limits(one, other)
        assert len(one.served.gateway.intake.limiter.memory) == 0
        async with Redis(port=limited.redis_port) as redis:
            keys = [key async for key in redis.scan_iter("gateway:limit:*")]
            assert keys
            for key in keys:
                assert 0 < await redis.pttl(key) <= 51_000


async def test_what_one_gateway_lets_pass_counts_for_all(make_settings: Callable[..., Settings]) -> None:
    """Redis is asked once, told of the rest after, and the other gateway hears of all of it."""
    settings = make_settings(gateway_device_rate=0.01, gateway_address_rate=0.0, gateway_burst_s=100_000)
    async with reached(settings) as one, reached(replace(settings), topic=False) as other:
        limiter = one.served.gateway.intake.limiter
        for said in range(1, 21):
            answer = await one.client.post(SYNC, json=breath("ana"))
            assert answer.headers["ratelimit"].startswith(f'"device";r={1_000 - said};')
        assert len(limiter.tab) == 1
        async with asyncio.timeout(30), Redis(port=settings.redis_port) as redis:
            while float(await redis.hget("gateway:limit:device:ana", "level") or 0) > 980.5:  # noqa: ASYNC110 (another part's turn)
                await asyncio.sleep(0.01)
        answer = await other.client.post(SYNC, json=[breath("ana")] * 979)
        assert answer.headers["ratelimit"].startswith('"device";r=1;')
        refused = await other.client.post(SYNC, json=[breath("ana")] * 2)
        assert (refused.status_code, refused.headers["ratelimit"][:13]) == (429, '"device";r=1;')


async def test_limits_without_redis_are_those_of_one_gateway(limited: Settings) -> None:
    async with reached(replace(limited, redis_port=loopback.free())) as it:
        await _limits(it, it)
        assert len(it.served.gateway.intake.limiter.memory) > 0


async def _limits(one: Reached, other: Reached) -> None:
    first = await one.client.post(SYNC, json=[breath("ana")] * 4)
    assert fields(first.headers["ratelimit-policy"]) == {
        "address": {"q": 25, "w": 50, "field-unit": "events"}, "device": {"q": 10, "w": 50, "field-unit": "events"},
    }  # fmt: skip
    assert fields(first.headers["ratelimit"]) == {"address": {"r": 21, "t": 2}, "device": {"r": 6, "t": 5}}
    refused = None
    for _ in range(6):
        answer = await other.client.post(SYNC, json=[breath("ana")] * 4)
        if answer.status_code != 200:
            refused = answer
            break
    assert refused is not None
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.json()["violated-policies"] == ["device"]
    assert refused.json()["type"].endswith("#quota-exceeded")
    again_s, told = int(refused.headers["retry-after"]), fields(refused.headers["ratelimit"])
    assert set(told) == set(fields(refused.headers["ratelimit-policy"])) == {"address", "device"}
    assert told["device"]["r"] < 4
    assert again_s >= told["device"]["t"] >= 1
    assert set(told["address"]) == {"r"}, "the address may go on at once"
    assert (await one.client.post(SYNC, json=[breath("bea")])).status_code == 200, "another device is not ana"
    for n in range(30):
        answer = await other.client.post(SYNC, json=[breath(f"many-{n}"), breath(f"more-{n}")])
        if answer.status_code == 429:
            break
    assert answer.json()["violated-policies"] == ["address"]
    assert (await other.client.post(SYNC, json=[breath(f"new-{n}") for n in range(20)])).status_code == 429
