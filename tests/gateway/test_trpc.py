"""The procedures over real HTTP: beside the real @trpc/server, and by the real @trpc/client."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.local import loopback
from projections.gateway import app, trpc
from projections.gateway.context import Gateway
from projections.gateway.problems import Problem, answer
from streams.settings import Settings
from tests.fixtures.gateway import Serving, serving
from tests.gateway.node import LOCKED, NODE, modules

STATUS = {"NOT_FOUND": 404, "TOO_MANY_REQUESTS": 429, "SERVICE_UNAVAILABLE": 503, "CONFLICT": 409, "UNAUTHORIZED": 401}


async def told(request: Request) -> Response:
    """Stands for a REST route: says what it was asked, or refuses as it is told."""
    if code := request.query_params.get("fail"):
        headers = {"RateLimit": '"device";r=0;t=7'}
        raise Problem(STATUS[code], code.lower(), "as told", retry_after_s=7, headers=headers, device="ana")
    if request.query_params.get("break"):
        raise RuntimeError("secret of ours")
    body = (await request.body()).decode()
    if body.startswith("["):
        raise Problem(422, "bad_value", "all are bad", events=[{"index": 0, "verdict": "rejected"}])
    found = {"path": request.url.path, "query": dict(request.query_params), "body": body}
    return answer(found | {"from": request.headers.get("authorization"), "method": request.method})


BASE = "/api/consciousness"
PATHS = ("/field", "/entanglements", "/rooms", "/rooms/{room_id}", "/archaeology", "/archaeology/patterns")


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    """A gateway whose other areas are ``told``."""
    gone = loopback.free()
    settings = replace(
        Settings(),
        kafka_brokers=f"127.0.0.1:{gone}", redis_port=gone, gateway_metrics_port=0,
        database_url=f"postgresql://field:field@127.0.0.1:{gone}/field",
    )  # fmt: skip
    stubs = [Route(BASE + path, told) for path in PATHS] + [Route(f"{BASE}/sync", told, methods=["POST"])]
    monkeypatch.setattr(app, "AREAS", (lambda: stubs, trpc.routes))
    monkeypatch.setattr(Gateway, "parts", ())  # what looks for stores has nothing to do here
    async with serving(settings) as found:
        yield found


@pytest.fixture(scope="module")
def original() -> Iterator[str]:
    """The address of the real @trpc/server."""
    command, env = [NODE, str(LOCKED / "server.mjs")], {**os.environ, "MODULES": str(modules())}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


FIELD, SYNC, ROOM = "consciousness.field", "consciousness.sync", "consciousness.room64"
JSON = {"content-type": "application/json"}
REQUESTS: list[tuple[str, str, dict[str, str], Any, Any]] = [
    ("GET", FIELD, {}, None, {}),
    ("GET", FIELD, {"input": '{"grid": 8}'}, None, {}),
    ("GET", FIELD, {"input": "null"}, None, {}),
    ("GET", FIELD, {"input": "{"}, None, {}),
    ("GET", FIELD, {"input": '{"fail": "NOT_FOUND"}'}, None, {}),
    ("GET", FIELD, {"input": '{"fail": "SERVICE_UNAVAILABLE"}'}, None, {}),
    ("GET", "consciousness.nothing", {}, None, {}),
    ("GET", "field", {}, None, {}),
    ("GET", SYNC, {}, None, {}),
    ("POST", FIELD, {}, {}, {}),
    ("POST", SYNC, {}, {"id": 1}, {}),
    ("POST", SYNC, {}, {"id": 1}, {"content-type": "text/plain"}),
    ("HEAD", FIELD, {}, None, {}),
    ("GET", f"{FIELD},{ROOM}", {"batch": "1"}, None, {}),
    ("GET", f"{FIELD},{ROOM}", {"batch": "1", "input": '{"0": {"grid": 8}, "1": {"room_id": "hall"}}'}, None, {}),
    ("GET", f"{FIELD},{ROOM}", {"batch": "1", "input": '{"1": {"fail": "CONFLICT"}}'}, None, {}),
    ("GET", f"{FIELD},{ROOM}", {"batch": "1", "input": '{"0": {"fail": "CONFLICT"}, "1": {"fail": "CONFLICT"}}'},
     None, {}),
    ("GET", f"{FIELD},consciousness.nothing", {"batch": "1"}, None, {}),
    ("GET", f"{FIELD},{ROOM}", {"batch": "1", "input": "[1"}, None, {}),
    ("GET", f"{FIELD},{ROOM}", {"batch": "1", "input": "7"}, None, {}),
    ("GET", f"{FIELD},{SYNC}", {"batch": "1"}, None, {}),
    ("GET", FIELD, {"batch": "1"}, None, {}),
    ("GET", f"{FIELD},{ROOM}", {}, None, {}),
    ("POST", f"{SYNC},{SYNC}", {"batch": "1"}, {"0": {"id": 1}, "1": {"id": 2}}, {}),
    ("POST", f"{FIELD},{SYNC}", {"batch": "1"}, {"0": {}, "1": {}}, {}),
    ("GET", ",".join([FIELD] * 33), {"batch": "1"}, None, {}),
]  # fmt: skip


def shape(content: Any) -> Any:
    """An envelope without what is the procedures' own: texts, data, and what we add to errors."""
    if isinstance(content, list):
        return [shape(one) for one in content]
    if "error" in content:
        error = content["error"]
        data = {name: value for name, value in error["data"].items() if name not in ("problem", "stack")}
        return {"error": {"code": error["code"], "data": data, "message": type(error["message"])}}
    assert content.keys() == {"result"}
    assert "data" in content["result"]
    return "result"


