"""The publisher against real Redis: one snapshot whole or not at all, never backwards, back after an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
import pytest
from redis.asyncio import Redis

from projections import hot
from projections.views import Views
from streams.settings import Settings
from tests.integration.folded import FakeFollower, checkpoints, lively
from tests.integration.projecting import Door, until
from tests.worlds import START_S, say

NOW = (START_S + 20) * 1000
LATER = NOW + 86_400_000  # after the watermark of all that is folded here


class World:
    """A publisher over checkpoints that the test hands in one by one."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self.views, self._follower = Views(settings), FakeFollower()
        self.views._follower = self._follower  # type: ignore[assignment]
        self.views.ready = True
        self.publisher = hot.Publisher(settings, self.views, redis)
        self.names = hot.Names.of(settings.generation)

    def take(self, records: list[tuple[bytes, bytes]]) -> None:
        for partition, shard in self._follower.take(records):
            self.views._waiting.setdefault(partition, set()).add(shard)


@pytest.fixture
async def redis(redis_port: int) -> AsyncIterator[Redis]:
    async with Redis(port=redis_port) as client:
        yield client


@pytest.fixture
def plain(redis_port: int) -> Settings:
    return Settings(generation="live", redis_port=redis_port, stream_length=20)


async def test_a_snapshot_is_whole(plain: Settings, redis: Redis) -> None:
    world = World(plain, redis)
    world.take(checkpoints(plain, 0, lively(1, 60), 60)[0].records)
    assert await world.publisher.publish(NOW)
    reading = world.views.read(NOW)
    current = msgspec.json.decode(await redis.get("field:current"))
    assert current["positions"] == msgspec.json.decode(await redis.get("field:position")) == {"0": 59}
    assert current["computed_at"] == NOW
    assert current["global_resonance"] == reading.global_resonance
    assert len(current["particles"]) == len(reading.particles) > 0
    assert 0 < await redis.ttl("field:current") <= plain.hot_s
    assert await redis.ttl("field:position") == -1
    pairs = {
        name.decode(): msgspec.json.decode(value) for name, value in (await redis.hgetall("entanglements")).items()
    }
    assert pairs == {f"{pair.low}|{pair.high}": msgspec.to_builtins(pair) for pair in reading.pairs}
    assert pairs


async def test_no_list_grows_without_limit_and_all_are_counted(plain: Settings, redis: Redis) -> None:
    """Rooms of one, two and three, and a pair for every two: the fullest rooms, the strongest pairs."""
    world = World(replace(plain, hot_rows=4), redis)
    people = [("attic", ["ana"]), ("hall", ["ana", "bea", "cyd"]), ("roof", ["dan", "eve"])]
    events = [say(who, "BREATH", 0, room=room) for room, all_of_them in people for who in all_of_them]
    events += [
        say("ana", "ENTANGLE", number, to=f"other-{number}", room="hall", intensity=number / 10) for number in range(7)
    ]
    async with redis.pubsub() as heard:
        await heard.subscribe(world.names.channel_entanglements)
        for step in checkpoints(plain, 0, events, 6):
            world.take(step.records)
            assert await world.publisher.publish(NOW)
        messages = [await heard.get_message(timeout=5) for _ in range(2)]
    current = msgspec.json.decode(await redis.get("field:current"))
    strongest = [f"other-{number}" for number in (3, 4, 5, 6)]
    assert [pair["high"] for pair in current["pairs"]] == strongest
    assert sorted(await redis.hkeys("entanglements")) == [f"ana|{other}".encode() for other in strongest]
    rooms = [(room["room_id"], room["present"], len(room["participants"])) for room in current["rooms"]]
    assert rooms == [("attic", 1, 0), ("hall", 3, 3), ("roof", 2, 1)]
    assert (current["rooms_open"], current["entanglements_living"]) == (3, 7)
    assert len(msgspec.json.decode(messages[1]["data"])["came"]) == 4
    few = World(replace(plain, hot_rows=2), redis)
    for step in checkpoints(plain, 0, events, 6):
        few.take(step.records)
    assert await few.publisher.publish(NOW)
    current = msgspec.json.decode(await redis.get("field:current"))
    assert [room["room_id"] for room in current["rooms"]] == ["hall", "roof"]
    assert (current["rooms_open"], await redis.hlen("entanglements")) == (3, 2)


