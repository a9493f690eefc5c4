"""Kafka's log as the gateway reads it: a consumer without a group, which never jumps."""

from __future__ import annotations

from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from projections.gateway.stores import LogReader, OpenLog
from streams import access
from streams.settings import Settings

ANSWER_S: Final = 10.0
FETCH_BYTES: Final = 1024 * 1024
"""aiokafka's own."""


def kafka_log(settings: Settings) -> OpenLog:
    """Readers of the brokers of the settings."""

    def open_log(name: str, fetch_bytes: int = FETCH_BYTES) -> LogReader:
        consumer: Any = AIOKafkaConsumer(
            **access.brokers(settings),
            client_id=name,
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=int(ANSWER_S * 1000),
            max_partition_fetch_bytes=fetch_bytes,
        )
        return consumer  # type: ignore[no-any-return]  # aiokafka has no types

    return open_log
