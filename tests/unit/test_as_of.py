"""What ``--as-of`` understands; the recorded conference as of fifty moments, in one pass, against an oracle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streams import contacts
from streams.changes import ShardView, merge
from streams.fold.as_of import AsOf
from streams.fold.merge import read_pairs, read_rooms
from streams.fold.rules import DEFAULT_RULES
from streams.table import partition_of
from tests.oracle import past
from tests.property.adapter import differences

MOMENTS = 50
PARTITIONS = 4


def chosen(rows: Sequence[contacts.Row], seed: int = 50) -> list[int]:
    """Random moments of the conference, half of them with something just happening."""
    chance = random.Random(seed)
    busy = [chance.choice(rows).t * 1000 + chance.randrange(30_000) for _ in range(MOMENTS // 2)]
    first, last = rows[0].t * 1000, rows[-1].t * 1000
    return busy + [chance.randrange(first - 10_000, last + 400_000) for _ in range(MOMENTS - len(busy))]


def told(views: Sequence[ShardView], at: int) -> dict[str, Any]:
    """A reading in the words of the oracle."""
    field = merge(views, at)
    rooms = [room for room in read_rooms(views, at, DEFAULT_RULES) if room.open]
    pairs = read_pairs(views, at, DEFAULT_RULES)
    assert field.entanglements_living == sum(pair.living for pair in pairs)
    return {
        "global_resonance": field.global_resonance,
        "active_nodes": field.active_nodes,
        "rooms": {room.room_id: (room.present, room.seated) for room in rooms},
        "pairs": {(pair.low, pair.high): (pair.established, pair.last, pair.living) for pair in pairs},
    }


@pytest.mark.long
def test_fifty_moments_of_the_conference(contacts_file: Path) -> None:
    rows = contacts.read_rows(contacts_file)
    wanted = chosen(rows)
    fold = AsOf(wanted)
    for offset, event in enumerate(contacts.events(rows)):
        fold.fold(partition_of(event.key, PARTITIONS), offset, (event,))
    seen, living = 0, 0
    for (at, views), (moment, expected) in zip(fold.readings(), past.moments(rows, wanted), strict=True):
        assert at == moment
        assert not differences(told(views, at), expected, f"at {at} ")
        seen += 1
        living += bool(expected["rooms"])
    assert seen == MOMENTS
    assert living >= MOMENTS // 3, "most moments lie in the nights: nothing was tested"
