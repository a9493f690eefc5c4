"""Somebody opts out: every tier of the whole stack forgets her part from then on, and opting in starts afresh."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from redis import Redis

from deploy import context
from projections.hot import Names
from streams.settings import Settings
from tests.acceptance.stack import Stack
from tests.gateway.pushing import Ear, sse, ws
from tests.gateway.reading import eventually

ANA, BEN, CLEO = "ana-who-leaves", "ben", "cleo"
HERE, FAR = {"x": 3.0, "y": 3.0}, {"x": 90.0, "y": 90.0}
LIVE_READS = ("state", "snapshot", "rooms", "rooms/hall", "entanglements", "particles")
PAST_READS = (
    f"archaeology?device={ANA}", "archaeology?room=hall", "archaeology", f"archaeology?device={BEN}",
    f"archaeology/patterns?device={ANA}",
)  # fmt: skip


class At(NamedTuple):
    """A gateway somewhere."""

    url: str


class Field:
    """The stack as devices and dashboards know it, and its stores from inside. ``positions`` of what was published."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settings = context.load(stack.environ)
        self.at = At(f"http://127.0.0.1:{self.settings.gateway_port}")
        self.client = httpx.AsyncClient(base_url=f"{self.at.url}/api/consciousness", timeout=60)
        self.positions: dict[str, int] = {}

    async def publish(self, *events: dict[str, Any]) -> list[str]:
        """Ids of events that are all accepted."""
        answer = (await self.client.post("/sync", json=list(events))).raise_for_status().json()
        assert answer["accepted"] == len(events), answer
        self.positions |= answer["positions"]
        return [one["id"] for one in events]

    async def opt(self, way: str) -> None:
        answer = (await self.client.post(f"/{way}", json={"device_id": ANA})).raise_for_status().json()
        self.positions |= answer["positions"]

    async def read(self, path: str) -> httpx.Response:
        """An answer that reflects all that was published."""
        at_least = ",".join(f"{number}:{offset}" for number, offset in self.positions.items())
        joint = "&" if "?" in path else "?"
        return (await self.client.get(f"/{path}{joint}at_least={at_least}")).raise_for_status()

    async def strength(self, x: float, y: float) -> float:
        """Of the field calculation at a point."""
        (value,) = (await self.read(f"field?points={x},{y}&phase=1")).json()["data"]["values"]
        return float(value)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database_url) as connection:
            return connection.execute(statement, parameters).fetchall()

    def redis(self) -> str:
        """All that Redis holds of this stack, as one text."""
        found = []
        with Redis(port=self.settings.redis_port, decode_responses=True) as redis:
            for key in redis.scan_iter(f"*{self.settings.generation}*"):
                kind = redis.type(key)
                if kind == "string":
                    found.append(redis.get(key))
                elif kind == "hash":
                    found.append(redis.hgetall(key))
                elif kind == "stream":
                    found.append(redis.xrange(key))
                elif kind == "list":
                    found.append(redis.lrange(key, 0, -1))
        return repr(found)

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """The state that the database holds; raw rows and aggregates stand for themselves."""
        generation = self.settings.generation
        return {
            table: self.rows(f"SELECT * FROM {table} WHERE generation = %s", generation)
            for table in ("consciousness_states_all", "room64_sessions_all", "entanglements_all")
        }


@pytest.fixture
async def field(make_settings: Callable[..., Settings]) -> AsyncIterator[Field]:
    with Stack(make_settings()) as stack:
        found = Field(stack)
        try:
            yield found
        finally:
            await found.client.aclose()


