"""Archaeology over HTTP on a real database: what is shown is what was, once each, and of nobody who has opted out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from psycopg import sql

from deploy.local import loopback
from projections.follow import Pool
from projections.gateway import archaeology, cold_rows, cursors
from projections.gateway.archaeology import SHOWN
from projections.raw import Raw
from streams.events import OPTS, Event
from streams.settings import Settings
from tests.fixtures.gateway import serving
from tests.integration.projecting import apply, by_partition, database, rows
from tests.worlds import START_S, say

URL = "/api/consciousness/archaeology"
START = START_S * 1000
DEVICES = ("ana", "bea", "cyd", "dan")
ROOMS = ("hall", "yard", None)


def a_day(seed: int, count: int) -> list[Event]:
    """Events of some devices at random, many of them at the same moments."""
    chance = random.Random(seed)
    events = []
    for _ in range(count):
        device, other = chance.sample(DEVICES, 2)
        kind = chance.choice([kind for kind in SHOWN if kind not in ("ENTER", "LEAVE")])
        events.append(
            say(
                device, kind, chance.randrange(200) / 2,
                room=chance.choice(ROOMS),
                to=other if kind in ("ENTANGLE", "RELEASE") or (kind == "TOUCH" and chance.random() < 0.5) else None,
                intensity=chance.randrange(5) / 4,
                at=chance.choice([None, (chance.randrange(-5, 6), chance.randrange(-5, 6), 1.5)]),
                id=f"{chance.getrandbits(32):08x}-0000-4000-8000-{chance.getrandbits(48):012x}",
            )
        )  # fmt: skip
    return events


class Dig:
    """A gateway over a database that events can be put into."""

    def __init__(self, client: httpx.AsyncClient, settings: Settings, pool: Pool) -> None:
        self.client = client
        self._settings = settings
        self._pool = pool
        self._records: dict[int, list[Any]] = {}

    async def put(self, events: Sequence[Event]) -> None:
        raw = Raw(self._settings)
        for number, fresh in by_partition(events, self._settings.partitions).items():
            records = self._records.setdefault(number, [])
            for record in fresh:
                record.offset = len(records)
                records.append(record)
            await apply(raw, self._settings, self._pool, number, records)

    async def ask(self, **parameters: Any) -> list[dict[str, Any]]:
        given = {"limit": "1000"} | {name.rstrip("_"): value for name, value in parameters.items()}
        answer = await self.client.get(URL, params=given)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["next"] is None
        found: list[dict[str, Any]] = answer.json()["data"]["events"]
        return found


@pytest.fixture
async def dig(make_settings) -> AsyncIterator[Dig]:
    settings = make_settings(partitions=2)
    async with (
        database(settings) as pool,
        serving(settings) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):
        yield Dig(client, settings, pool)


def newest_first(events: Sequence[Event]) -> list[str]:
    return [
        event.id for event in sorted(events, key=lambda event: (event.timestamp, event.id, event.key), reverse=True)
    ]


async def test_every_filter_chooses_what_a_loop_would_choose(dig: Dig) -> None:
    events = a_day(1, 400)
    await dig.put(events)
    since, until = START + 20_000, START + 60_000

    def inside(event: Event) -> bool:
        return event.x is not None and event.y is not None and -1 <= event.x <= 3 and -5 <= event.y <= 0

    questions: list[tuple[dict[str, Any], Any]] = [
        ({}, lambda event: True),
        ({"from_": since}, lambda event: event.timestamp >= since),
        ({"until": until}, lambda event: event.timestamp < until),
        ({"type": "BLOOM,TOUCH"}, lambda event: event.type in ("BLOOM", "TOUCH")),
        ({"room": "hall"}, lambda event: event.room_id == "hall"),
        ({"device": "cyd"}, lambda event: event.device_id == "cyd"),
        ({"box": "-1,-5,3,0"}, inside),
        ({"min_intensity": "0.75"}, lambda event: event.intensity >= 750_000),
        (
            {"from_": since, "until": until, "type": "BLOOM", "room": "yard", "min_intensity": "0.25"},
            lambda event: (
                since <= event.timestamp < until
                and (event.type, event.room_id) == ("BLOOM", "yard")
                and event.intensity >= 250_000
            ),
        ),
        ({"device": "ana", "box": "-1,-5,3,0"}, lambda event: event.device_id == "ana" and inside(event)),
        ({"room": "nowhere"}, lambda event: False),
    ]
    for parameters, chosen in questions:
        found = await dig.ask(**parameters)
        assert [event["id"] for event in found] == newest_first([one for one in events if chosen(one)]), parameters


async def test_the_edges_of_a_box_are_exact(dig: Dig) -> None:
    """The index rounds to single precision: 0.1 is not 0.1 there."""
    near = [0.1, 0.1 + 1e-9, 0.1 - 1e-9]
    await dig.put([say("ana", "BLOOM", number, at=(x, 0.0)) for number, x in enumerate(near)])
    assert [event["position"]["x"] for event in await dig.ask(box="0.1,-1,1,1")] == [0.1 + 1e-9, 0.1]
    assert [event["position"]["x"] for event in await dig.ask(box="-1,0,0.1,0")] == [0.1 - 1e-9, 0.1]


async def test_an_event_is_told_as_it_is_stored(dig: Dig) -> None:
    breath = say("ana", "BREATH", 1.25, room="hall", at=(3.0, -4.5, 2.0), intensity=0.25, phase=1.5, rate=6.0)
    await dig.put([breath, say("bea", "ENTANGLE", 0, to="ana")])
    told, bond = await dig.ask()
    assert told.pop("log").keys() == {"partition", "offset", "index"}
    assert told.pop("received") > 0
    assert told == {
        "id": breath.id, "type": "BREATH", "device_id": "ana", "room_id": "hall", "timestamp": breath.timestamp,
        "intensity": 0.25, "position": {"x": 3.0, "y": -4.5, "z": 2.0}, "data": {"phase": 1.5, "rate": 6.0},
    }  # fmt: skip
    assert bond["data"] == {"target_device": "ana", "kind": "bond", "intensity": 1.0}
    assert "position" not in bond


async def test_times_are_words_or_milliseconds(dig: Dig) -> None:
    events = [say("ana", "BLOOM", second) for second in range(4)]
    await dig.put(events)
    word = datetime.fromtimestamp(START_S + 2, UTC).isoformat()
    assert [event["id"] for event in await dig.ask(from_=word)] == newest_first(events[2:])
    assert [event["id"] for event in await dig.ask(until=START + 2_000)] == newest_first(events[:2])


async def test_pages_walk_everything_once_while_rows_come(dig: Dig) -> None:
    """New ones, and old ones that come late: who was there all the time is met exactly once, and nobody twice."""
    events = a_day(2, 300)
    await dig.put(events)
    met: list[tuple[int, str]] = []
    cursor, page = None, 0
    while True:
        given = {"limit": "37"} | ({"cursor": cursor} if cursor else {})
        data = (await dig.client.get(URL, params=given)).raise_for_status().json()["data"]
        met += [(event["timestamp"], event["id"]) for event in data["events"]]
        cursor, page = data["next"], page + 1
        if cursor is None:
            break
        assert len(data["events"]) == 37
        await dig.put(a_day(100 + page, 20))
    assert page > 8
    assert len(set(met)) == len(met)
    assert met == sorted(met, reverse=True)
    assert {event.id for event in events} <= {event for _, event in met}


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_has_opted_out_is_not_shown(dig: Dig, seed: int) -> None:
    """Nothing of him up to his last opt-out, nor what names him; what he does after he is in again is shown."""
    chance = random.Random(seed)
    events = a_day(seed, 150)
    toggles = [
        say(device, chance.choice(["OPT_OUT", "OPT_OUT", "OPT_IN"]), chance.randrange(200) / 2)
        for device in ("ana", "bea")
        for _ in range(3)
    ]
    mixed = [*events, *toggles]
    chance.shuffle(mixed)
    for start in range(0, len(mixed), 40):
        await dig.put(mixed[start : start + 40])

    def out(event: Event, device: str | None) -> bool:
        theirs = [toggle for toggle in toggles if toggle.device_id == device]
        place = (event.timestamp, event.id, event.device_id)
        before = [toggle for toggle in theirs if (toggle.timestamp, toggle.id, toggle.device_id) < place]
        later = any(toggle.type == "OPT_OUT" and toggle.timestamp >= event.timestamp for toggle in theirs)
        return later or bool(before and max(before, key=lambda one: (one.timestamp, one.id)).type == "OPT_OUT")

    shown = [event for event in events if not out(event, event.device_id) and not out(event, event.target)]
    assert 0 < len(shown) < len(events)
    found = await dig.ask()
    assert [event["id"] for event in found] == newest_first(shown)
    assert not {event["type"] for event in found} & OPTS


async def test_a_plan_uses_the_index_of_what_is_asked_for(dig: Dig) -> None:
    """With some thousand rows, so that reading all of them would cost more."""
    await dig.put([say("ana", "BREATH", n / 10, at=(n % 100, n // 100), room="hall") for n in range(8_000)])
    await dig.put([say("bea", "BLOOM", 5)])

    async def plan(parameters: archaeology.Filters) -> str:
        async with dig._pool.connection() as connection:
            await connection.execute("ANALYZE consciousness_events")
            statement = cold_rows._statement("archaeology_events")
            values = cold_rows._bound(parameters, 101) | cold_rows.NOWHERE
            found = await connection.execute("EXPLAIN " + statement.as_string(), values, prepare=False)
            return "\n".join(str(line) for (line,) in await found.fetchall())

    assert "consciousness_events_position" in await plan(
        archaeology.Filters(box=archaeology.Box(10.0, 10.0, 11.0, 11.0))
    )
    assert "consciousness_events_device" in await plan(archaeology.Filters(device="bea"))
    newest = await plan(archaeology.Filters())
    assert "consciousness_events_once" in newest
    assert "Sort" not in newest  # it is read in the order of the page, and no further


IMPOSSIBLE = [
    ("from=tomorrow", "from"), ("until=-1", "until"), ("from=5&until=5", "from"),
    ("from=2023-13-01T00:00:00Z", "from"), ("type=NOISE", "type"), ("type=BLOOM,", "type"), ("type=OPT_OUT", "type"),
    ("room=a b", "room"), ("device=%00", "device"), ("device=" + "x" * 65, "device"), ("box=1,2,3", "box"),
    ("box=3,0,1,1", "box"), ("box=0,0,nan,1", "box"), ("min_intensity=1.1", "min_intensity"),
    ("min_intensity=NaN", "min_intensity"), ("limit=0", "limit"), ("cursor=!", "cursor"),
    ("cursor=WyJyb29tcyIsICJhIl0", "cursor"), ("colour=red", "colour"), ("room=a&room=b", "room"),
    ("kind=rhythm", "kind"),
]  # fmt: skip


async def test_what_cannot_be_asked_is_named(dig: Dig) -> None:
    for query, name in IMPOSSIBLE:
        answer = await dig.client.get(f"{URL}?{query}")
        assert (answer.status_code, answer.json()["parameter"]) == (400, name), query
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_forged_cursor_is_none(dig: Dig) -> None:
    for key in ((-1, "a", "b"), (1 << 62, "a", "b"), (1, "no uuid", "hall"), (1, say("a", "BLOOM", 0).id, "a b")):
        answer = await dig.client.get(URL, params={"cursor": cursors.make("archaeology", *key)})
        assert (answer.status_code, answer.json().get("parameter")) == (400, "cursor"), key


async def test_answers_say_what_they_reflect_and_are_asked_about_again(dig: Dig) -> None:
    await dig.put([say("ana", "BLOOM", 0, room="hall")])
    (record,) = rows(dig._settings.database_url, "SELECT log_partition, log_offset FROM consciousness_events")
    first = await dig.client.get(URL)
    told = first.json()
    assert told["reflects"]["tier"] == "database"
    assert told["performance"]["averageResponseTime"] > 0
    assert told["data"]["events"][0]["log"] == {"partition": record[0], "offset": record[1], "index": 0}
    again = await dig.client.get(URL, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    await dig.put([say("ana", "BLOOM", 1, room="hall")])
    fresh = await dig.client.get(URL, headers={"If-None-Match": first.headers["etag"]})
    assert fresh.status_code == 200


async def test_without_a_database_it_says_when_to_come_again(parts_settings: Settings) -> None:
    url = f"postgresql://field:field@127.0.0.1:{loopback.free()}/field"
    settings = replace(parts_settings, database_url=url, gateway_metrics_port=0)
    async with serving(settings) as served, httpx.AsyncClient(base_url=served.url, timeout=30) as client:
        for path in (URL, f"{URL}/patterns"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
            assert int(answer.headers["retry-after"]) >= 1


async def test_more_than_can_wait_are_told_so(dig: Dig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-eight at a time: while the rows are locked, those that come then hear it at once."""
    await dig.put([say("ana", "BLOOM", 0)])
    most = sum(archaeology.READING)
    async with dig._pool.connection() as connection:
        await connection.execute("LOCK TABLE consciousness_events")
        asked = [asyncio.create_task(dig.client.get(URL, timeout=60)) for _ in range(most + 5)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert {(one.result().status_code, one.result().json()["code"]) for one in done} == {(503, "busy")}
    codes = [(await one).status_code for one in asked]
    assert codes.count(200) + codes.count(503) == len(asked)
    assert codes.count(200) > 0


async def test_a_room_that_is_seldom_used_is_found_without_looking_at_all_rows(dig: Dig) -> None:
    async with dig._pool.connection() as connection:
        await connection.execute(
            "INSERT INTO consciousness_events (id, routing_key, device_id, room_id, type, data, intensity, collective,"
            " timestamp, received, log_partition, log_offset, log_index)"
            " SELECT gen_random_uuid(), room, 'd' || n %% 50, room, 'BLOOM', '{}', 0.5, true, at, at, 0, n, 0"
            " FROM (SELECT n, CASE WHEN n %% 7000 = 0 THEN 'rare' ELSE 'room' || n %% 400 END AS room,"
            " field_time(%(start)s + n * 4) AS at FROM generate_series(1, 30000) n) rows",
            {"start": START},
        )
        await connection.execute("ANALYZE consciousness_events")
        parameters = cold_rows._bound(archaeology.Filters(room="rare"), 101) | cold_rows.NOWHERE
        asked = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + cold_rows._statement("archaeology_events")
        (plan,) = (await (await connection.execute(asked, parameters, prepare=False)).fetchone()) or ()
    nodes, looked = [plan[0]["Plan"]], 0
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        looked += node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    assert len(await dig.ask(room="rare")) == 4
    assert looked < 300, plan
