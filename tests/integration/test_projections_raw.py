"""The raw projector against real PostgreSQL: rows, opt-outs in any order, positions and crashes."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime

import psycopg
import pytest

from projections.positions import Moved, Position, Positions
from projections.raw import Raw
from projections.state import State
from streams.changes import Changes, SessionRow, encode
from streams.events import OPTS, Event
from streams.table import partition_of
from streams.wire import encode_batch, encode_event, encode_frame
from tests.integration.projecting import RECEIVED, apply, by_partition, database, record, rows
from tests.worlds import START_S, say


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


async def test_every_distinct_valid_event_is_one_row(make_settings) -> None:
    settings = make_settings(partitions=1)
    breath = say("ana", "BREATH", 0.0, room="hall", phase=1.5, rate=6.0, at=(3.0, -4.5, 2.0), intensity=0.25)
    field = say("bea", "FIELD", 1.0, harmonics=[(1, 2, 3, 4, 5)], resonance=0.75)
    bond = say("bea", "ENTANGLE", 2.0, to="ana")
    phrase, bloom = say("cyd", "SACRED_PHRASE", 3.0), say("cyd", "BLOOM", 4.0, petals=5)
    records = [
        record(encode_event(breath), 0),
        record(b"{broken", 1),
        record(encode_batch([field, bond]), 2),
        record(encode_event(breath), 3),  # once more
        record(encode_frame([phrase, bloom]), 5),
    ]
    async with database(settings) as pool:
        await apply(Raw(settings), settings, pool, 0, records)
    found = rows(
        settings.database_url,
        "SELECT id::text, routing_key, device_id, room_id, type, data, ST_X(position), ST_Y(position),"
        " ST_SRID(position), z, intensity, resonance, collective, timestamp, received, log_partition, log_offset,"
        " log_index FROM consciousness_events ORDER BY timestamp",
    )
    assert found[0] == (
        breath.id, "hall", "ana", "hall", "BREATH", {"phase": 1.5, "rate": 6.0}, 3.0, -4.5, 4326, 2.0, 0.25, 0.25,
        True, moment(breath.timestamp), moment(RECEIVED), 0, 0, 0,
    )  # fmt: skip
    assert [row[4] for row in found] == ["BREATH", "FIELD", "ENTANGLE", "SACRED_PHRASE", "BLOOM"]
    assert [row[11] for row in found] == [0.25, 0.75, None, 4.0, 2.5]  # resonance
    assert found[2][5] == {"target_device": "ana", "kind": "bond", "intensity": 1.0}  # defaults are written out
    assert [row[16:] for row in found] == [(0, 0), (2, 0), (2, 1), (5, 0), (5, 1)]
    assert rows(settings.database_url, "SELECT log_offset, input_position FROM projection_positions") == [(5, 5)]


async def test_of_an_event_that_comes_twice_the_first_place_stays(make_settings) -> None:
    settings = make_settings(partitions=1)
    event = say("ana", "BREATH", 0.0)
    raw = Raw(settings)
    (batch,) = raw.prepare(0, [record(encode_event(event), offset) for offset in (3, 7, 9)])
    batch.content.reverse()  # steps of one row each
    async with database(settings) as pool, pool.connection() as connection:
        await raw.write(connection, 0, batch)
    assert rows(settings.database_url, "SELECT log_offset FROM consciousness_events") == [(3,)]


async def test_a_record_on_the_wrong_partition_is_its_copys_business(make_settings) -> None:
    settings = make_settings(partitions=4)
    event = say("ana", "TOUCH", 0.0, room="hall")
    home = partition_of("hall", 4)
    wrong = (home + 1) % 4
    copy = record(
        encode_event(event), 9, partition=home,
        headers=[("source", f"t/{wrong}/7/0".encode()), ("received", b"1700000001234")],
    )  # fmt: skip
    async with database(settings) as pool:
        await apply(Raw(settings), settings, pool, wrong, [record(encode_event(event), 7, partition=wrong)])
        assert rows(settings.database_url, "SELECT count(*) FROM consciousness_events") == [(0,)]
        await apply(Raw(settings), settings, pool, home, [copy])
    assert rows(settings.database_url, "SELECT log_partition, log_offset, received FROM consciousness_events") == [
        (home, 9, moment(1_700_000_001_234))
    ]


def collective(event: Event, toggles: list[Event]) -> bool:
    """By the words of the contract: nobody in it is out at its place in the order (timestamp, id, device)."""
    if event.type in OPTS:
        return False
    place = (event.timestamp, event.id, event.device_id)
    for device in (event.device_id, event.target):
        before = [t for t in toggles if t.device_id == device and (t.timestamp, t.id, t.device_id) < place]
        if before and max(before, key=lambda t: (t.timestamp, t.id)).type == "OPT_OUT":
            return False
    return True


@pytest.mark.parametrize("seed", range(4))
async def test_opting_out_is_by_event_time_in_whatever_order_it_arrives(make_settings, seed: int) -> None:
    settings = make_settings(partitions=2, project_events=7)
    chance = random.Random(seed)
    devices = ["ana", "bea", "cyd", "dan"]
    events = []
    for second in range(120):
        device, other = chance.sample(devices, 2)
        kind = chance.choice(["BREATH", "TOUCH", "ENTANGLE", "RELEASE", "BLOOM", "OPT_OUT", "OPT_IN"])
        to = other if kind in ("ENTANGLE", "RELEASE") or (kind == "TOUCH" and chance.random() < 0.7) else None
        room = chance.choice([None, "hall"])
        spread = chance.getrandbits(32)  # several in one second: ids decide
        named = say(device, kind, second // 3, to=to, room=room if kind not in OPTS else None)
        events.append(Event(**{**{f: getattr(named, f) for f in named.__struct_fields__},
                               "id": f"{spread:08x}{named.id[8:]}"}))  # fmt: skip
    chance.shuffle(events)
    records = by_partition(events, 2)
    async with database(settings) as pool:
        projection = Raw(settings)
        for cut in (20, 40, 200):  # the partitions move on in turns
            for partition in records:
                await apply(projection, settings, pool, partition, records[partition][:cut])
    toggles = [event for event in events if event.type in OPTS]
    expected = {event.id: collective(event, toggles) for event in events}
    found = dict(rows(settings.database_url, "SELECT id::text, collective FROM consciousness_events"))
    assert found == expected
    assert len(rows(settings.database_url, "SELECT FROM opt_toggles")) == len(toggles)


async def test_a_crash_between_batches_repeats_nothing(make_settings) -> None:
    settings = make_settings(partitions=1, project_events=10)
    events = [say(f"dev-{number % 7}", "BREATH", number) for number in range(95)]
    records = by_partition(events, 1)[0]

    class Fragile(Raw):
        lives = 4

        async def write(self, *arguments) -> int:
            written = await super().write(*arguments)
            Fragile.lives -= 1
            if Fragile.lives % 5 == 0:
                raise psycopg.OperationalError("killed before the commit")
            return written

    crashes = 0
    async with database(settings) as pool:
        for _ in range(20):
            try:
                await apply(Fragile(settings), settings, pool, 0, records)
            except psycopg.OperationalError:
                crashes += 1
            at = rows(settings.database_url, "SELECT max(log_offset) FROM projection_positions")[0][0]
            assert rows(settings.database_url, "SELECT count(*) FROM consciousness_events") == [(at + 1,)]
    assert crashes >= 2
    assert at == 94


def session(room: str, opened: int, final: bool, participants: list[tuple[str, int, bool]]) -> SessionRow:
    count = len(participants)
    return SessionRow(room, opened, opened, final, count, count, count, 0, 0, participants)


@pytest.mark.parametrize("toggles_first", [True, False])
async def test_sessions_forget_the_names_of_those_who_opted_out(make_settings, toggles_first: bool) -> None:
    """In either order; what was counted stays, and who came back is named where she came back."""
    settings = make_settings(partitions=1)
    at = START_S * 1000
    told = [
        session("hall", at, True, [("ana", at, True), ("bea", at, True)]),
        session("roof", at + 400_000, True, [("ana", at + 400_000, False)]),
        session("attic", at + 900_000, False, [("ana", at + 900_000, True), ("cyd", at + 900_000, True)]),
    ]
    changes = Changes(0, 0, 9, "1-a", 1, "1-x", False, told, [], [], [])
    toggles = by_partition([say("ana", "OPT_OUT", 600), say("ana", "OPT_IN", 800), say("cyd", "OPT_OUT", 700)], 1)[0]
    async with database(settings) as pool:
        if toggles_first:
            await apply(Raw(settings), settings, pool, 0, toggles)
        await apply(State(settings), settings, pool, 0, [record(encode(changes), 0)])
        if not toggles_first:
            await apply(Raw(settings), settings, pool, 0, toggles)
    assert rows(
        settings.database_url, "SELECT room_id, present, participants FROM room64_sessions ORDER BY opened"
    ) == [
        ("hall", 2, [["bea", at, True]]),
        ("roof", 1, []),
        ("attic", 2, [["ana", at + 900_000, True], ["cyd", at + 900_000, True]]),
    ]


async def test_of_two_projectors_one_gives_way(make_settings) -> None:
    settings = make_settings(partitions=1)
    records = by_partition([say("ana", "BREATH", number) for number in range(4)], 1)[0]
    positions = Positions("raw", settings.generation)
    async with database(settings) as pool:
        await apply(Raw(settings), settings, pool, 0, records[:2])
        async with pool.connection() as connection:
            with pytest.raises(Moved):
                async with connection.transaction():
                    await positions.advance(connection, 0, -1, Position(3, 3))
            assert await positions.load(connection, 0) == Position(1, 1)


async def test_late_and_early_rows_of_a_batch_share_one_statement(make_settings) -> None:
    """Years apart: many chunks in one transaction."""
    settings = make_settings(partitions=1)
    events = [say("ana", "BREATH", days * 86_400) for days in itertools.chain(range(0, -2000, -100), (-3000, 1))]
    async with database(settings) as pool:
        await apply(Raw(settings), settings, pool, 0, by_partition(events, 1)[0])
    first = rows(settings.database_url, "SELECT min(timestamp) FROM consciousness_events")[0][0]
    assert first == moment((START_S - 3000 * 86_400) * 1000)
    assert rows(settings.database_url, "SELECT count(*) FROM consciousness_events") == [(22,)]
