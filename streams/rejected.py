"""Dead letters: read them from ``field.rejected``, and send what was mended to the log by the front door.

The topic is only ever appended to. A retry is marked by one more record with the letter's key: its headers are those
of the letter and ``retried`` (where the event stands on the log now), its value is what was sent. The event goes first
and the mark after it: a crash in between may send an event twice, which its id or number makes a duplicate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams import access
from streams.errors import DeliveryError, PartUnavailable
from streams.events import Event
from streams.packing import LINE_BYTES_MAX, Record, pack, pack_line
from streams.settings import Settings
from streams.topics import RECORD_BYTES_MAX
from streams.validate import Limits, Rejection, read_record

RETRIED: Final = "retried"
LETTER: Final = "letter"
"""On a retried event: the place of its dead letter."""
POLL_MS: Final = 500


class Letter(msgspec.Struct):
    """One dead letter. ``position``: its key, ``topic/partition/offset/index`` of the original; times in epoch ms.

    ``size`` in bytes; ``value`` is None where it was not asked for. ``retried``: where its mended event stands,
    ``topic/partition/offset``; empty while the letter waits. ``place``: its own, partition and offset.
    """

    position: str
    reason: str
    detail: str
    received: int
    rejected: int
    size: int
    place: tuple[int, int]
    headers: dict[str, str]
    value: bytes | None = None
    retried: str = ""


async def read_letters(settings: Settings, wants_value: Callable[[Letter], bool]) -> list[Letter]:
    """All distinct letters up to the end of the topic as it is, by the time of their rejection.

    Values are kept of those that ``wants_value`` names. Raises PartUnavailable.
    """
    topic, brokers = settings.rejected_topic, settings.kafka_brokers
    consumer = AIOKafkaConsumer(
        **access.brokers(settings), client_id="field-rejected", enable_auto_commit=False,
        max_partition_fetch_bytes=RECORD_BYTES_MAX,
    )  # fmt: skip
    letters: dict[str, Letter] = {}
    marks: dict[str, str] = {}
    try:
        await consumer.start()
        if topic not in await consumer.topics():
            raise PartUnavailable("Kafka", f"{brokers} has no topic {topic}: start a worker, or `make up`")
        async for record in _records(consumer, [TopicPartition(topic, n) for n in range(settings.partitions)]):
            letter = _letter(record)
            if letter.retried:
                marks[letter.position] = letter.retried
            elif letter.position not in letters:
                letters[letter.position] = letter
                letter.value = record.value if wants_value(letter) else None
    except KafkaError as error:
        raise PartUnavailable("Kafka", f"{topic}: {error}") from error
    finally:
        await consumer.stop()
    for position, retried in marks.items():
        if position in letters:
            letters[position].retried = retried
    return sorted(letters.values(), key=lambda letter: (letter.rejected, letter.place))


async def _records(consumer: Any, places: Sequence[TopicPartition]) -> Any:
    """Records of all partitions up to where they end now."""
    begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    rest = [place for place in places if begins[place] < ends[place]]
    if not rest:
        return
    consumer.assign(rest)
    for place in rest:
        consumer.seek(place, begins[place])
    while rest:
        for place, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
            for record in records:
                if record.offset < ends[place]:
                    yield record
        rest = [place for place in rest if await consumer.position(place) < ends[place]]


def _letter(record: Any) -> Letter:
    headers = {name: value.decode("utf-8", "backslashreplace") for name, value in record.headers}
    received = headers.get("received", "")
    return Letter(
        (record.key or b"").decode("utf-8", "backslashreplace"), headers.get("reason", ""), headers.get("detail", ""),
        int(received) if received.isdigit() else record.timestamp, record.timestamp, len(record.value or b""),
        (record.partition, record.offset), headers, None, headers.get(RETRIED, ""),
    )  # fmt: skip


def judge(value: bytes | None, now_ms: int, settings: Settings) -> list[Event] | Rejection:
    """What the worker would say of these bytes if they came now: all their events, or why they are none."""
    limits = _limits(settings)
    if value is not None and len(value) > LINE_BYTES_MAX:
        return Rejection(0, "too_large", f"{len(value)} bytes, more than a record may have", value)
    events: list[Event] = []
    for item in read_record(value, now_ms, limits):
        if isinstance(item, Rejection):
            return item
        events.append(item)
    return events


class Retrier:
    """Sends mended letters; an async context manager. Raises PartUnavailable and DeliveryError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Any = None

    async def __aenter__(self) -> Retrier:
        self._producer = AIOKafkaProducer(
            **access.brokers(self._settings), client_id="field-rejected", acks="all",
            enable_idempotence=True, max_request_size=RECORD_BYTES_MAX, linger_ms=5,
        )  # fmt: skip
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise PartUnavailable("Kafka", f"{self._settings.kafka_brokers}: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, letter: Letter, value: bytes, events: Sequence[Event]) -> str:
        """Publish the events as any publisher does, then the mark; returns where they stand on the log."""
        topic = self._settings.events_topic
        headers = ((LETTER, letter.position.encode()),)
        records = _pack(value, events, self._settings)
        stand = await self._acknowledged(topic, [r._replace(headers=(*r.headers, *headers)) for r in records])
        retried = f"{topic}/{stand[0].partition}/{stand[0].offset}"
        told = [(name, text.encode()) for name, text in letter.headers.items()]
        mark = Record(letter.place[0], letter.position.encode(), value, (*told, (RETRIED, retried.encode())), 0)
        await self._acknowledged(self._settings.rejected_topic, [mark])
        letter.retried = retried
        return retried

    async def _acknowledged(self, topic: str, records: Sequence[Record]) -> list[Any]:
        try:
            sent = [
                await self._producer.send(topic, r.value, key=r.key, partition=r.partition, headers=list(r.headers))
                for r in records
            ]
            return list(await asyncio.gather(*sent))
        except KafkaError as error:
            raise DeliveryError(
                f"not acknowledged ({error or type(error).__name__}); what was retried before is marked, try again",
                topic=topic, partition=records[0].partition,
            ) from None  # fmt: skip


def _pack(value: bytes, events: Sequence[Event], settings: Settings) -> list[Record]:
    """JSON of one event as it is, with all that devices newer than we put into it; anything else by its events."""
    if len(events) == 1 and value.lstrip()[:1] == b"{":
        return pack_line(value, 0, settings.partitions, "json", _limits(settings))[0]
    return pack(events, settings.partitions, "batch")


def _limits(settings: Settings) -> Limits:
    return Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
