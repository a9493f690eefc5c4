"""Follow the changelog of the shards: the newest record of each shard, for whoever reads the fold's state.

Plain reading: no consumer group, nothing is written or committed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.changes import record_position
from streams.errors import PartUnavailable
from streams.settings import Settings
from streams.table import parse_key
from streams.topics import RECORD_BYTES_MAX, changelog_topic

POLL_MS: Final = 500


class ChangelogFollower:
    """State of all partitions as the worker last wrote it.

    ``values``: changelog value by (partition, shard); ``positions``: input offset folded, by partition. Both are
    the highest over all writers, so a late write of a worker that lost its partitions changes nothing; tombstones
    remove nothing (they concern writers that were superseded).
    """

    def __init__(self, settings: Settings) -> None:
        self.topic = changelog_topic(settings)
        self.values: dict[tuple[int, int], bytes] = {}
        self.positions: dict[int, int] = {}
        self._settings = settings
        self._heights: dict[tuple[int, int], int] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._read: dict[TopicPartition, int] = {}
        self._consumer: Any = None

    async def __aenter__(self) -> ChangelogFollower:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect and note where the changelog ends now; raises PartUnavailable when it cannot be read."""
        brokers = self._settings.kafka_brokers
        consumer = AIOKafkaConsumer(
            bootstrap_servers=brokers,
            client_id="field-changelog",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=RECORD_BYTES_MAX,
        )
        try:
            await consumer.start()
            if self.topic not in await consumer.topics():
                raise PartUnavailable("Kafka", f"{brokers} has no topic {self.topic}: start a worker, or `make up`")
            partitions = await self._partitions(consumer)
            consumer.assign(partitions)
            self._ends = await consumer.end_offsets(partitions)
            self._read = dict(await consumer.beginning_offsets(partitions))
        except KafkaError as error:
            await consumer.stop()
            raise PartUnavailable("Kafka", f"{brokers}: {error}") from error
        except PartUnavailable:
            await consumer.stop()
            raise
        self._consumer = consumer

    async def _partitions(self, consumer: Any) -> list[TopicPartition]:
        """All partitions; the counts in Kafka's metadata, not in the settings, which could be wrong."""
        await consumer._client.force_metadata_update()  # a consumer without a subscription asks for no topic
        found = consumer._client.cluster.partitions_for_topic(self.topic) or range(self._settings.partitions)
        return [TopicPartition(self.topic, number) for number in sorted(found)]

    async def stop(self) -> None:
        """Disconnect; what was read stays."""
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    def caught_up(self) -> bool:
        """Whether all that stood in the changelog at ``start`` has been read."""
        return all(self._read.get(tp, 0) >= end for tp, end in self._ends.items())

    async def poll(self, timeout_ms: int = POLL_MS) -> set[tuple[int, int]]:
        """Read what there is, waiting at most ``timeout_ms`` for it; the shards that have a newer value."""
        changed: set[tuple[int, int]] = set()
        found = await self._consumer.getmany(timeout_ms=timeout_ms)
        for tp, records in found.items():
            for record in records:
                self._take(record, changed)
            self._read[tp] = records[-1].offset + 1
        if not found:  # control records and compacted tails have offsets and no records
            for tp in self._ends:
                self._read[tp] = max(self._read[tp], await self._consumer.position(tp))
        return changed

    async def catch_up(self, timeout_s: float = 60.0) -> None:
        """Read to the end as of ``start``; raises PartUnavailable when Kafka takes longer than ``timeout_s``."""
        until = time.monotonic() + timeout_s
        while not self.caught_up():
            await self.poll()
            if time.monotonic() > until and not self.caught_up():
                raise PartUnavailable("Kafka", f"{self.topic} could not be read to its end in {timeout_s:g} s")

    async def updates(self) -> AsyncIterator[set[tuple[int, int]]]:
        """For ever: the (partition, shard) with newer values, whenever values or positions have moved."""
        while True:
            positions = dict(self.positions)
            changed = await self.poll()
            if changed or positions != self.positions:
                yield changed

    def _take(self, record: Any, changed: set[tuple[int, int]]) -> None:
        if record.value is None:
            return
        partition, shard, _writer = parse_key(record.key)
        position = record_position(record.value)
        if shard is None:
            self.positions[partition] = max(position, self.positions.get(partition, -1))
        elif position > self._heights.get((partition, shard), -2):
            self._heights[partition, shard] = position
            self.values[partition, shard] = record.value
            changed.add((partition, shard))
