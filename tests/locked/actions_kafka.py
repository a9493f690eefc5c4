"""What can be tried at Kafka: each action by whoever the settings are, until it is done or refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from deploy.locked import kafka as locks
from projections import membership
from streams import access
from streams.settings import Settings

Action = Callable[[Settings], Awaitable[None]]
ASIDE = "field-aside"
"""Topic and group as those of a generation, that nobody uses."""
PROJECTORS_ASIDE = membership.group("aside", "state")


@asynccontextmanager
async def admin_of(settings: Settings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**access.brokers(settings), request_timeout_ms=10_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def known(settings: Settings, topic: str) -> None:
    """Raises what the broker says when it is asked about the topic."""
    async with admin_of(settings) as admin:
        (found,) = await admin.describe_topics([topic])
    check(found["error_code"])


def check(code: int) -> None:
    if code:
        raise for_code(code)


def write(topic: Callable[[Settings], str]) -> Action:
    async def act(settings: Settings) -> None:
        await known(settings, topic(settings))
        producer = AIOKafkaProducer(**access.brokers(settings), enable_idempotence=True)
        try:
            await producer.start()
            await producer.send_and_wait(topic(settings), b"not an event", partition=0)
        finally:
            await producer.stop()

    return act


def read(topic: Callable[[Settings], str]) -> Action:
    async def act(settings: Settings) -> None:
        await known(settings, topic(settings))
        place = TopicPartition(topic(settings), 0)
        consumer = AIOKafkaConsumer(**access.brokers(settings), enable_auto_commit=False)
        try:
            await consumer.start()
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            await consumer.getmany(place, timeout_ms=50)
        finally:
            await consumer.stop()

    return act


def of(name: str) -> Callable[[Settings], str]:
    return lambda settings: str(getattr(settings, f"{name}_topic"))


def aside(settings: Settings) -> str:
    return ASIDE


def join(group: str) -> Action:
    """Into a group, and commit there: an account that may not read is not let in."""

    async def act(settings: Settings) -> None:
        consumer = AIOKafkaConsumer(**access.brokers(settings), group_id=group, enable_auto_commit=False)
        place = TopicPartition(settings.events_topic, 0)
        try:
            await consumer.start()
            consumer.assign([place])
            await consumer.commit({place: 0})
        finally:
            await consumer.stop()

    return act


def look_at(group: Callable[[Settings], str]) -> Action:
    async def act(settings: Settings) -> None:
        async with admin_of(settings) as admin:
            for response in await admin.describe_consumer_groups([group(settings)]):
                for found in response.to_object()["groups"]:
                    check(found["error_code"])

    return act


async def create(settings: Settings) -> None:
    """Twice the same: whether it is there already is another error than being refused."""
    async with admin_of(settings) as admin:
        response = await admin.create_topics([NewTopic(ASIDE, 1, 1)], validate_only=True)
        check_created(response)


async def create_foreign(settings: Settings) -> None:
    async with admin_of(settings) as admin:
        check_created(await admin.create_topics([NewTopic("another", 1, 1)], validate_only=True))


def check_created(response: Any) -> None:
    for _, code, *_ in response.topic_errors:
        if code != 36:  # it exists
            check(code)


def delete(topic: Callable[[Settings], str]) -> Action:
    async def act(settings: Settings) -> None:
        async with admin_of(settings) as admin:
            response = await admin.delete_topics([topic(settings)])
            for _, code, *_ in response.topic_error_codes:
                check(code)

    return act


async def give_rights(settings: Settings) -> None:
    acl = locks.Acl(2, settings.events_topic, locks.LITERAL, "User:worker", "*", 2, locks.ALLOW)
    async with admin_of(settings) as admin:
        for code, _ in (await admin._send_to_controller(locks._Create([acl]))).creation_responses:
            check(code)


async def take_rights(settings: Settings) -> None:
    acl = sorted(locks.wanted(settings))[0]
    async with admin_of(settings) as admin:
        for code, *_ in (await admin._send_to_controller(locks._Delete([acl]))).filter_responses:
            check(code)


async def see_rights(settings: Settings) -> None:
    async with admin_of(settings) as admin:
        request = locks.protocol.DescribeAclsRequest(1, None, 1, None, None, 1, 1)
        check((await admin._send_to_controller(request)).error_code)


async def make_account(settings: Settings) -> None:
    row = ("intruder", locks.SHA_512, locks.ITERATIONS, b"salt", b"salted", {})
    async with admin_of(settings) as admin:
        for _, code, *_ in (await admin._send_to_controller(locks._Scram([row]))).results:
            check(code)


async def see_settings(settings: Settings) -> None:
    async with admin_of(settings) as admin:
        for response in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, settings.events_topic)]):
            for code, *_ in response.resources:
                check(code)


async def change_retention(settings: Settings) -> None:
    """Of the log of record, which is kept for ever."""
    resource = ConfigResource(ConfigResourceType.TOPIC, settings.events_topic, configs={"retention.ms": "1000"})
    async with admin_of(settings) as admin:
        for response in await admin.alter_configs([resource]):
            for code, *_ in response.resources:
                check(code)


async def change_broker(settings: Settings) -> None:
    resource = ConfigResource(ConfigResourceType.BROKER, "1", configs={"log.retention.ms": "1000"})
    async with admin_of(settings) as admin:
        for response in await admin.alter_configs([resource]):
            for code, *_ in response.resources:
                check(code)


def delete_records(topic: Callable[[Settings], str]) -> Action:
    async def act(settings: Settings) -> None:
        await known(settings, topic(settings))
        place = TopicPartition(topic(settings), 0)
        async with admin_of(settings) as admin:
            await admin.delete_records({place: RecordsToDelete(before_offset=0)})

    return act


def run(action: Action, settings: Settings) -> None:
    """Until it is over; a minute only bounds hanging."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await action(settings)

    asyncio.run(bounded())
