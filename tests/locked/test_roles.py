"""The role matrix on the real servers: what a role may do works, all else is refused as a right that it lacks."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
import redis
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)
from psycopg.errors import InsufficientPrivilege

from deploy.local import health
from deploy.local.locked import brokers_port
from deploy.locked import kafka as locks
from deploy.locked.home import folder
from deploy.locked.roles import ROLES, kafka_grants, redis_rules
from projections.redis_access import redis_at
from streams.settings import Settings
from tests.locked import actions_kafka
from tests.locked.conftest import Locked
from tests.locked.matrix import KAFKA, POSTGRES, REDIS

REFUSED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
AT = {server: [role.name for role in ROLES if server in role.servers] for server in ("kafka", "postgres", "redis")}
MATRIX = {"kafka": KAFKA, "postgres": POSTGRES, "redis": REDIS}


@pytest.mark.parametrize("server", AT)
def test_the_matrix_covers_every_role(server: str) -> None:
    table = MATRIX[server]
    named = {role for _, allowed in table.values() for role in allowed.split()}
    assert named == set(AT[server]), "each role may do something there, and nobody else has an account"
    for role in AT[server]:
        assert [action for action, (_, allowed) in table.items() if role not in allowed.split()], role
    assert set(kafka_grants(Settings())) == set(AT["kafka"])
    assert set(redis_rules()) == set(AT["redis"])


@pytest.fixture(scope="session")
def set_aside(locked: Locked) -> None:
    """A topic like one of another generation."""

    async def make(settings: object) -> None:
        async with actions_kafka.admin_of(locked.of("operator")) as admin:
            await admin.create_topics([NewTopic(actions_kafka.ASIDE, 1, 1)])

    actions_kafka.run(make, locked.of("operator"))


@pytest.mark.parametrize("role", AT["kafka"])
@pytest.mark.parametrize("action", KAFKA)
def test_kafka(locked: Locked, set_aside: None, role: str, action: str) -> None:
    act, allowed = KAFKA[action]
    if role in allowed.split():
        actions_kafka.run(act, locked.of(role))
        return
    with pytest.raises(REFUSED):
        actions_kafka.run(act, locked.of(role))


@pytest.fixture(scope="session")
def databases(locked: Locked) -> Iterator[dict[str, psycopg.Connection]]:
    """A connection a role."""
    opened = {role: psycopg.connect(locked.of(role).database_url, connect_timeout=10) for role in AT["postgres"]}
    yield opened
    for connection in opened.values():
        connection.close()


@pytest.mark.parametrize("role", AT["postgres"])
@pytest.mark.parametrize("action", POSTGRES)
def test_postgres(databases: dict[str, psycopg.Connection], role: str, action: str) -> None:
    """Nothing of it stays."""
    statement, allowed = POSTGRES[action]
    connection = databases[role]
    try:
        connection.execute("SET LOCAL lock_timeout = '30s'")
        if role in allowed.split():
            connection.execute(statement.encode())
            return
        with pytest.raises(InsufficientPrivilege):
            connection.execute(statement.encode())
    finally:
        connection.rollback()


@pytest.fixture(scope="session")
def caches(locked: Locked) -> Iterator[dict[str, redis.Redis]]:
    """A client a role."""
    opened = {role: redis.Redis(**redis_at(locked.of(role)), socket_timeout=10) for role in AT["redis"]}
    yield opened
    for client in opened.values():
        client.close()


@pytest.mark.parametrize("role", AT["redis"])
@pytest.mark.parametrize("action", REDIS)
def test_redis(caches: dict[str, redis.Redis], role: str, action: str) -> None:
    words, allowed = REDIS[action]
    client = caches[role]
    if role not in allowed.split():
        with pytest.raises(redis.exceptions.ResponseError, match=r"no permissions|DEBUG command not allowed"):
            client.execute_command(*words.split())
    elif words.startswith("SUBSCRIBE"):
        with client.pubsub() as heard:
            heard.subscribe(words.split()[1])
            assert heard.get_message(timeout=10) is not None
    else:
        client.execute_command(*words.split())


def test_whoever_comes_without_an_account_or_in_the_clear_is_refused(locked: Locked) -> None:
    """The same lines as those of the roles, but for one thing each."""
    operator = locked.settings
    plain = replace(operator, kafka_security="plaintext", kafka_username="", kafka_password="")
    for wrong in (plain, replace(plain, kafka_security="ssl"), replace(operator, kafka_password="wrong"),
                  replace(operator, kafka_security="sasl_plaintext"), replace(operator, kafka_ca_file="")):  # fmt: skip
        with pytest.raises(KafkaConnectionError):
            actions_kafka.run(KAFKA["read events"][0], wrong)
        assert not health.kafka_at(wrong).up
    url = operator.database_url
    for wrong, problem in (
        (url.replace("sslmode=verify-full", "sslmode=disable"), "no encryption"),
        (url.replace(locked.canaries["postgres-operator"], "wrong"), "password authentication failed"),
        (url.partition("&sslrootcert")[0], "root certificate file|certificate verify failed"),
    ):
        with pytest.raises(psycopg.OperationalError, match=problem):
            psycopg.connect(wrong, connect_timeout=10)
    for over, problem in (
        ({"redis_tls": 0}, "onnection"),
        ({"redis_username": "", "redis_password": ""}, "client already authenticated"),
        ({"redis_password": "wrong"}, "invalid username-password"),
        ({"redis_ca_file": ""}, "certificate verify failed"),
    ):
        answer = health.redis(replace(operator, **over))
        assert not answer.up
        assert problem in answer.problem, over


def test_the_brokers_own_way_in_wants_a_certificate_of_theirs(locked: Locked) -> None:
    tls, port = folder(locked.settings) / "tls", brokers_port(locked.settings)
    admin = locks.certificate(tls / "ca.pem", tls / "admin.pem", tls / "admin.key")
    assert health.kafka("127.0.0.1", port, tls=admin).up
    assert not health.kafka("127.0.0.1", port, tls=ssl.create_default_context(cafile=tls / "ca.pem")).up
    servers_only = locks.certificate(tls / "ca.pem", tls / "redis.pem", tls / "redis.key")
    assert not health.kafka("127.0.0.1", port, tls=servers_only).up
    assert not health.kafka("127.0.0.1", port).up


def test_the_database_of_nobody_is_closed(locked: Locked) -> None:
    """An account without a word about this database does not come into it."""
    with psycopg.connect(locked.of("admin").database_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        try:
            url = locked.of("admin").database_url.replace("field_admin", "stranger")
            url = url.replace(locked.canaries["postgres-admin"], "stranger")
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(url, connect_timeout=10)
        finally:
            admin.execute("DROP ROLE stranger")
