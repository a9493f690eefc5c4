"""What the brokers say of the copies of the log is counted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.protocol.metadata import MetadataResponse_v1

from projections.ends import Ends
from streams import metrics
from streams.settings import Settings


class Brokers:
    """Three of them, with a consumer that knows what ``in_sync`` says of the copies of each partition."""

    def __init__(self, topic: str, *in_sync: list[int]) -> None:
        brokers = [(number, "host", 9092, None) for number in (1, 2, 3)]
        copies = [(0, number, 1, [1, 2, 3], found) for number, found in enumerate(in_sync)]
        other = (0, "another", False, [(0, 0, 1, [1, 2, 3], [1])])
        self._client = SimpleNamespace(cluster=ClusterMetadata())
        self._client.cluster.update_metadata(MetadataResponse_v1(brokers, 1, [(0, topic, False, copies), other]))

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 7)


@pytest.mark.parametrize(
    ("in_sync", "missing"),
    [(([1, 2, 3], [3, 1, 2]), 0), (([1, 2], [1, 2, 3]), 1), (([1, 2], [2]), 3)],
)
async def test_copies_that_are_not_in_sync_are_counted(in_sync: tuple[list[int], ...], missing: int) -> None:
    settings = Settings(partitions=2)
    consumer: Any = Brokers(settings.events_topic, *in_sync)
    await Ends(settings, asyncio.Event())._ask(consumer)
    assert metrics.REGISTRY.get_sample_value("field_log_replicas_missing") == missing
