"""Kafka: brokers, topics as they must be, groups, the broker's clock, how large records are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, for_code

from deploy.doctor.findings import Verdict, bad, ok, warn
from streams import access, topics
from streams.settings import Settings

ASK_S: Final = 10.0
"""A cluster that has not answered within this time counts as not answering."""
CLOCK_S_MAX: Final = 5.0
"""Event time may be a minute ahead of the broker's; a clock that is off by seconds is a clock that nobody keeps."""
RECENT_S: Final = 60.0
"""A record that young tells the broker's clock: it cannot be from the future."""
IMMUTABLE: Final = ("cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type")
"""Configuration that means losing or mistaking events where it is another; of the rest it costs speed."""

ACCOUNT: Final = "operator, whose rights `field lock kafka` sets"
SEES_CONFIGS: Final = f"run this as an account with DESCRIBE_CONFIGS: {ACCOUNT}"


class Topic(NamedTuple):
    """``replicas`` and ``in_sync``: the fewest of any partition. ``problem``: why ``config`` is not told."""

    partitions: int
    replicas: int
    in_sync: int
    config: Mapping[str, str]
    problem: str = ""


class Log(NamedTuple):
    """What Kafka says. ``groups``: state and members by consumer group, no state where the broker refuses;
    ``newest_ms``: of the youngest record.
    """

    settings: Settings
    problem: str
    brokers: int = 0
    topics: Mapping[str, Topic] = {}
    groups: Mapping[str, tuple[str, int]] = {}
    newest_ms: int = -1
    asked_ms: int = 0


async def ask(settings: Settings) -> Log:
    """One look at the cluster; never raises."""
    admin = AIOKafkaAdminClient(**access.brokers(settings), request_timeout_ms=5_000)
    try:
        async with asyncio.timeout(ASK_S):
            await admin.start()
            found = await _topics(admin, list(topics.configs(settings)))
            groups = await _groups(admin, [topics.app_id(settings)])
            cluster = await admin.describe_cluster()
            newest_ms = await _newest_ms(settings, found.get(settings.events_topic))
        return Log(settings, "", len(cluster["brokers"]), found, groups, newest_ms, int(time.time() * 1000))
    except (KafkaError, OSError) as error:
        return Log(settings, str(error) or f"no answer in {ASK_S:.0f} s")
    finally:
        await admin.close()


async def _topics(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, Topic]:
    found = {one["topic"]: one["partitions"] for one in await admin.describe_topics()}
    there = [name for name in names if name in found]
    configs = await _configs(admin, there)
    return {
        name: Topic(
            len(found[name]),
            min(len(one["replicas"]) for one in found[name]),
            min(len(one["isr"]) for one in found[name]),
            *configs.get(name, ({}, "no answer")),
        )
        for name in there
    }


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, tuple[dict[str, str], str]]:
    """With the broker's refusal, which is no error of the whole answer."""
    if not names:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    return {
        resource[3]: (
            {entry[0]: entry[1] for entry in resource[4]},
            for_code(resource[0]).__name__ if resource[0] else "",
        )
        for response in await admin.describe_configs(asked)
        for resource in response.resources
    }


async def _groups(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, tuple[str, int]]:
    try:
        answers: Any = await admin.describe_consumer_groups(names)
    except GroupAuthorizationFailedError:  # who may not look at it does not hear where it is, either
        return dict.fromkeys(names, ("", 0))
    return {group[1]: (group[2], len(group[5])) for answer in answers for group in answer.groups}