async def test_says_what_the_original_says(served: Serving, original: str) -> None:
    async with httpx.AsyncClient() as client:
        for method, path, query, body, headers in REQUESTS:
            ours, theirs = [
                await client.request(
                    method, f"{url}/api/trpc/{path}", params=query, content=None if body is None else json.dumps(body),
                    headers=(JSON if body is not None else {}) | headers,
                )
                for url in (served.url, original)
            ]  # fmt: skip
            asked = (method, path, query, body)
            assert (ours.status_code, asked) == (theirs.status_code, asked)
            if method != "HEAD":
                # the original forgets it where all calls are refused
                assert ours.headers["content-type"] == "application/json", asked
                assert shape(ours.json()) == shape(theirs.json()), asked


async def by_client(url: str, *batches: list[list[Any]], token: str = "") -> tuple[Any, Any]:
    """What the real client gets, and the requests it made."""
    command = [NODE, str(LOCKED / "calls.mjs"), url, json.dumps(batches), token]
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "MODULES": str(modules())}, stdout=subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    found = json.loads(said)
    return found["said"], found["requests"]


async def test_the_real_client_plain_and_batched(served: Serving) -> None:
    said, requests = await by_client(
        served.url,
        [["plain", "query", FIELD, {"grid": 8, "box": [0, 0, 1.5, 2], "phase": None}]],
        [["plain", "mutation", SYNC, {"id": "1"}]],
        [["batched", "query", ROOM, {"room_id": "a b"}], ["batched", "query", "consciousness.archaeology", None],
         ["batched", "query", "consciousness.archaeology", {"kind": ["rhythm", "trend"], "room": "hall"}],
         ["batched", "query", FIELD, {"points": [{"x": 1, "y": 2}, [3, 4]]}]],
        [["batched", "query", FIELD, {"fail": "TOO_MANY_REQUESTS"}], ["batched", "query", ROOM, {"limit": 3}]],
        [["plain", "mutation", SYNC, [{"id": "1"}]]],
        [["plain", "query", "consciousness.nothing", None]],
        [["plain", "query", FIELD, {"a": {"b": 1}}]],
        [["plain", "query", FIELD, 7]],
        token="t1",
    )  # fmt: skip
    plain, mutation, batch, mixed, refused, nothing, nested, number = said
    found = plain[0]["data"]
    assert (found["path"], found["query"]) == (f"{BASE}/field", {"grid": "8", "box": "0,0,1.5,2"})
    assert found["from"] == "Bearer t1"
    assert (mutation[0]["data"]["body"], mutation[0]["data"]["method"]) == ('{"id":"1"}', "POST")
    assert [(one["data"]["path"], one["data"]["query"]) for one in batch] == [
        (f"{BASE}/rooms/a b", {}),
        (f"{BASE}/archaeology", {}),
        (f"{BASE}/archaeology/patterns", {"kind": "rhythm,trend", "room": "hall"}),
        (f"{BASE}/field", {"points": "1,2;3,4"}),
    ]
    assert (mixed[0]["code"], mixed[0]["message"]) == (-32029, "as told")
    assert mixed[0]["data"]["problem"]["device"] == "ana"
    assert mixed[1]["data"]["query"] == {"limit": "3"}
    assert refused[0]["data"]["httpStatus"] == 422
    assert refused[0]["data"]["problem"]["events"] == [{"index": 0, "verdict": "rejected"}]
    assert (nothing[0]["code"], nested[0]["code"], number[0]["code"]) == (-32004, -32600, -32600)
    assert requests == [
        ["GET", 200], ["POST", 200], ["GET", 200], ["GET", 207], ["POST", 422], ["GET", 404], ["GET", 400],
        ["GET", 400],
    ]  # fmt: skip


