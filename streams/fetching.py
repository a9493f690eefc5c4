"""aiokafka's consumer, whose records of one topic stay in their batches: no Python object for each of them.

Making an object of a record costs aiokafka two microseconds, more than the compiled fold needs for the event in it.
Requests, positions, pauses and rebalances are aiokafka's own: only what a fetch brought is taken apart by ``chunks``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import FetchResult

from streams.chunks import Chunk, chunks

_NO_ERROR: Final = 0


class _Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types
    """Keeps the bytes of the last fetch of each partition of ``chunk_topic``, which the fetcher hides in its parser."""

    chunk_topic: str
    fetched: dict[TopicPartition, bytes]

    async def send(self, node_id: Any, request: Any, **kwargs: Any) -> Any:
        """As aiokafka's; the fetcher parses the answer before anything else is awaited."""
        response = await super().send(node_id, request, **kwargs)
        if type(response).__name__.startswith("FetchResponse"):
            self.fetched.clear()  # of what aiokafka did not take up: the partition is no longer ours, or elsewhere
            for topic, partitions in response.topics:
                if topic == self.chunk_topic:
                    for number, error, *_, fetched in partitions:
                        if error == _NO_ERROR:
                            self.fetched[TopicPartition(topic, number)] = fetched
        return response


class _Records(OrderedDict[TopicPartition, Any]):
    """The fetcher's results that wait to be taken; those of ``chunk_topic`` will be read as chunks."""

    def __init__(self, client: _Client) -> None:
        super().__init__()
        self._client = client

    def __setitem__(self, place: TopicPartition, result: Any) -> None:
        if place.topic == self._client.chunk_topic and isinstance(result, FetchResult):
            found = result._partition_records
            found._records_iterator = _unpacked(found, self._client.fetched.pop(place))
        super().__setitem__(place, result)


class ChunkConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """``getmany`` gives Chunks of one topic and records of all others; made by ``of``, before its start."""

    @classmethod
    def of(cls, consumer: Any, topic: str) -> ChunkConsumer:
        """The same consumer, not yet started, with chunks of ``topic``: Faust makes it, and knows no other class."""
        consumer.__class__ = cls
        consumer._client.__class__ = _Client
        consumer._client.chunk_topic = topic
        consumer._client.fetched = {}
        found: ChunkConsumer = consumer
        return found

    async def start(self) -> None:
        """As aiokafka's; nothing is fetched before Faust has subscribed, after this."""
        await super().start()
        self._fetcher._records = _Records(self._client)


def _unpacked(found: Any, fetched: bytes) -> Iterator[Chunk]:
    """What aiokafka's own generator does, a chunk at a time; ``next_fetch_offset`` is where the next fetch begins."""
    for chunk in chunks(fetched, found._tp.topic, found._tp.partition, found.next_fetch_offset):
        found.next_fetch_offset = chunk.last_offset + 1
        if chunk.size:
            yield chunk
