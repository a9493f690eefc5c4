"""What a worker would write, without a worker: the records of partitions' folds, checkpoint by checkpoint."""

from __future__ import annotations

import random
from collections.abc import Sequence

from streams.changes import load_view, record_position
from streams.events import Event
from streams.fold.partition import Checkpoint, PartitionFold
from streams.settings import Settings
from streams.table import parse_key
from tests.worlds import say

WRITER = "1-0a0b0c0d"


def lively(seed: int, count: int) -> list[Event]:
    """Few devices that touch, draw, bind and let go: sessions and pairs come and go."""
    chance = random.Random(seed)
    events, second = [], 0.0
    for _ in range(count):
        second += chance.choice([0.2, 0.5, 1.0, 1.0, 400.0 if chance.random() < 0.02 else 0.3])
        device, other = chance.sample(["ana", "bea", "cyd", "dan", "eve"], 2)
        kind = chance.choice(["BREATH", "TOUCH", "TOUCH", "TOUCH", "SPIRAL", "BLOOM", "ENTANGLE", "RELEASE", "LEAVE"])
        to = other if kind in ("ENTANGLE", "RELEASE", "TOUCH") else None
        room = chance.choice(["hall", "attic", "roof"])
        events.append(say(device, kind, second, to=to, room=room, intensity=chance.randrange(1001) / 1000))
    return events


def checkpoints(
    settings: Settings, partition: int, events: Sequence[Event], every: int, *, writer: str = WRITER
) -> list[Checkpoint]:
    """Each event is a record of this partition; a checkpoint after every ``every`` of them."""
    fold = PartitionFold(partition, settings.shards, settings.rules)
    found = []
    for offset, event in enumerate(events):
        fold.fold(offset, [event])
        if (offset + 1) % every == 0 or offset + 1 == len(events):
            found.append(fold.checkpoint(writer))
    return found


class FakeFollower:
    """A ``ChangelogFollower`` that is told what stands in the changelog."""

    def __init__(self) -> None:
        self.values: dict[tuple[int, int], bytes] = {}
        self.positions: dict[int, int] = {}

    def take(self, records: Sequence[tuple[bytes, bytes]]) -> set[tuple[int, int]]:
        changed = set()
        for key, value in records:
            partition, shard, _ = parse_key(key)
            if shard is None:
                self.positions[partition] = record_position(value)
            else:
                self.values[partition, shard] = value
                changed.add((partition, shard))
                assert load_view(value)
        return changed
