"""Follow the changelog of the shards: the newest record of each shard, for whoever reads the fold's state.

Plain reading: no consumer group, nothing is written or committed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams import access
from streams.changes import record_position
from streams.errors import PartUnavailable
from streams.settings import Settings
from streams.table import parse_key
from streams.topics import RECORD_BYTES_MAX, changelog_topic

POLL_MS: Final = 500
WHOLE_S: Final = 30.0
"""A checkpoint under way is finished within this time, or its worker has gone."""


class Picture(NamedTuple):
    """Shards' values by (partition, shard), none ahead of the positions, which are input offsets by partition."""

    values: dict[tuple[int, int], bytes]
    positions: dict[int, int]


def whole(values: Iterable[bytes], position: int) -> bool:
    """Whether a partition's newest shard values are those of finished checkpoints: none is ahead of ``position``.

    A checkpoint writes its shards first and the partition's position last.
    """
    return all(record_position(value) <= position for value in values)


async def kept_records(settings: Settings, partition: int) -> list[tuple[bytes, bytes]]:
    """(key, value) of what one partition of the changelog holds now, as a worker recovers it; raises KafkaError."""
    place = TopicPartition(changelog_topic(settings), partition)
    consumer = AIOKafkaConsumer(
        **access.brokers(settings),
        client_id="field-changelog",
        enable_auto_commit=False,
        max_partition_fetch_bytes=RECORD_BYTES_MAX,
    )
    kept: dict[bytes, bytes | None] = {}
    await consumer.start()
    try:
        end = (await consumer.end_offsets([place]))[place]
        if not end:
            return []  # whoever asks over TLS and leaves in the same moment, waits 30 s for uvloop to close the line
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(place, timeout_ms=POLL_MS)).values():
                kept.update((record.key, record.value) for record in records)
    finally:
        await consumer.stop()
    return [(key, value) for key, value in kept.items() if value]


class ChangelogFollower:
    """State of all partitions as the worker last wrote it.

    ``values``: changelog value by (partition, shard); ``positions``: input offset folded, by partition. Both are
    the highest over all writers, so a late write of a worker that lost its partitions changes nothing; tombstones
    remove nothing (they concern writers that were superseded). While a checkpoint is being written, values are
    ahead of positions; ``consistent`` reads on until they belong together.
    """

    def __init__(self, settings: Settings) -> None:
        self.topic = changelog_topic(settings)
        self.values: dict[tuple[int, int], bytes] = {}
        self.positions: dict[int, int] = {}
        self.moved_ms: dict[int, int] = {}  # when that was written, by Kafka's record
        self._settings = settings
        self._heights: dict[tuple[int, int], int] = {}
        self._unfinished: dict[int, dict[tuple[int, int], bytes]] = {}
        self._finished = Picture({}, {})
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
            **access.brokers(self._settings),
            client_id="field-changelog",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            request_timeout_ms=self._settings.answer_s * 1000,
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

    async def consistent(self, timeout_s: float = WHOLE_S) -> Picture:
        """Read to the end as of ``start``, and where that is inside a checkpoint, to that checkpoint's end.

        Raises PartUnavailable when a checkpoint is not finished within ``timeout_s``: its worker has gone.
        """
        await self.catch_up()
        wanted = {
            partition: max(self._heights[place] for place in places)
            for partition, places in self._unfinished.items()
            if places
        }
        until = time.monotonic() + timeout_s
        while torn := [number for number, at in wanted.items() if self._finished.positions.get(number, -1) < at]:
            if time.monotonic() > until:
                names = ", ".join(map(str, sorted(torn)))
                raise PartUnavailable(
                    "the worker",
                    f"the checkpoint of partition {names} in {self.topic} was begun and not finished within "
                    f"{timeout_s:g} s; `field up` starts the worker, which finishes it",
                )
            await self.poll()
        return Picture(dict(self._finished.values), dict(self._finished.positions))

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
            if position > self.positions.get(partition, -1):
                self.moved_ms[partition] = record.timestamp
            self.positions[partition] = max(position, self.positions.get(partition, -1))
            self._finish(partition)
        elif position > self._heights.get((partition, shard), -2):
            self._heights[partition, shard] = position
            self.values[partition, shard] = record.value
            self._unfinished.setdefault(partition, {})[partition, shard] = record.value
            changed.add((partition, shard))

    def _finish(self, partition: int) -> None:
        """At a position record: what it covers becomes the picture of the partition."""
        values = self._unfinished.get(partition, {})
        if whole(values.values(), self.positions[partition]):
            self._finished.values.update(values)
            self._finished.positions[partition] = self.positions[partition]
            self._unfinished.pop(partition, None)
