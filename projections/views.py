"""The fold's state as readers see it: views of all shards, at one vector of positions.

A checkpoint writes its shards first and the partition's position last. Until that has come, the partition is shown
as it was before: a reading never mixes two checkpoints of a partition.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Final, Protocol

from aiokafka.errors import KafkaError

from projections.backoff import Backoff, log_of
from streams import metrics
from streams.changelog import ChangelogFollower, whole
from streams.changes import FieldReading, ShardView, load_view, merge
from streams.errors import PartUnavailable
from streams.settings import Settings

log = logging.getLogger(__name__)

POLL_MS: Final = 200


def now_ms() -> int:
    """The live clock of readings."""
    return time.time_ns() // 1_000_000


class Follower(Protocol):
    """``ChangelogFollower`` and its like: newest ``values`` by (partition, shard), and how far each partition is."""

    values: dict[tuple[int, int], bytes]
    positions: dict[int, int]

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def poll(self, timeout_ms: int) -> set[tuple[int, int]]: ...
    def caught_up(self) -> bool: ...


class Views:
    """Follows the changelog and reads the field from it. ``positions`` are those of what is shown.

    Shards are decoded when somebody reads, and only those that have changed since.
    """

    def __init__(self, settings: Settings, follower: Follower | None = None) -> None:
        self._settings = settings
        self._follower: Follower = follower or ChangelogFollower(settings)
        self._views: dict[tuple[int, int], ShardView] = {}
        self._waiting: dict[int, set[int]] = {}
        self.positions: dict[int, int] = {}
        self.ready = False
        """All that stood in the changelog at the start has been read."""

    async def keep(self, stop: asyncio.Event) -> None:
        """Follow until stopped; Kafka, and the changelog itself, may come and go."""
        backoff = Backoff(log_of(self._settings), stop)
        while not stop.is_set():
            try:
                await self._follower.start()
                backoff.answered()
                while not stop.is_set():
                    for partition, shard in await self._follower.poll(POLL_MS):
                        self._waiting.setdefault(partition, set()).add(shard)
                    self.ready = self.ready or self._follower.caught_up()
                    if self.ready:
                        self._tell()
            except (PartUnavailable, KafkaError, OSError) as error:
                await backoff.failed(error)
            finally:
                await self._follower.stop()

    def _tell(self) -> None:
        for partition in range(self._settings.partitions):
            metrics.FOLD_POSITION.labels(str(partition)).set(self._follower.positions.get(partition, -1))

    def waits_for(self) -> str:
        """What it waits for before it can read; empty when it can."""
        return "" if self.ready else "the changelog is read"

    def refresh(self) -> None:
        """Show what is whole by now; raises FoldVersionError when another fold wrote it."""
        for partition, position in self._follower.positions.items():
            shards = self._waiting.get(partition, set())
            values = {shard: self._follower.values[partition, shard] for shard in shards}
            if not whole(values.values(), position):
                continue
            for shard, value in values.items():
                self._views[partition, shard] = load_view(value, self._settings.rules)
            self._waiting.pop(partition, None)
            self.positions[partition] = position

    def read(self, now: int) -> FieldReading:
        """The merged field at the later of ``now`` (ms) and its watermark."""
        return self._merge(self._views.values(), now)

    def read_partition(self, partition: int, now: int) -> FieldReading:
        """The part of the field that one partition holds, read in the same way."""
        return self._merge([view for (number, _), view in self._views.items() if number == partition], now)

    def shards(self) -> Iterable[ShardView]:
        """What is shown, shard by shard."""
        return self._views.values()

    def _merge(self, views: Iterable[ShardView], now: int) -> FieldReading:
        views = list(views)
        at = max([now, *(view.watermark for view in views)])
        return merge(views, at, self._settings.rules)
