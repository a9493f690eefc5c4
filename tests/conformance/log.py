"""The log of the suite: a fleet with everything that goes wrong in it, in every form of record.

Offsets are known beforehand, so dead letters have the same places in every backend. What drivers copy (records on a
wrong partition, OPT_* that came alone) stands in the last seconds: a copy comes to the end of the log, and order
changes nothing for displacements under ten seconds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from streams.events import OPTS, Event
from streams.packing import Record, pack, pack_line
from streams.simulate import Fleet, Item, items
from streams.wire import encode_event
from tests.workers import Sent

START_MS = 1_700_000_000_000
SECONDS = 60.0
FLEET = Fleet(60, 100.0, 23, START_MS, late=0.03, duplicates=0.03, malformed=0.02, opts=0.004)
COPIED_S = 7.0
SHUFFLED = 40
"""Items change places within so many: under a second."""


def records(partitions: int) -> list[Sent]:
    """All records, in the order of publishing."""
    chance = random.Random(5)
    out: list[Sent] = []
    sent = list(items(FLEET, SECONDS))
    tail = START_MS + (SECONDS - COPIED_S) * 1000
    for chunk in _chunks([item for item in sent if item.at < tail], chance):
        out += _sent(chunk, partitions, chance.choice(("json", "batch", "frame")))
    for number, item in enumerate(item for item in sent if item.at >= tail):
        out += _misplaced(item, number, partitions)
    return out


def _chunks(found: Sequence[Item], chance: random.Random) -> Iterator[list[Item]]:
    """Stretches of a few dozen items, shuffled within."""
    at = 0
    while at < len(found):
        size = chance.randrange(1, SHUFFLED)
        chunk = list(found[at : at + size])
        chance.shuffle(chunk)
        yield chunk
        at += size


def _sent(chunk: Sequence[Item], partitions: int, wire) -> list[Sent]:
    events = [item.event for item in chunk if isinstance(item.event, Event)]
    found = pack(events, partitions, wire)
    for number, item in enumerate(chunk):
        if not isinstance(item.event, Event):
            found += pack_line(item.event, number, partitions)[0]
    return [_of(record) for record in found]


def _misplaced(item: Item, number: int, partitions: int) -> list[Sent]:
    """Every fourth fresh event on a wrong partition, OPT_* on one alone."""
    event = item.event
    if not isinstance(event, Event):
        return [_of(record) for record in pack_line(event, number, partitions)[0]]
    if event.type in OPTS:
        return [Sent(encode_event(event), number % partitions)]
    (record,) = pack([event], partitions)
    fresh = item.at - event.timestamp < 1_000
    away = 1 if fresh and number % 4 == 0 else 0
    return [_of(record._replace(partition=(record.partition + away) % partitions))]


def _of(record: Record) -> Sent:
    return Sent(record.value, record.partition, tuple(record.headers))
