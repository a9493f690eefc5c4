"""The description is that of the code, and the gateway keeps it: no fault, and no answer that it does not describe."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import hypothesis
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from schemathesis import GenerationMode
from schemathesis.checks import CheckContext
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from projections.gateway.app import AREAS
from projections.gateway.vectors import Log, parse, render
from schema import openapi
from streams import topics
from streams.settings import Settings
from tests.fixtures.gateway import Serving, serving
from tests.gateway.devices import breath
from tests.gateway.filling import gathering, world
from tests.gateway.reading import alone

ENDLESS = ("/api/consciousness/stream", "/api/consciousness/ws")
README = openapi.ROOT.parent / "README.md"
EXAMPLES = 25


def test_the_file_is_what_is_generated() -> None:
    assert openapi.FILE.read_bytes() == openapi.content(), "python -m schema.openapi"


def test_it_describes_every_route_and_no_other() -> None:
    found = {getattr(route, "path", "") for area in AREAS for route in area()}
    served = {path.replace("{procedures:path}", "{procedure}") for path in found if path.startswith("/api/")}
    assert served | set(ENDLESS) == set(openapi.document()["paths"])


def test_all_references_lead_somewhere() -> None:
    document = openapi.document()
    for name in {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema), name


def test_ids_that_are_given_out_fit_the_description_of_last_event_id() -> None:
    schema = openapi.LISTENING["last_event_id"]
    log = Log("field.events", 10_000)
    for positions in ({0: 41}, {0: -1}, {0: 41, 1: -1, 9_999: 10**18 - 1}):
        id = render(log, positions)
        for text in (id, id.rpartition("~")[2]):
            assert parse(text).positions == positions
            jsonschema.validate(text, schema)
    for text in ("", "0", "0:", "0:-2", "0:1,", "~0:1", "FFFFFFFF~0:1", "0:1~0:1", "x0:1", "0:1x"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(text, schema)


@pytest.fixture
async def served(make_settings: Callable[..., Settings]) -> AsyncIterator[Serving]:
    """A gateway with something to show in all its stores."""
    settings = make_settings(partitions=2, shards=4, hot_s=600, gateway_wait_ms=50, gateway_address_rate=0.0)
    await topics.create(settings, (settings.events_topic,))
    async with world(settings) as told, serving(settings) as found:
        told.say(*gathering())
        await told.publish()
        await told.project()
        yield found


def no_fault(ctx: CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """5xx only where something is away or does not come in time, and then it says when to come again."""
    assert response.status_code < 500 or response.status_code in (503, 504), response.text
    if response.status_code == 503:
        assert "retry-after" in response.headers


CHECKS = [no_fault, status_code_conformance, content_type_conformance, response_schema_conformance]


def play(url: str, mode: GenerationMode, examples: int = EXAMPLES) -> dict[str, set[int]]:
    """Plays every operation; the statuses met, by operation."""
    schema = schemathesis.openapi.from_dict(openapi.document())
    operations = [found.ok() for found in schema.get_all_operations()]
    return {
        f"{one.method.upper()} {one.path}": statuses(url, one, mode, examples)
        for one in operations
        if one.path not in ENDLESS
    }


def statuses(url: str, operation: schemathesis.APIOperation, mode: GenerationMode, examples: int) -> set[int]:
    """Those that examples of one operation meet; always the same examples."""
    met = set()

    @hypothesis.settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def played(case: schemathesis.Case) -> None:
        response = case.call(base_url=url, timeout=30)
        met.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    impossible = () if mode is GenerationMode.POSITIVE else (hypothesis.errors.Unsatisfiable,)
    with contextlib.suppress(*impossible):  # what has no parameter cannot be asked wrongly
        played()
    return met


# the gateway, in another thread of this process, is free to draw random numbers
our_random = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


@our_random
async def test_what_fits_the_description_is_answered_by_it(served: Serving) -> None:
    met = await asyncio.to_thread(play, served.url, GenerationMode.POSITIVE)
    reading = {f"GET {openapi.BASE}{path}" for path in openapi.ANSWERS}
    never = {name for name in reading if not met[name] & {200, 404}}
    assert not never, {name: met[name] for name in never}


@our_random
async def test_what_does_not_fit_is_refused_by_it(served: Serving) -> None:
    met = await asyncio.to_thread(play, served.url, GenerationMode.NEGATIVE)
    assert met[f"POST {openapi.BASE}/sync"] & {400, 422}


@our_random
async def test_with_every_store_away_nothing_is_a_fault() -> None:
    async with serving(replace(alone(), gateway_ack_ms=100, gateway_wait_ms=50)) as served:
        met = await asyncio.to_thread(play, served.url, GenerationMode.POSITIVE, 5)
    assert 503 in met[f"GET {openapi.BASE}/state"] <= {400, 410, 503}  # 410: ids of logs that schemathesis made up
    assert 503 in met[f"POST {openapi.BASE}/sync"]


async def test_at_least_is_taken_where_the_readme_and_the_description_say(served: Serving) -> None:
    said = re.sub(r"\s+", " ", README.read_text(encoding="utf-8")).partition("`?at_least=`")[2].partition(";")[0]
    assert re.findall("`(/[^`]*)`", said) == [path for path, one in openapi.PARAMETERS.items() if "at_least" in one]
    async with httpx.AsyncClient(base_url=served.url + openapi.BASE) as client:
        for path, parameters in openapi.PARAMETERS.items():
            found = await client.get(path.replace("{room_id}", "hall"), params={"at_least": "0:0"})
            assert (found.status_code != 400) == ("at_least" in parameters), (path, found.text)


async def test_it_is_served(served: Serving) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        found = await client.get("/api/openapi.json")
        assert found.json() == json.loads(openapi.content())
        again = await client.get("/api/openapi.json", headers={"If-None-Match": found.headers["etag"]})
        assert again.status_code == 304
        assert (await client.get("/api/")).json()["links"]["openapi"] == "/api/openapi.json"


async def test_answers_with_content_fit_it(served: Serving) -> None:
    document: Any = openapi.document()
    async with httpx.AsyncClient(base_url=served.url) as client:
        await client.post("/api/consciousness/sync", json=breath())
        for path in openapi.ANSWERS:
            found = await client.get(openapi.BASE + path.replace("{room_id}", "hall"))
            assert found.status_code == 200, found.text
            responses = document["paths"][openapi.BASE + path]["get"]["responses"]
            schema = responses["200"]["content"]["application/json"]["schema"] | {"components": document["components"]}
            jsonschema.validate(found.json(), schema)
