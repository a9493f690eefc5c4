"""Is Kafka there, and how fresh is a projection: the ends of the log, asked for every two seconds.

A consumer that fetches nothing cannot tell an idle log from a broker that is away, so the broker is asked for
something that it has to answer. Freshness, of every projection in every process, is the time since the last such
moment whose ends of the events topic the projection reflects, by its stored input positions: up to a few seconds while
it keeps up, and it grows while the projection is behind, or while Kafka or its store does not answer.
``deploy/observe.py`` says what the status makes of it, which asks nobody but the stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from projections.backoff import Backoff
from streams import access, metrics
from streams.settings import Settings

EVERY_S: Final = 2.0
ANSWER_S: Final = 3.0
COPIES_EVERY_MS: Final = 30_000
"""How often the brokers are asked which copies are in sync."""

Reflects = Callable[[Mapping[int, int], float], bool]
"""Whether a projection reflects these ends (next offset by partition), which were asked for at this time (epoch s)."""


class Freshness:
    """The gauge of one projection."""

    def __init__(self, name: str, reflects: Reflects) -> None:
        self._reflects = reflects
        self._since_s = time.time()
        self._known: tuple[float, Mapping[int, int]] | None = None
        metrics.PROJECTION_FRESHNESS.labels(name).set_function(self.seconds)

    def know(self, asked_s: float, ends: Mapping[int, int]) -> None:
        """Newer ends; a last look at those before."""
        self.seconds()
        self._known = asked_s, ends

    def seconds(self) -> float:
        """Also called by the thread that serves the metrics."""
        known = self._known
        if known is not None and self._reflects(known[1], known[0]):
            self._since_s = known[0]
        return max(0.0, time.time() - self._since_s)


class Ends:
    """Asks for the ends of the events topic, for all that is watched."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._settings = settings
        self._places = [TopicPartition(settings.events_topic, number) for number in range(settings.partitions)]
        self._stop = stop
        self._watched: list[Freshness] = []

    def watch(self, name: str, reflects: Reflects) -> Freshness:
        """Measure this projection from now on."""
        self._watched.append(Freshness(name, reflects))
        return self._watched[-1]

    async def run(self) -> None:
        """Until stopped; ``field_part_up{kafka}`` says whether the broker answers."""
        backoff = Backoff("kafka", self._stop)
        while not self._stop.is_set():
            consumer = AIOKafkaConsumer(
                **access.brokers(self._settings), client_id="field-ends", enable_auto_commit=False,
                metadata_max_age_ms=COPIES_EVERY_MS,
            )  # fmt: skip
            try:
                async with asyncio.timeout(ANSWER_S):
                    await consumer.start()
                while not self._stop.is_set():
                    await self._ask(consumer)
                    backoff.answered()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), EVERY_S)
            except (KafkaError, OSError, TimeoutError) as error:
                await backoff.failed(error)
            finally:
                await consumer.stop()

    async def _ask(self, consumer: AIOKafkaConsumer) -> None:
        asked_s = time.time()
        async with asyncio.timeout(ANSWER_S):
            found = await consumer.end_offsets(self._places)
        self._count_copies(consumer._client.cluster)
        ends = {place.partition: end for place, end in found.items()}
        for partition, end in ends.items():
            metrics.LOG_END.labels(str(partition)).set(end)
        for watched in self._watched:
            watched.know(asked_s, ends)

    def _count_copies(self, cluster: Any) -> None:
        """As its metadata said last; aiokafka has no other way to ask which are in sync."""
        found = cluster._partitions.get(self._settings.events_topic, {}).values()
        metrics.LOG_REPLICAS_MISSING.set(sum(len(one.replicas) - len(one.isr) for one in found))


def reached(positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    """Whether these positions (last offset by partition; none: -1) reflect logs that end here."""
    return all(positions.get(partition, -1) + 1 >= end for partition, end in ends.items())
