"""Odd and malformed questions to the stream and the socket: the documented answers, and no fault of ours in the log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from streams import topics
from streams.settings import Settings
from tests.fixtures.gateway import Serving, serving
from tests.gateway.pushing import LIMIT_S, ws_url
from tests.integration.projecting import until

STREAM = "/api/consciousness/stream"
REFUSED = {
    400: {"bad_request"},
    410: {"too_far_back", "other_log"},
    422: {"bad_filter", "bad_position", "bad_speed", "bad_time"},
}
"""What schema/push.md lets a question be answered with, unless it can be meant."""
PROBLEMS = {
    *REFUSED[410], *REFUSED[422], "bad_message", "malformed_json", "not_utf8", "rejected", "bad_value", "missing_field",
    "unknown_type", "bad_type", "empty", "duplicate_key", "nul", "lone_surrogate", "not_finite", "too_deep",
}  # fmt: skip
ODD: dict[str, list[Any]] = {
    "types": ["", ",", "BLOOM,,BREATH", "bloom", "BLOOM\0", "😀", "OPT_OUT", ["BLOOM", 1], {"a": 1}, 7, True, [[]]],
    "room": ["", "x" * 64, "x" * 65, "\ud7ff", "a\nb", ",".join(map(str, range(101))), ["a"] * 200, [None], -1],
    "device": ["", "🦄" * 64, "%00", ["ana", ""], {}, 0.5],
    "box": ["", "1,2,3", "1,2,3,4,5", "0,0,1e9,1e9", "0,0,1e400,1", "nan,0,1,1", "１,0,2,2", "3,3,1,1", [0, 0, 1, "1"],
            [0, 0, 10**400, 1], [True, 0, 1, 1], "0;0;1;1", "-1e-400,0,0x1,1"],
    "min_intensity": ["", "nan", "-0", "1.0000000001", "1e-999", "inf", "0,5", [], [0.5], "½", 10**400, False],
    "include": ["", "events,events", "all", "field ", ["events", ["field"]], 3, "live"],
    "from": ["", "0", "-1", "999999999999999999999", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "1e3",
             "9999-12-31T23:59:59.999999999Z", "2026-01-01T00:00:60+99:99", "yesterday", "\0", [], {"at": 1}, True],
    "speed": ["", "0", "-1", "nan", "inf", "1e309", "max", "MAX", "0x10", "1_0", [], "1" * 400],
    "last_event_id": ["", "0", "0:", "0:-2", "0:1,0:1", "9999:1", "0:99999999999999999999", "0:999999999999999999",
                      "~0:1", "ffffffff~0:1", "FFFFFFFF~0:1", "0:1~0:1", "0:1\n", "٠:١", "0:-1," * 500, "null"],
}  # fmt: skip
TABLE = [(name, value) for name, values in ODD.items() for value in values]

short = st.text(max_size=12)
values = st.one_of(short, st.integers(), st.floats(), st.booleans(), st.none(), st.lists(short, max_size=3))
jsons = st.recursive(values, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(short, inner)))
queries = st.dictionaries(
    st.sampled_from([*ODD, "typ", ""]),
    st.one_of(st.sampled_from([value for _, value in TABLE if isinstance(value, str)]), short), max_size=4,
)  # fmt: skip
said = st.fixed_dictionaries(
    {"type": st.one_of(st.sampled_from(["subscribe", "publish", "ping", "pong", "dance"]), values)},
    optional={
        "filters": st.one_of(values, st.dictionaries(st.sampled_from([*ODD]), jsons, max_size=3)),
        "last_id": st.one_of(values, st.sampled_from(ODD["last_event_id"])),
        "from": jsons, "speed": jsons, "request": jsons, "events": jsons, "x": jsons,
    },
)  # fmt: skip
messages = st.one_of(short, st.binary(max_size=20), said.map(json.dumps))
some = settings(
    max_examples=3, deadline=None, derandomize=True, phases=(Phase.generate,),  # each has a gateway of its own
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.large_base_example, HealthCheck.too_slow],
)  # fmt: skip


def unlimited(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(partitions=2, gateway_device_rate=0.0, gateway_address_rate=0.0)


@pytest.fixture
async def served(make_settings: Callable[..., Settings]) -> AsyncIterator[Serving]:
    chosen = unlimited(make_settings)
    await topics.create(chosen)
    async with serving(chosen) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_fault(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    ours = [one for one in caplog.get_records("call") if one.exc_info or one.name.startswith(("uvicorn", "asyncio"))]
    assert not [one.getMessage() for one in ours if one.levelno >= logging.ERROR]


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def _asked(client: httpx.AsyncClient, query: str, headers: dict[str, bytes] | None = None) -> None:
    """The beginning of the stream, or a refusal that is documented."""
    async with client.stream("GET", f"{STREAM}?{query}", headers=headers) as answer:
        if answer.status_code == 200:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith(("id: ", "event: ")):
                    return
            raise AssertionError(f"ended without a word: {query}")
        problem = json.loads(await answer.aread())
        assert problem["code"] in REFUSED.get(answer.status_code, ()), (query, problem)


async def _left(served: Serving) -> None:
    await until(lambda: not served.gateway.hub.listeners, "that all have left")


async def test_a_table_of_odd_queries(served: Serving) -> None:
    async with httpx.AsyncClient(base_url=served.url, timeout=LIMIT_S) as client:
        for name, value in TABLE:
            await _asked(client, f"{name}={quote(text_of(value), safe='')}")
        for query in ("%", "types=%ff%fe", "box=%00", "&&&==", "types=BLOOM&types=BREATH", "a" * 5_000, "x[]=1;y=2"):
            await _asked(client, query)
        for header in (b"0:1\xff", "0:１".encode(), b"ffffffff~0:1", b"0:-1", b"," * 9_000):
            await _asked(client, "", {"Last-Event-ID": header})
        for method, status in (("POST", 405), ("DELETE", 405), ("HEAD", 200)):
            assert (await client.request(method, STREAM)).status_code == status
        assert (await client.head(f"{STREAM}?box=1")).status_code == 422
    await _left(served)


async def talk(served: Serving, messages: list[Any]) -> list[dict[str, Any]]:
    """What is answered to these messages; after them a ping is, unless the line was closed with a documented code."""
    heard: list[dict[str, Any]] = []
    code = 1000
    async with asyncio.timeout(LIMIT_S), connect(ws_url(served), max_size=None) as socket:
        try:
            for message in messages:
                await socket.send(message)
            await socket.send(json.dumps({"type": "dance", "request": "the last"}))
            while not heard or heard[-1].get("request") != "the last":
                heard.append(json.loads(await socket.recv()))
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
    assert code in (1000, 1007, 1009), (code, messages)
    for one in heard:
        if one["type"] == "problem":
            assert 400 <= one["status"] < 500, (one, messages)
            assert one["code"] in PROBLEMS, (one, messages)
    return heard


async def test_a_table_of_odd_messages(served: Serving) -> None:
    subscribes = [
        {"type": "subscribe", **({name: value} if name in ("from", "speed") else {"last_id": value}
                                 if name == "last_event_id" else {"filters": {name: value}})}
        for name, value in TABLE
    ]  # fmt: skip
    for messages in (
        ["", "null", "[]", "7", "{", '{"type":"subscribe"', '{"type":7}', '{"type":null}', "{}", "\0", "\ufeff{}"],
        [b"", b"\xff\xfe", b'{"type":"subscribe"}', b"\0" * 100],
        ['{"type":"subscribe","filters":[]}', '{"type":"subscribe","filters":"types"}', '{"type":"x","type":"y"}'],
        ["[" * 5_000, '{"a":' * 5_000, '{"type":"' + "s" * 100_000 + '"}', '{"type":"\\ud800"}'],
        ['{"type":"publish"}', '{"type":"publish","events":null}', '{"type":"publish","events":7}',
         '{"type":"publish","events":{}}', '{"type":"publish","events":[]}', '{"type":"publish","events":[1,null]}',
         '{"type":"publish","events":[{"id":"a","id":"b"}]}', '{"type":"publish","events":[{"intensity":NaN}]}',
         '{"type":"publish","events":' + "[" * 900 + "]" * 900 + "}", '{"type":"publish","events":["\\ud800"]}'],
        ['{"type":"subscribe"}'] * 50,
        [json.dumps(one) for one in subscribes],
    ):  # fmt: skip
        heard = await talk(served, messages)
        assert heard
        assert heard[-1]["code"] == "bad_message"
    # a message larger than a device's request is closed with its reason, and bytes that are no text
    assert len(await talk(served, ["x" * (served.gateway.settings.gateway_body_bytes_max * 4)])) <= 1
    await _left(served)


@some
@given(asked=st.lists(queries, min_size=25, max_size=25), told=st.lists(st.lists(messages, max_size=4), max_size=25))
def test_any_query_and_any_message(
    make_settings: Callable[..., Settings], asked: list[dict[str, str]], told: list[list[str | bytes]]
) -> None:
    async def ask() -> None:
        async with serving(chosen) as served, httpx.AsyncClient(base_url=served.url, timeout=LIMIT_S) as client:
            for query in asked:
                await _asked(client, "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items()))
            for messages in told:
                await talk(served, messages)
            await _left(served)

    chosen = unlimited(make_settings)
    asyncio.run(topics.create(chosen))
    asyncio.run(ask())