async def test_headers_that_say_when_to_come_again_are_passed_on(served: Serving) -> None:
    async with httpx.AsyncClient(base_url=f"{served.url}/api/trpc") as client:
        found = await client.get(f"/{ROOM},{FIELD}", params={"batch": "1", "input": '{"1":{"fail":"CONFLICT"}}'})
        assert found.status_code == 207
        assert (found.headers["retry-after"], found.headers["ratelimit"]) == ("7", '"device";r=0;t=7')
        assert found.headers["cache-control"] == "no-store"


async def test_a_fault_is_named_in_the_log_only(served: Serving) -> None:
    async with httpx.AsyncClient(base_url=f"{served.url}/api/trpc") as client:
        found = await client.get(f"/{FIELD}", params={"input": '{"break": 1}'})
    assert found.status_code == 500
    assert "secret" not in found.text


async def test_bodies_and_inputs_have_bounds(served: Serving) -> None:
    most = served.gateway.settings.gateway_body_bytes_max
    async with httpx.AsyncClient(base_url=f"{served.url}/api/trpc") as client:
        large = await client.post(f"/{SYNC}", content=b'"' + b"x" * most + b'"', headers=JSON)
        assert (large.status_code, large.json()["error"]["data"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
        for odd in ('{"a":' + "[" * 5_000 + "]" * 5_000 + "}", '{"a":1' + "0" * 5_000 + "}", '{"a":"\ud800"}'):
            found = await client.get(f"/{FIELD}", params={"input": odd.encode("utf-8", "surrogatepass")})
            assert found.status_code in (200, 400), odd[:20]
            batch = await client.get(
                f"/{FIELD}", params={"batch": "1", "input": b'{"0":' + odd.encode("utf-8", "surrogatepass") + b"}"}
            )
            assert batch.status_code in (200, 400), odd[:20]
        zipped = await client.post(f"/{SYNC}", content=b"\x1f\x8b", headers=JSON | {"content-encoding": "gzip"})
        assert (zipped.status_code, zipped.json()["error"]["data"]["code"]) == (400, "BAD_REQUEST")
        many = await client.get("/" + ",".join([FIELD] * 33), params={"batch": "1"})
        assert (many.status_code, many.json()["error"]["code"]) == (400, -32600)
        stream = await client.get(f"/{FIELD}", params={"batch": "1"}, headers={"trpc-accept": "application/jsonl"})
        assert (stream.status_code, stream.json()["error"]["code"]) == (400, -32600)


async def test_a_room_with_a_slash_is_no_room(served: Serving) -> None:
    async with httpx.AsyncClient(base_url=f"{served.url}/api/trpc") as client:
        found = await client.get(f"/{ROOM}", params={"input": '{"room_id": "../field"}'})
    assert (found.status_code, found.json()["error"]["data"]["code"]) == (404, "NOT_FOUND")
