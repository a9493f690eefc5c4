"""The topics of the field and how they are created: equal partition counts, the broker's clock, compaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams import access
from streams.errors import PartUnavailable, SettingError
from streams.settings import Settings

TABLE: Final = "shards"
RECORD_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest record of the topics that we write: a shard that has outgrown its 256 KB must still be kept."""

DAY_MS: Final = 86_400_000


def app_id(settings: Settings) -> str:
    """Consumer group of a generation, and the prefix of its changelog."""
    return f"field-{settings.generation}"


def changelog_topic(settings: Settings) -> str:
    """The name that Faust gives to the changelog of the table of shards."""
    return f"{app_id(settings)}-{TABLE}-changelog"


def configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Topic configuration by topic name."""
    large = {"max.message.bytes": str(RECORD_BYTES_MAX)}
    # one broker may go and nothing stops; none of what was acknowledged is on one broker alone
    safe = {"min.insync.replicas": "2"} if settings.replication >= 3 else {}
    clock = {"message.timestamp.type": "LogAppendTime"}  # the only clock that validation knows
    for_ever = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    wanted = {
        settings.events_topic: {**clock, **for_ever},
        settings.changes_topic: {**clock, **large, "cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)},
        settings.rejected_topic: {**clock, **large, **for_ever},
        changelog_topic(settings): {
            **large,
            "cleanup.policy": "compact",
            # recovery reads what compaction has not reached: keep that short
            "min.cleanable.dirty.ratio": "0.1",
            "segment.bytes": str(64 * 1024 * 1024),
            "segment.ms": str(600_000),
        },
    }
    return {name: {**config, **safe} for name, config in wanted.items()}


async def create(settings: Settings, only: Collection[str] = ()) -> list[str]:
    """Create the topics that are missing (of those named ``only``, if any are); returns their names.

    Raises SettingError when a topic exists with another number of partitions (that number is for life),
    PartUnavailable when Kafka does not answer or refuses.
    """
    admin = AIOKafkaAdminClient(**access.brokers(settings), client_id="field-topics")
    try:
        await admin.start()
        existing = await partition_counts(admin)
        wanted = {name: found for name, found in configs(settings).items() if not only or name in only}
        for name in wanted:
            if name in existing:
                _check_partitions(name, existing[name], settings)
        missing = [name for name in wanted if name not in existing]
        await _create(admin, {name: wanted[name] for name in missing}, settings)
        return missing
    except KafkaError as error:
        raise PartUnavailable("Kafka", f"{settings.kafka_brokers}: {error}") from error
    finally:
        await admin.close()


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Number of partitions of every topic that exists."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


def _check_partitions(name: str, found: int, settings: Settings) -> None:
    if found != settings.partitions:
        raise SettingError(
            "FIELD_PARTITIONS",
            f"is {settings.partitions}, but topic {name} has {found} partitions, which is for its life; "
            f"set FIELD_PARTITIONS={found}, or name new topics and replay into them",
        )


async def _create(admin: AIOKafkaAdminClient, wanted: Mapping[str, Mapping[str, str]], settings: Settings) -> None:
    topics = [
        NewTopic(name, settings.partitions, settings.replication, topic_configs=dict(config))
        for name, config in wanted.items()
    ]
    if not topics:
        return
    response: Any = await admin.create_topics(topics)
    for name, code, message in response.topic_errors:
        # another process may have been faster: the same topics, so that is no fault
        if code not in (0, TopicAlreadyExistsError.errno):
            raise PartUnavailable("Kafka", f"topic {name} was not created: {message or for_code(code).__name__}")
