"""The records of ``field.rejected`` as bytes, for a backup: out of the topic into a file, and back into a new topic.

A file is gzip, a line of JSON a record, bytes in base64. Marks of retries are records like the others.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams import access
from streams.errors import ArchiveError, InputError, PartUnavailable
from streams.history import KafkaHistory
from streams.packing import Record
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.topics import RECORD_BYTES_MAX

POLL_MS: Final = 500
GATHERED: Final = 500


class Kept(msgspec.Struct):
    """A record of the topic; ``timestamp`` (epoch ms) is when it was rejected."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


_line: Final = msgspec.json.Decoder(Kept)


async def bounds(settings: Settings) -> dict[int, tuple[int, int]]:
    """(first offset, offset after the last) by partition of the topic; raises PartUnavailable."""
    async with KafkaHistory(_only(settings)) as topic:
        return await topic.bounds()


async def write(settings: Settings, path: Path, starts: Mapping[int, int], ends: Mapping[int, int]) -> int:
    """Write the records start <= offset < end of each partition; returns how many. Raises PartUnavailable."""
    consumer = AIOKafkaConsumer(
        **access.brokers(settings), client_id="field-letters", enable_auto_commit=False,
        max_partition_fetch_bytes=RECORD_BYTES_MAX, auto_offset_reset="earliest",
    )  # fmt: skip
    count = 0
    try:
        await consumer.start()
        with gzip.open(path, "wb") as out:
            for number, end in ends.items():
                place = TopicPartition(settings.rejected_topic, number)
                if starts.get(number, 0) >= end:
                    continue
                consumer.assign([place])
                consumer.seek(place, starts.get(number, 0))
                while await consumer.position(place) < end:
                    for records in (await consumer.getmany(place, timeout_ms=POLL_MS)).values():
                        for one in records:
                            if one.offset < end:
                                out.write(msgspec.json.encode(_kept(one)) + b"\n")
                                count += 1
    except KafkaError as error:
        raise PartUnavailable("Kafka", f"{settings.rejected_topic}: {error}") from error
    finally:
        await consumer.stop()
    return count


def read(path: Path) -> Iterator[Kept]:
    """The records of a file; raises ArchiveError."""
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                yield _line.decode(line)
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise ArchiveError(f"{path} is damaged: {error}") from None


async def publish(settings: Settings, kept: Iterable[Kept]) -> int:
    """Send the records to the topic, which must be there and be empty, and wait for the broker; how many they were.

    Raises InputError when it is not empty, PartUnavailable, DeliveryError.
    """
    if any(end for _, end in (await bounds(settings)).values()):
        raise InputError(f"topic {settings.rejected_topic} has had records: restore into topics that are new")
    count = 0
    async with LogPublisher(_only(settings)) as publisher:
        gathered: list[Record] = []
        for one in kept:
            gathered.append(Record(one.partition, one.key, one.value or b"", one.headers, 1))
            count += 1
            if len(gathered) == GATHERED:
                await publisher.publish_records(gathered)
                gathered = []
        await publisher.publish_records(gathered)
        await publisher.flush()
    return count


def _only(settings: Settings) -> Settings:
    """For what works on the log: this topic in its place."""
    return replace(settings, events_topic=settings.rejected_topic)


def _kept(record: object) -> Kept:
    return msgspec.convert(record, Kept, from_attributes=True)