def event(kind: str, device: str, ago_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """By ``device`` so long ago, in the hall."""
    return {
        "id": str(uuid.uuid4()), "type": kind, "device_id": device, "room_id": "hall", "intensity": 0.8, "v": 1,
        "timestamp": int((time.time() - ago_s) * 1000), "data": {},
    } | more  # fmt: skip


def part_of(device: str, *others: str, at: dict[str, float]) -> list[dict[str, Any]]:
    """All that a device can have in the field: presence, breath, memories, harmonics, echoes and a bond with others."""
    harmonics = [{**at, "frequency": 2.0, "amplitude": 0.9, "phase": 0.5}]
    return [
        event("ENTER", device, 6, position=at),
        event("BREATH", device, 6, data={"phase": 1.0, "rate": 12}, position=at),
        event("BLOOM", device, 5, data={"petals": 5}, position=at),
        event("SACRED_PHRASE", device, 5, data={"phrase": "ab" * 32}, position=at),
        event("FIELD", device, 5, data={"harmonics": harmonics}, position=at),
        *(event("TOUCH", device, ago, data={"target_device": other}) for other in others for ago in (4, 3, 2)),
        *(event("ENTANGLE", device, 1, data={"target_device": other, "kind": "bond"}) for other in others),
    ]


def heard(ear: Ear) -> list[dict[str, Any]]:
    return [one for message in ear.of("events") for one in message["events"]]


def named(ear: Ear) -> list[str]:
    """Types of the events heard that are Ana's or name her."""
    return [one["type"] for one in heard(ear) if ANA in repr(one)]


async def test_a_device_is_forgotten_everywhere_and_starts_afresh(field: Field) -> None:
    begun_ms = int(time.time() * 1000)
    async with sse(field.at, include="events,field,rooms,entanglements") as ear, ws(field.at) as (over_ws, _):
        meant = event("TOUCH", BEN, 3, data={"target_device": ANA})
        await field.publish(*part_of(ANA, BEN, at=HERE), *part_of(BEN, CLEO, at=FAR), *part_of(CLEO, at=FAR), meant)
        await present(field)
        minutes = field.rows("SELECT sum(events), max(active_nodes) FROM consciousness_field_1min")
        await ear.until(lambda: len(named(ear)) == 10, lambda: f"her part: {named(ear)}")

        await field.opt("opt-out")
        unheard = await field.publish(
            event("BREATH", ANA, data={"phase": 2.0}), event("BLOOM", ANA, position=HERE),
            event("TOUCH", BEN, data={"target_device": ANA}), event("ENTANGLE", ANA, data={"target_device": CLEO}),
        )  # fmt: skip
        (last,) = await field.publish(event("BREATH", BEN, data={"phase": 2.5}))
        await forgotten(field)
        assert field.rows("SELECT sum(events), max(active_nodes) FROM consciousness_field_1min") == [
            (minutes[0][0] + 1, 3)
        ], "what she does while she is out is in no aggregate; what was counted before stays"
        collective = field.rows("SELECT collective FROM consciousness_events WHERE id = ANY(%s::uuid[])", unheard)
        assert collective == [(False,)] * len(unheard)
        for one in (ear, over_ws):
            await one.until(lambda one=one: last in {e["id"] for e in heard(one)}, "Ben, who goes on")
            assert not {e["id"] for e in heard(one)} & set(unheard)
            assert named(one).count("OPT_OUT") == 1, "that she went is heard"
        await ear.until(
            lambda: any(ANA in repr(one["went"]) for one in ear.of("entanglements")), "that her threads are gone"
        )

    await replayed_without_her(field, begun_ms)
    before = field.stack.process("gateway")
    field.stack.kill("gateway")
    await eventually(lambda: restarted(field, before), "another gateway")
    await replayed_without_her(field, begun_ms)  # it knows her from the database alone
    await forgotten(field)

    await field.opt("opt-in")
    (bloom, _) = await field.publish(event("BLOOM", ANA, position=HERE), event("BREATH", ANA, data={"phase": 1.0}))
    await afresh(field, bloom, begun_ms)


async def present(field: Field) -> None:
    """Each tier shows her: else nothing were shown by that it does not any more."""
    field.stack.field("wait")
    for path in LIVE_READS[1:]:
        assert ANA in (await field.read(path)).text, path
    for path in PAST_READS[:-1]:
        assert f'"{ANA}"' in (await field.client.get(f"/{path}")).text, path
    state = (await field.read("state")).json()["data"]
    assert (state["active_nodes"], state["entanglements_living"], state["quantum_fields"]) == (3, 2, 3)
    assert await field.strength(**HERE) != 0
    redis = field.redis()
    assert f"{ANA}|{BEN}" in redis
    assert redis.count(ANA) > 5
    stored = field.stored()
    for table in ("room64_sessions_all", "entanglements_all"):
        assert ANA in repr(stored[table]), table
    assert field_row(field) == (3, 3)
    assert ANA in field.stack.field("state", "rooms", "--key", "hall", "--json")


async def forgotten(field: Field) -> None:
    """No tier shows her any more."""
    for path in LIVE_READS:  # at the positions that she was answered with: memory too
        assert ANA not in (await field.read(path)).text, path
    state = (await field.read("state")).json()["data"]
    assert (state["active_nodes"], state["entanglements_living"], state["quantum_fields"]) == (2, 1, 2)
    assert state["particles"] == 4
    assert await field.strength(**HERE) == 0
    assert await field.strength(**FAR) != 0
    field.stack.field("wait")
    for path in PAST_READS:
        assert f'"{ANA}"' not in (await field.client.get(f"/{path}")).raise_for_status().text, path
    with Redis(port=field.settings.redis_port) as redis:
        assert redis.exists(Names.of(field.settings.generation).current)
    assert ANA not in field.redis()
    for table, rows in field.stored().items():
        assert rows, table
        assert ANA not in repr(rows), table
    assert field_row(field) == (2, 2)
    for view in ("rooms", "entanglements", "particles"):
        assert ANA not in field.stack.field("state", view, "--json"), view


def field_row(field: Field) -> tuple[int, int]:
    """People and quantum fields in the database's row of the whole field."""
    ((active_nodes, quantum),) = field.rows(
        "SELECT active_nodes, (state ->> 'quantum_fields')::int FROM consciousness_states_all"
        " WHERE generation = %s AND node_id = 'field'",
        field.settings.generation,
    )
    return active_nodes, quantum


async def replayed_without_her(field: Field, begun_ms: int) -> None:
    """The past played until it joins the present: hers is not in it, but that she went."""
    async with sse(field.at, include="events", **{"from": begun_ms, "speed": "max"}) as past:
        await past.until(lambda: past.of("live"), "the present")
    assert set(named(past)) == {"OPT_OUT"}
    assert len(heard(past)) > 10


async def restarted(field: Field, before: Any) -> bool:
    process = field.stack.process("gateway")
    if process is None or process.pid == before.pid:
        return False
    try:
        return (await field.client.get(f"{field.at.url}/api/health/ready")).status_code == 200
    except httpx.HTTPError:
        return False


async def afresh(field: Field, bloom: str, begun_ms: int) -> None:
    """She is there with what she did since, and with that alone."""
    particles = (await field.read("particles")).json()["data"]["particles"]
    assert [one["id"] for one in particles if one["device_id"] == ANA] == [bloom]
    assert ANA not in (await field.read("entanglements")).text
    room = (await field.read("rooms/hall")).json()["data"]
    (joined,) = (one["joined"] for one in room["participants"] if one["device_id"] == ANA)
    assert joined > begun_ms
    assert (await field.read("state")).json()["data"]["active_nodes"] == 3
    field.stack.field("wait")
    dug = (await field.client.get(f"/archaeology?device={ANA}")).json()["data"]["events"]
    assert {one["type"] for one in dug} == {"BLOOM", "BREATH"}
    assert len(dug) == 2
