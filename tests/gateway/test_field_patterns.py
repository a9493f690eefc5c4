"""Patterns over HTTP: planted in a real database, found through the filters; cut where there is too much."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from projections.gateway import archaeology, digging
from streams.events import Event
from streams.settings import Settings
from tests.fixtures.gateway import serving
from tests.gateway.test_field_archaeology import START, Dig
from tests.integration.projecting import Door, database
from tests.worlds import say

URL = "/api/consciousness/archaeology/patterns"
HALF_HOUR_S = 1_800


def planted() -> list[Event]:
    """Half an hour: a hall of three who breathe in step, a yard of two who do not; ana blooms every 20 s, more and
    more strongly; each of the hall touches, draws and blooms once; 60 touches of bea in the 21st minute."""
    chance = random.Random(1)
    events = []
    for number, device in enumerate(("ana", "bea", "cyd")):
        for _ in range(150):
            second = chance.uniform(0, HALF_HOUR_S)
            phase = (math.tau * second / 6 + number) % math.tau
            events.append(say(device, "BREATH", second, room="hall", phase=phase, rate=10.0))
        for step, kind in enumerate(("TOUCH", "SPIRAL", "BLOOM")):
            events.append(say(device, kind, 700 + 100 * number + step / 10, room="hall"))
    for device in ("dan", "eve"):
        for n in range(150):
            events.append(say(device, "BREATH", 12 * n + 1, room="yard", phase=chance.uniform(0, 6)))
    events += [say("ana", "BLOOM", 20 * n, intensity=n / 90, at=(50, 50)) for n in range(90)]
    events += [say("bea", "TOUCH", chance.uniform(1_200, 1_260), at=(-50, -50)) for _ in range(60)]
    return events


@pytest.fixture
async def dig(make_settings: Callable[..., Settings]) -> AsyncIterator[Dig]:
    settings = make_settings(partitions=2)
    async with (
        database(settings) as pool,
        serving(settings) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):
        found = Dig(client, settings, pool)
        await found.put(planted())
        yield found


async def asked(client: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    answer = await client.get(URL, params={name.rstrip("_"): value for name, value in parameters.items()})
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def test_what_was_planted_is_found_through_the_filters(dig: Dig) -> None:
    blooms = await asked(dig.client, type="BLOOM", box="49,49,51,51", kind="rhythm,trend")
    assert (blooms["events"], blooms["cut"]) == (90, False)
    assert (blooms["first"], blooms["last"]) == (START, START + 20_000 * 89)
    assert blooms["rhythm"]["significant"]
    assert blooms["rhythm"]["period_ms"] == pytest.approx(20_000, rel=1e-3)
    rising = (await asked(dig.client, type="BLOOM", box="49,49,51,51", kind="trend", until=START + 1_800_000))["trend"]
    assert rising["intensity"]["direction"] == "rising"
    assert rising["intensity"]["slope"] == pytest.approx(2.0, rel=0.02)  # from 0 to 1 in half an hour
    assert rising["events"]["direction"] == "none"

    (burst,) = (await asked(dig.client, device="bea", kind="bursts"))["bursts"]
    assert START + 1_190_000 < burst["start"] < burst["end"] < START + 1_270_000
    assert burst["events"] >= 60

    rooms = {room["room"]: room for room in (await asked(dig.client, kind="synchrony"))["synchrony"]["rooms"]}
    assert (rooms["hall"]["locked"], rooms["hall"]["pairs"]) == (3, 3)
    assert rooms["hall"]["value"] > 0.99
    assert rooms["yard"]["value"] < 0.3

    sequences = (await asked(dig.client, room="hall", kind="sequences"))["sequences"]
    shown = {tuple(one["types"]): one["devices"] for one in sequences["found"]}
    assert shown["TOUCH", "SPIRAL", "BLOOM"] == 3


async def test_all_kinds_come_where_none_is_named(dig: Dig) -> None:
    everything = await asked(dig.client)
    assert set(digging.KINDS) <= set(everything)
    assert everything["events"] == len(planted())
    nothing = await asked(dig.client, room="nowhere")
    assert nothing == {
        "events": 0, "cut": False, "first": None, "last": None, "rhythm": None, "bursts": [],
        "synchrony": {"rooms": [], "pairs": [], "complete": True},
        "sequences": {"found": [], "devices": 0, "complete": True},
        "trend": {"bucket_ms": None, "events": None, "intensity": None},
    }  # fmt: skip
    for query, name in (("kind=noise", "kind"), ("kind=", "kind"), ("limit=3", "limit"), ("type=OPT_IN", "type")):
        answer = await dig.client.get(f"{URL}?{query}")
        assert (answer.status_code, answer.json()["parameter"]) == (400, name)


async def test_of_too_much_the_newest_count_and_it_says_so(dig: Dig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archaeology, "EVENTS_MAX", 50)
    monkeypatch.setattr(digging, "EVENTS_MAX", 50)
    data = await asked(dig.client, type="BLOOM", box="49,49,51,51", kind="rhythm,trend")
    assert (data["events"], data["cut"]) == (50, True)
    assert (data["first"], data["last"]) == (START + 20_000 * 40, START + 20_000 * 89)


async def test_whoever_opts_out_is_in_no_pattern(dig: Dig) -> None:
    before = await asked(dig.client, device="ana", kind="rhythm")
    assert before["events"] > 200
    await dig.put([say("ana", "OPT_OUT", HALF_HOUR_S + 1)])
    assert (await asked(dig.client, device="ana", kind="rhythm"))["events"] == 0


async def test_too_much_to_look_through_is_told(dig: Dig) -> None:
    """Locked rows take as long as very many."""
    async with dig._pool.connection() as connection:
        await connection.execute("LOCK TABLE consciousness_events")
        for path in (f"{URL}?kind=trend", f"{URL}?device=ana", "/api/consciousness/archaeology"):
            answer = await dig.client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "too_slow")
            assert int(answer.headers["retry-after"]) >= 1


async def test_patterns_that_were_asked_for_answer_while_the_database_is_away(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(partitions=2)
    async with database(settings) as pool, Door(urlsplit(settings.database_url).port or 0) as door:
        await door.open()
        url = settings.database_url.replace(f":{urlsplit(settings.database_url).port}/", f":{door.port}/")
        over = make_settings(partitions=2, database_url=url, generation=settings.generation, gateway_memory_ms=0)
        async with serving(over) as served, httpx.AsyncClient(base_url=served.url, timeout=30) as client:
            await Dig(client, settings, pool).put(planted())
            first = (await client.get(URL, params={"kind": "bursts"})).json()
            assert first["reflects"]["tier"] == "database"
            await door.shut()
            second = (await client.get(URL, params={"kind": "bursts"})).json()
            assert second["reflects"]["tier"] in ("memory", "redis")
            assert second["data"] == first["data"]
            for other in (f"{URL}?kind=trend", "/api/consciousness/archaeology"):
                answer = await client.get(other)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
            await door.open()
            for _ in range(100):
                if (await client.get(f"{URL}?kind=trend")).status_code == 200:
                    break
            else:
                raise AssertionError("it never answered again")
