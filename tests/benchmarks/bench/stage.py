"""Where everything plays: the parts, and the same events in a topic of each form."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from aiokafka import AIOKafkaProducer

from streams import events as ev
from streams.settings import Settings
from streams.table import partition_of
from streams.wire import encode_batch, encode_frame
from tests.benchmarks.bench import broker, load
from tests.benchmarks.bench.setup import ROOT, Tools

ROOMS = 128
RECORD_EVENTS = {"json": 1, "rooms": 1, "array": 100, "frame": 1_000}


@dataclass(frozen=True)
class Filled:
    """A topic, its events, the bytes of its values, and what the simple fold comes to (None: rooms split devices)."""

    topic: str
    events: int
    bytes: int
    sum_r: float | None


@dataclass
class Stage:
    """What every measurement is given."""

    settings: Settings
    tools: Tools
    folder: Path
    """for logs and state; emptied by whoever made it"""
    name: str
    """of this run of the harness, in the names of its topics and groups"""
    devices: int
    partitions: int = load.PARTITIONS
    topics: dict[tuple[str, int], Filled] = field(default_factory=dict)
    _runs: int = 0

    @property
    def broker(self) -> str:
        return self.settings.kafka_brokers

    def run_id(self, row: str) -> str:
        """A new name for a consumer group and what belongs to it."""
        self._runs += 1
        return f"{self.name}-{self._runs}-{row}"

    def filled(self, form: str, count: int) -> Filled:
        """The topic of a form with the first ``count`` events, filled when it is asked for the first time."""
        if (form, count) not in self.topics:
            self.topics[form, count] = self._fill(form, count)
        return self.topics[form, count]

    def _fill(self, form: str, count: int) -> Filled:
        topic = f"{self.name}-{form}-{count}"
        rooms = ROOMS if form == "rooms" else 0
        asyncio.run(broker.create(self.broker, topic, self.partitions))
        if RECORD_EVENTS[form] > 1:
            size = asyncio.run(self.packed(topic, form, load.events(count, devices=self.devices)))
        else:
            answer = json.loads(self.publish(topic, count, rooms=rooms))
            if answer["left"]:
                raise RuntimeError(f"{answer['left']} events were not acknowledged")
            size = int(answer["bytes"])
        plain = load.events(count, devices=self.devices)
        return Filled(topic, count, size, None if rooms else load.expected(plain))

    def publish(self, topic: str, count: int, *, rooms: int = 0) -> str:
        command = self.publisher(topic, count, rooms=rooms)
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    def publisher(self, topic: str, count: int, *, rooms: int = 0, rate: int = 0) -> list[str]:
        """The command that publishes the first ``count`` events."""
        return [
            self.tools.python, "-m", "tests.benchmarks.bench.publisher", "--broker", self.broker, "--topic", topic,
            "--events", str(count), "--devices", str(self.devices), "--rooms", str(rooms), "--rate", str(rate),
        ]  # fmt: skip

    async def packed(self, topic: str, form: str, events: Iterator[load.Sent]) -> int:
        """Publish events as arrays or frames of one partition each; the bytes sent."""
        encode = encode_batch if form == "array" else encode_frame
        sent = 0
        producer = AIOKafkaProducer(
            bootstrap_servers=self.broker, linger_ms=20, max_batch_size=1 << 20, enable_idempotence=True
        )
        async with producer:
            for partition, group in grouped(events, RECORD_EVENTS[form], self.partitions):
                value = encode([as_event(one) for one in group])
                sent += len(value)
                await producer.send(topic, value, key=group[0].key.encode(), partition=partition)
        return sent


class Keyed(Protocol):
    """An event, as it is sent or as the field has it."""

    @property
    def key(self) -> str: ...


E = TypeVar("E", bound=Keyed)


def grouped(sent: Iterable[E], size: int, partitions: int) -> Iterator[tuple[int, Sequence[E]]]:
    """(partition, ``size`` of its events in their order); the last of each may be fewer."""
    waiting: dict[int, list[E]] = {}
    for event in sent:
        partition = partition_of(event.key, partitions)
        group = waiting.setdefault(partition, [])
        group.append(event)
        if len(group) == size:
            yield partition, waiting.pop(partition)
    yield from waiting.items()


def as_event(sent: load.Sent) -> ev.Event:
    """The same event as the field has it once it is read."""
    h = f"{sent.id:032x}"
    data = {"BREATH": ev.Breath(sent.phase), "SACRED_PHRASE": ev.Phrase(f"{sent.phrase:032x}")}
    empty = {"SPIRAL": ev.Spiral(), "BLOOM": ev.Bloom(), "TOUCH": ev.Touch()}
    return ev.Event(
        timestamp=sent.timestamp,
        id=f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}",
        type=sent.type,
        device_id=sent.device,
        key=sent.key,
        intensity=ev.to_millionths(sent.intensity),
        seq=sent.seq,
        x=sent.x,
        y=sent.y,
        room_id=sent.room,
        data=(data | empty)[sent.type],
    )


def numbers(count: int, devices: int) -> dict[int, list[int]]:
    """Which events are in which partition, in order."""
    found: dict[int, list[int]] = {number: [] for number in range(load.PARTITIONS)}
    places = {f"d{device:06d}": partition_of(f"d{device:06d}", load.PARTITIONS) for device in range(devices)}
    for number, event in enumerate(islice(load.events(count, devices=devices), count)):
        found[places[event.device]].append(number)
    return found


def own(settings: Settings, run_id: str, topic: str, partitions: int = load.PARTITIONS) -> Settings:
    """The settings of a worker or projector with a generation and topics of its own."""
    return replace(
        settings, generation=run_id, events_topic=topic, changes_topic=f"{run_id}.changes",
        rejected_topic=f"{run_id}.rejected", partitions=partitions, worker_metrics_port=0,
        projector_metrics_port=0,
    )  # fmt: skip