async def test_lower_positions_and_earlier_readings_are_refused(plain: Settings, redis: Redis) -> None:
    events = lively(2, 80)
    ahead, behind, beside = World(plain, redis), World(plain, redis), World(plain, redis)
    for step in checkpoints(plain, 0, events, 40):
        ahead.take(step.records)
    behind.take(checkpoints(plain, 0, events[:40], 40)[0].records)
    beside.take(checkpoints(plain, 0, events[:40], 40)[0].records)
    beside.take(checkpoints(plain, 1, events, 80)[0].records)  # further in one, behind in the other
    assert await behind.publisher.publish(LATER)
    assert await ahead.publisher.publish(LATER - 5)
    kept = await redis.get("field:current")
    assert not await behind.publisher.publish(LATER + 1)
    assert not await beside.publisher.publish(LATER + 1)
    assert not await ahead.publisher.publish(LATER - 6)
    assert await redis.get("field:current") == kept
    assert msgspec.json.decode(await redis.get("field:position")) == {"0": 79}
    assert await ahead.publisher.publish(LATER)


async def test_the_stream_is_bounded_and_channels_tell(plain: Settings, redis: Redis) -> None:
    world = World(plain, redis)
    async with redis.pubsub() as heard:
        await heard.subscribe(world.names.channel_field, world.names.channel_entanglements, world.names.channel_rooms)
        for number, step in enumerate(checkpoints(plain, 0, lively(3, 600), 2)):
            world.take(step.records)
            await world.publisher.publish(NOW + number)
        await world.publisher.publish(NOW + 1_000)  # at the same positions: told, but no entry of the stream
        messages = []
        while (message := await heard.get_message(timeout=0.5)) is not None:
            if message["type"] == "message":
                messages.append((message["channel"].decode(), msgspec.json.decode(message["data"])))
    told = [content["positions"]["0"] for channel, content in messages if channel == world.names.channel_field]
    assert told == [*range(1, 600, 2), 599]
    assert any(content["came"] for channel, content in messages if channel == world.names.channel_entanglements)
    assert any(content["went"] for channel, content in messages if channel == world.names.channel_rooms)
    length = await redis.xlen("consciousness:stream")
    assert plain.stream_length <= length < 300  # "about" so many, by whole nodes of a hundred
    last = (await redis.xrevrange("consciousness:stream", count=1))[0][1]
    assert msgspec.json.decode(last[b"field"])["positions"] == {"0": 599}


async def test_another_generation_has_keys_of_its_own(plain: Settings, redis: Redis) -> None:
    settings = replace(plain, generation="next")
    world = World(settings, redis)
    world.take(checkpoints(settings, 0, lively(1, 60), 60)[0].records)
    assert await world.publisher.publish(NOW)
    names = {name.decode() for name in await redis.keys()}
    assert names == {"next:" + name for name in (
        "field:position", "field:at", "field:current", "entanglements", "consciousness:stream"
    )}  # fmt: skip


async def test_redis_may_go_and_lose_everything_and_come_back(plain: Settings, redis: Redis) -> None:
    door = Door(plain.redis_port)
    await door.open()
    settings = replace(plain, redis_port=door.port, publish_ms=50)
    client, stop = hot.connect(settings), asyncio.Event()
    world = World(settings, client)
    first, second = checkpoints(plain, 0, lively(1, 60), 30)
    running = asyncio.create_task(world.publisher.run(stop))
    try:
        world.take(first.records)
        await arrived(redis, {"0": 29})
        await door.shut()
        await redis.flushdb()
        world.take(second.records)
        await asyncio.sleep(1)
        assert not running.done()
        assert await redis.get("field:current") is None
        await door.open()
        await arrived(redis, {"0": 59})
        assert await redis.hlen("entanglements") > 0
    finally:
        stop.set()
        await running
        await client.aclose()
        await door.shut()


async def arrived(redis: Redis, positions: dict[str, int]) -> None:
    for _ in range(400):
        found = await redis.get("field:current")
        if found is not None and msgspec.json.decode(found)["positions"] == positions:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never published: {positions}")


async def test_nothing_is_published_before_the_changelog_was_read(plain: Settings, redis: Redis) -> None:
    world, stop = World(replace(plain, publish_ms=50), redis), asyncio.Event()
    world.views.ready = False
    running = asyncio.create_task(world.publisher.run(stop))
    await asyncio.sleep(0.3)
    assert await redis.get("field:current") is None
    world.views.ready = True
    await until(lambda: world.views.ready, "ready")
    await arrived(redis, {})
    stop.set()
    await running