async def _newest_ms(settings: Settings, topic: Topic | None) -> int:
    """Append time of the youngest last record of the events topic; -1 where there is none."""
    if topic is None:
        return -1
    consumer = AIOKafkaConsumer(**access.brokers(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(settings.events_topic, number) for number in range(topic.partitions)]
        ends, starts = await consumer.end_offsets(places), await consumer.beginning_offsets(places)
        waiting = [place for place in places if ends[place] > starts[place]]
        consumer.assign(waiting)
        for place in waiting:
            consumer.seek(place, ends[place] - 1)
        newest = -1
        while waiting:
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                newest = max(newest, *(record.timestamp for record in records))
                waiting = [other for other in waiting if other != place]
        return newest
    finally:
        await consumer.stop()


def brokers(log: Log) -> Iterator[Verdict]:
    if log.problem:
        yield bad(f"{log.settings.kafka_brokers}: {log.problem}", "`field up` starts it, or mend KAFKA_BROKERS")
    elif log.brokers < log.settings.replication:
        yield bad(
            f"{log.brokers} answer, FIELD_REPLICATION is {log.settings.replication}", "start more, or set it lower"
        )
    elif log.settings.replication == 1:
        yield ok(f"{log.brokers} answer; one copy of everything, fit for development")
    else:
        yield ok(f"{log.brokers} answer")


def topics_exist(log: Log) -> Iterator[Verdict]:
    if log.problem:
        return
    missing = [name for name in topics.configs(log.settings) if name not in log.topics]
    if missing:
        yield bad(f"there is no {', '.join(missing)}", "`field up` or `field worker` creates what is missing")
    else:
        yield ok(", ".join(log.topics))


def partitions(log: Log) -> Iterator[Verdict]:
    wanted = log.settings.partitions
    other = {name: topic.partitions for name, topic in log.topics.items() if topic.partitions != wanted}
    for name, count in other.items():
        yield bad(
            f"{name} has {count}, FIELD_PARTITIONS is {wanted}",
            f"set FIELD_PARTITIONS={count}; the number is for a topic's life (deploy/README.md, More partitions)",
        )
    if log.topics and not other:
        yield ok(f"{wanted} each")


def copies(log: Log) -> Iterator[Verdict]:
    wanted, fine = log.settings.replication, True
    for name, topic in log.topics.items():
        fine = fine and topic.replicas >= wanted and topic.in_sync >= topic.replicas
        if topic.replicas < wanted:
            yield warn(
                f"{name} has {topic.replicas}, FIELD_REPLICATION is {wanted}",
                "kafka-reassign-partitions.sh gives a topic more; the setting counts for new topics only",
            )
        elif topic.in_sync < topic.replicas:
            yield warn(
                f"{name}: {topic.in_sync} of {topic.replicas} are in sync", "bring the missing broker back, or wait"
            )
    if log.topics and fine:
        yield ok(f"{wanted} each, in sync")


def topic_settings(log: Log) -> Iterator[Verdict]:
    """Events kept for ever, the broker's clock, compaction, sizes, two copies that have a write."""
    told = [
        verdict
        for name, wanted in topics.configs(log.settings).items() if name in log.topics
        for verdict in _settings_of(log.settings, name, log.topics[name], wanted)
    ]  # fmt: skip
    yield from told
    if log.topics and not told:
        yield ok("retention, clock, compaction and sizes are as they should be")


def _settings_of(settings: Settings, name: str, topic: Topic, wanted: Mapping[str, str]) -> Iterator[Verdict]:
    if topic.problem:
        yield warn(f"{name}: the broker does not tell us its settings ({topic.problem})", SEES_CONFIGS)
        return
    for key, value in wanted.items():
        found = topic.config.get(key)
        if found is None:
            yield warn(f"{name}: the broker does not say what {key} is, it should be {value}", SEES_CONFIGS)
        elif found != value:
            verdict = bad if key in IMMUTABLE or key == "max.message.bytes" else warn
            yield verdict(f"{name}: {key} is {found}, not {value}", _mend(settings, name, key, value))


def _mend(settings: Settings, name: str, key: str, value: str) -> str:
    command = f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {key}={value}"
    if name == settings.events_topic and key.startswith("retention") and settings.archive:
        return f"{command}; or leave it where `field archive verify` has just ended with 0 (FIELD_ARCHIVE)"
    return command


def worker_group(log: Log) -> Iterator[Verdict]:
    for name, (state, members) in log.groups.items():
        if not state:
            yield warn(f"{name} is not ours to look at", f"run this as an account that may: {ACCOUNT}")
        elif state == "Stable":
            yield ok(f"{name} is stable, {members} {'member' if members == 1 else 'members'}")
        elif members == 0:
            yield warn(f"{name} has no member: nobody folds", "`field up` or `field worker`")
        else:
            yield warn(f"{name} is {state}, {members} members", "look again in some seconds; else the workers' logs")


def broker_clock(log: Log) -> Iterator[Verdict]:
    if log.newest_ms < 0:
        return
    ahead_s = (log.newest_ms - log.asked_ms) / 1000
    if ahead_s > CLOCK_S_MAX:
        yield bad(f"the newest event was appended {ahead_s:.1f} s in our future", "let NTP keep the brokers' clocks")
    elif ahead_s > -RECENT_S:
        yield ok("the newest event is not from our future")


CHECKS: Final[tuple[Callable[[Log], Iterator[Verdict]], ...]] = (
    brokers, topics_exist, partitions, copies, topic_settings, worker_group, broker_clock,
)  # fmt: skip
