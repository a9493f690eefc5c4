"""How clients come to Kafka and Redis, by the settings; and what is refused before anybody connects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.locked import redis
from deploy.locked.roles import ADMIN, ROLES, kafka_grants, redis_rules
from projections.redis_access import redis_at
from streams import access
from streams.app import _credentials
from streams.errors import SettingError
from streams.settings import Settings, read

ACCOUNT = {"KAFKA_SECURITY": "sasl_plaintext", "KAFKA_USERNAME": "gateway", "KAFKA_PASSWORD": "one"}


def test_in_the_clear_by_default() -> None:
    found = access.brokers(Settings())
    assert found == {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT", "ssl_context": None}
    assert _credentials(Settings()) is None
    assert "ssl" not in redis_at(Settings())


def test_an_account_and_a_second_one_that_reads() -> None:
    settings = read({**ACCOUNT, "KAFKA_READER_USERNAME": "listener", "KAFKA_READER_PASSWORD": "two"})
    writes, reads = access.brokers(settings), access.brokers(access.reading(settings))
    assert (writes["sasl_plain_username"], writes["sasl_plain_password"]) == ("gateway", "one")
    assert (reads["sasl_plain_username"], reads["sasl_plain_password"]) == ("listener", "two")
    assert writes["sasl_mechanism"] == "SCRAM-SHA-512"
    assert access.reading(read(ACCOUNT)) == read(ACCOUNT)
    faust = _credentials(settings)
    assert (faust.protocol.value, faust.mechanism.value, faust.username) == (
        "SASL_PLAINTEXT", "SCRAM-SHA-512", "gateway",
    )  # fmt: skip
    assert "one" not in repr(faust)


def test_tls_always_asks_who_the_server_is(tmp_path: Path) -> None:
    settings = replace(read(ACCOUNT), kafka_security="sasl_ssl", redis_tls=1)
    context = access.brokers(settings)["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert _credentials(settings).protocol.value == "SASL_SSL"
    assert redis_at(settings)["ssl_check_hostname"]
    missing = replace(settings, kafka_ca_file=str(tmp_path / "no"), redis_ca_file=str(tmp_path / "no"))
    with pytest.raises(SettingError, match=r"KAFKA_CA_FILE.*No such file"):
        access.brokers(missing)
    with pytest.raises(SettingError, match=r"REDIS_CA_FILE.*no such file"):
        redis_at(missing)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"KAFKA_SECURITY": "sasl_ssl"}, "KAFKA_USERNAME"),
        ({**ACCOUNT, "KAFKA_PASSWORD": ""}, "KAFKA_PASSWORD"),
        ({**ACCOUNT, "KAFKA_SECURITY": "ssl"}, "KAFKA_USERNAME"),
        ({"KAFKA_SECURITY": "SASL_SSL"}, "KAFKA_SECURITY"),
        ({**ACCOUNT, "KAFKA_READER_USERNAME": "x"}, "KAFKA_READER_PASSWORD"),
        ({"KAFKA_READER_USERNAME": "x", "KAFKA_READER_PASSWORD": "y"}, "KAFKA_READER_USERNAME"),
        ({"REDIS_USERNAME": "x"}, "REDIS_PASSWORD"),
        ({"REDIS_TLS": "2"}, "REDIS_TLS"),
    ],
)
def test_what_cannot_be_is_named(environ: dict[str, str], name: str) -> None:
    with pytest.raises(SettingError) as told:
        read(environ)
    assert told.value.name == name


def test_a_gateway_cannot_read_and_nobody_alters() -> None:
    grants = kafka_grants(Settings())
    assert {operation for grant in grants["gateway"] for operation in grant.operations} == {"WRITE"}
    assert {operation for grant in grants["listener"] for operation in grant.operations} == {"READ", "DESCRIBE"}
    given = {operation for some in grants.values() for grant in some for operation in grant.operations}
    assert not given & {"ALL", "ALTER", "ALTER_CONFIGS", "CLUSTER_ACTION"}
    assert not [grant for some in grants.values() for grant in some if grant.kind == "cluster"]
    assert ADMIN not in [role.name for role in ROLES]


def test_redis_file_has_hashes_only_and_no_default_account() -> None:
    text = redis.users({name: f"secret-{name}" for name in (*redis_rules(), ADMIN)})
    assert "secret-" not in text
    assert text.splitlines()[0] == "user default off resetpass resetkeys resetchannels -@all"
    assert [line.split()[1] for line in text.splitlines()[1:]] == [*redis_rules(), ADMIN]
