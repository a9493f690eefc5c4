"""Seeded streams: everything that is published comes from one seed and the time at which the stream ends.

A stream is a fleet's evening in two halves with more than five minutes of silence between, so that sessions end. Most
records are single events, some are arrays and frames; some events stand on a wrong partition.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from streams.events import OPTS, Event
from streams.settings import Settings
from streams.simulate import Fleet, Item, items
from streams.table import partition_of
from streams.validate import CONTENT_FRAME, CONTENT_JSON
from streams.wire import encode_batch, encode_event, encode_frame
from tests.worlds import say

RATE = 24.0
"""Events a second of event time: ten thousand are seven minutes, so that slots pass and pairs fade."""
SILENCE_S = 320
BATCH = 12
"""Events of an array or a frame at most."""
WRONG_SHARE = 0.02
BATCH_SHARE = 0.12
HOUR_MS = 3_600_000
FAST, SLOW = ("device-00001", "device-00002"), ("device-00003", "device-00004")


class Record(NamedTuple):
    """What goes to the log. ``events``: how many are in it."""

    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    events: int = 1


@dataclass(frozen=True)
class Recipe:
    """What a stream is made of; shares are of all items, 0..1. ``displaced``: places by which items change order."""

    seed: int
    events: int
    end_ms: int = 0
    """event time of the end; 0: now. Times shift with it, choices do not"""
    devices: int = 48
    late: float = 0.01
    duplicates: float = 0.02
    malformed: float = 0.0
    opts: float = 0.002
    displaced: int = 0
    clocks_off: bool = False
    """two devices are an hour ahead, two an hour behind"""


@dataclass(frozen=True)
class Stream:
    """Records in the order of publishing; ``bad``: what among them is to become dead letters."""

    records: list[Record]
    bad: list[bytes]

    def parts(self, count: int) -> list[list[Record]]:
        """The records in ``count`` parts, in order."""
        size = -(-len(self.records) // count)
        return [self.records[start : start + size] for start in range(0, len(self.records), size)]


def make(recipe: Recipe, partitions: int) -> Stream:
    """The stream of a recipe; a first half, silence, a second half."""
    chance = random.Random(f"stream/{recipe.seed}")
    end = (recipe.end_ms or int(time.time() * 1000)) // 60_000 * 60_000
    half_s = recipe.events / 2 / RATE
    starts = (end - int(1000 * (2 * half_s + SILENCE_S)), end - int(1000 * half_s))
    shares = {"late": recipe.late, "duplicates": recipe.duplicates, "malformed": recipe.malformed, "opts": recipe.opts}
    whole: list[Item] = []
    for number, start in enumerate(starts):
        fleet = Fleet(recipe.devices, RATE, 2 * recipe.seed + number, start, **shares)
        whole += displace(list(items(fleet, half_s)), recipe.displaced, chance)
    whole += [Item(end, ghost) for ghost in ghosts(chance, end)]
    if recipe.clocks_off:
        whole = [item._replace(event=_wrong_time(item.event)) for item in whole]
    bad = [item.event for item in whole if isinstance(item.event, bytes)]
    return Stream(pack(whole, partitions, chance), bad)


def rubbish(seed: int, count: int, partitions: int) -> Stream:
    """Nothing but malformed records."""
    chance = random.Random(f"rubbish/{seed}")
    fleet = Fleet(8, RATE, seed, int(time.time() * 1000), malformed=1.0)
    bad = [item.event for item in items(fleet, count / RATE) if isinstance(item.event, bytes)]
    return Stream([Record(chance.randrange(partitions), None, value) for value in bad], bad)


def _wrong_time(event: Event | bytes) -> Event | bytes:
    """As a device with a wrong clock sends it. Too far ahead is no event. Toggles keep their time."""
    if isinstance(event, bytes) or event.type in OPTS:
        return event
    if event.device_id in FAST:
        return encode_event(replace_time(event, event.timestamp + HOUR_MS))
    return replace_time(event, event.timestamp - HOUR_MS) if event.device_id in SLOW else event


def displace(found: list[Item], places: int, chance: random.Random) -> list[Item]:
    """Each item at most so many places from where it was: less than L and 64 numbers apart, so nothing may change."""
    if not places:
        return found
    order = sorted(range(len(found)), key=lambda number: number + chance.uniform(0, places))
    return [found[number] for number in order]


def ghosts(chance: random.Random, at: int) -> list[Event]:
    """OPT_* that come alone, for the worker to spread; of devices that do nothing else, so that no order matters."""
    return [
        replace_time(say(f"ghost-{n}", chance.choice(sorted(OPTS)), 0, id=_uuid(chance)), at - chance.randrange(60_000))
        for n in range(3)
    ]


def replace_time(event: Event, timestamp: int) -> Event:
    """The same event at another time (ms)."""
    return Event(**{name: getattr(event, name) for name in event.__struct_fields__} | {"timestamp": timestamp})


def pack(found: Iterable[Item], partitions: int, chance: random.Random) -> list[Record]:
    """Singles, arrays and frames, some on a wrong partition; OPT_* to all partitions (ghosts' to one)."""
    out: list[Record] = []
    open_: dict[int, list[Event]] = {}

    def close(partition: int) -> None:
        if batch := open_.pop(partition, []):
            out.append(batch_record(partition, batch, framed=chance.random() < 0.4))

    for item in found:
        event = item.event
        if isinstance(event, bytes):
            out.append(Record(chance.randrange(partitions), None, event))
            continue
        partition = partition_of(event.key, partitions)
        if event.type in OPTS:
            for number in range(partitions):
                close(number)
            out += toggle_records(event, partitions)
        elif partition in open_:
            open_[partition].append(event)
            if len(open_[partition]) >= BATCH or chance.random() < 0.1:
                close(partition)
        elif chance.random() < BATCH_SHARE:
            open_[partition] = [event]
        else:
            wrong = chance.random() < WRONG_SHARE
            out.append(single((partition + wrong) % partitions, event))
    for number in sorted(open_):
        close(number)
    return out


def single(partition: int, event: Event) -> Record:
    return Record(partition, event.key.encode(), encode_event(event), (("content-type", CONTENT_JSON),))


def toggle_records(event: Event, partitions: int) -> list[Record]:
    """As ``field publish`` does it; a ghost's comes alone."""
    if event.device_id.startswith("ghost-"):
        return [Record(partition_of(event.key, partitions), event.key.encode(), encode_event(event))]
    headers = (("content-type", CONTENT_JSON), ("fanout", b"%d" % partitions))
    return [Record(n, event.key.encode(), encode_event(event), headers) for n in range(partitions)]


def batch_record(partition: int, batch: Sequence[Event], *, framed: bool) -> Record:
    value, content = (encode_frame(batch), CONTENT_FRAME) if framed else (encode_batch(batch), CONTENT_JSON)
    return Record(partition, batch[0].key.encode(), value, (("content-type", content),), len(batch))


async def publish(settings: Settings, records: Sequence[Record]) -> None:
    """All of them, in order by partition, acknowledged."""
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_brokers, acks="all", enable_idempotence=True, linger_ms=5
    ) as producer:
        sends = [
            await producer.send(
                settings.events_topic, r.value, key=r.key, partition=r.partition, headers=list(r.headers)
            )
            for r in records
        ]
        for send in sends:
            await send


def _uuid(chance: random.Random) -> str:
    return f"{chance.getrandbits(32):08x}-0000-4000-8000-{chance.getrandbits(48):012x}"
