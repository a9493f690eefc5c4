"""Devices that go on through any fault: they know what was acknowledged, and send again what was not.

The events are those of ``streams.simulate`` by a seed, with late, duplicate and malformed ones among them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams import simulate
from streams.events import Event
from streams.packing import Record, pack, pack_line
from streams.settings import Settings
from tests.workers import read_topic

DEVICES: Final = 60
SHARES: Final = {"late": 0.02, "duplicates": 0.02, "malformed": 0.01, "opts": 0.004}
ANSWER_MS: Final = 10_000
"""A record without an answer for so long is sent again."""
OVER_S: Final = 120.0


class Fleet:
    """Publishes in real time in a thread of its own while in ``with``; then waits for all acknowledgements.

    ``toggles`` False: nobody opts out. An OPT_OUT that comes more than L late takes what came after a later OPT_IN too
    (schema/digest.md), which the oracle does not; so not where records may be held up for longer.
    """

    def __init__(self, settings: Settings, seed: int, rate: float, toggles: bool = True) -> None:
        self.acknowledged: dict[tuple[int, int], bytes] = {}
        """(partition, offset) -> value, as the broker has confirmed it"""
        self.failures: list[str] = []
        """sends that were not acknowledged, and were sent again"""
        self.longest_s = 0.0
        """that an event waited for its acknowledgement"""
        self._settings = settings
        shares = SHARES if toggles else SHARES | {"opts": 0.0}
        self._fleet = simulate.Fleet(DEVICES, rate, seed, int(time.time() * 1000), **shares)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="fleet", daemon=True)

    def __enter__(self) -> Fleet:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(OVER_S)
        if kind is None:
            assert not self._thread.is_alive(), "the fleet waits for acknowledgements that never come"
            if self._error is not None:
                raise self._error

    async def lost(self, settings: Settings) -> list[str]:
        """Acknowledged records that do not stand in the log where the broker said; must be empty."""
        records = await read_topic(settings, settings.events_topic)
        log = {(record.partition, record.offset): record.value for record in records}
        return [f"{place}: {value[:80]!r}" for place, value in self.acknowledged.items() if log.get(place) != value]

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self._error = error

    async def _run(self) -> None:
        producer = await self._producer()
        waiting: set[asyncio.Task[None]] = set()
        try:
            for record in self._records():
                if self._stop.is_set():
                    break
                await asyncio.sleep(max(0.0, record[0] - time.time()))
                task = asyncio.create_task(self._send(producer, record[1]))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            while waiting:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await producer.stop()

    async def _producer(self) -> Any:
        while True:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._settings.kafka_brokers,
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                request_timeout_ms=ANSWER_MS,
            )
            try:
                await producer.start()
                return producer
            except KafkaError as error:
                self.failures.append(repr(error))
                await producer.stop()

    def _records(self) -> Iterator[tuple[float, Record]]:
        """(due, epoch s; record)."""
        for number, (at, event) in enumerate(simulate.items(self._fleet)):
            if isinstance(event, Event):
                records = pack([event], self._settings.partitions)
            else:
                records = pack_line(event, number, self._settings.partitions)[0]
            for record in records:
                yield at / 1_000, record

    async def _send(self, producer: Any, record: Record) -> None:
        began = time.monotonic()
        while True:
            try:
                sent = await producer.send_and_wait(
                    self._settings.events_topic,
                    record.value,
                    key=record.key or b"any",
                    partition=record.partition,
                    headers=list(record.headers),
                )
            except KafkaError as error:
                self.failures.append(repr(error))
                continue
            self.acknowledged[sent.partition, sent.offset] = record.value
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            return
