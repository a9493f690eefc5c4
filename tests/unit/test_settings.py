"""Settings: a misspelled or impossible one is an error that names it."""

import pytest

from projections import migrate
from streams import setting_checks, settings
from streams.errors import SettingError


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"KAFKA_BROKER": "h:1"}, "KAFKA_BROKER"),
        ({"FIELD_CHECKPOINT": "1"}, "FIELD_CHECKPOINT"),
        ({"REDIS_PORT": "seventy"}, "REDIS_PORT"),
        ({"REDIS_PORT": "0"}, "REDIS_PORT"),
        ({"KAFKA_BROKERS": "nowhere"}, "KAFKA_BROKERS"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
        ({"FIELD_FLOOD_SHARE": "nan"}, "FIELD_FLOOD_SHARE"),
        ({"FIELD_PARTS": "podman"}, "FIELD_PARTS"),
        ({"FIELD_RULE_SLOT_MS": "0"}, "FIELD_RULE_SLOT_MS"),
        ({"FIELD_RULE_SEATZ": "2"}, "FIELD_RULE_SEATZ"),
        ({"FIELD_RULE_SEQUENCE_WINDOW": "65"}, "FIELD_RULE_SEQUENCE_WINDOW"),
        ({"FIELD_EVENTS_TOPIC": ""}, "FIELD_EVENTS_TOPIC"),
        ({"FIELD_EVENTS_TOPIC": "field events"}, "FIELD_EVENTS_TOPIC"),
        ({"FIELD_CHANGES_TOPIC": "x" * 201}, "FIELD_CHANGES_TOPIC"),
        ({"FIELD_CHANGES_TOPIC": ".."}, "FIELD_CHANGES_TOPIC"),
        ({"FIELD_REJECTED_TOPIC": "größe"}, "FIELD_REJECTED_TOPIC"),
        ({"FIELD_REJECTED_TOPIC": "field.events"}, "FIELD_REJECTED_TOPIC"),
        ({"REDIS_HOST": ""}, "REDIS_HOST"),
        ({"KAFKA_BROKERS": "h:0"}, "KAFKA_BROKERS"),
        ({"KAFKA_BROKERS": "h:1,h:65536"}, "KAFKA_BROKERS"),
        ({"KAFKA_BROKERS": "h:²"}, "KAFKA_BROKERS"),
        ({"DATABASE_URL": "postgresql://h:notaport/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://h:70000/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://h:0/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://[h/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql:///x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://me:hu@sh@h/x"}, "DATABASE_URL"),
        ({"FIELD_GENERATION": ""}, "FIELD_GENERATION"),
        ({"FIELD_GENERATION": "größe"}, "FIELD_GENERATION"),
        ({"FIELD_GENERATION": "live\n"}, "FIELD_GENERATION"),
        ({"FIELD_GENERATION": "x" * 65}, "FIELD_GENERATION"),
        ({"FIELD_PARTITIONS": "10001"}, "FIELD_PARTITIONS"),
        ({"FIELD_SHARDS": "65537"}, "FIELD_SHARDS"),
        ({"FIELD_DEPTH_MAX": "101"}, "FIELD_DEPTH_MAX"),
        ({"FIELD_EVENT_BYTES_MAX": "1000001"}, "FIELD_EVENT_BYTES_MAX"),
        ({"FIELD_RETENTION_DAYS": "6"}, "FIELD_RETENTION_DAYS"),
        ({"FIELD_SESSION_TIMEOUT_S": "5"}, "FIELD_SESSION_TIMEOUT_S"),
        ({"FIELD_GATEWAY_PROXIES": "*"}, "FIELD_GATEWAY_PROXIES"),
        ({"FIELD_GATEWAY_PROXIES": "10.0.0.1, 10.1.0.1/8"}, "FIELD_GATEWAY_PROXIES"),
        ({"FIELD_PUBLISHER_METRICS_PORT": "9101"}, "FIELD_PUBLISHER_METRICS_PORT"),
    ],
)
def test_bad_settings_are_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError, match=named) as caught:
        settings.read(environ)
    assert caught.value.name == named


@pytest.mark.parametrize(
    "environ",
    [
        {"FIELD_RETENTION_DAYS": "7"},
        {"FIELD_RETENTION_DAYS": "0"},
        {"FIELD_WORKER_METRICS_PORT": "0", "FIELD_PROJECTOR_METRICS_PORT": "0", "FIELD_PUBLISHER_METRICS_PORT": "0"},
        {"KAFKA_BROKERS": "a:1, b:65535"},
        {"DATABASE_URL": "postgres://h/x"},
        {"FIELD_GENERATION": "x" * 64, "FIELD_EVENTS_TOPIC": "A-z_0.9", "FIELD_SESSION_TIMEOUT_S": "6"},
    ],
)
def test_possible_settings_pass(environ: dict[str, str]) -> None:
    settings.read(environ)


def test_the_shortest_retention_is_that_of_the_migrations() -> None:
    assert setting_checks.RETENTION_DAYS_MIN == migrate.RETENTION_DAYS_MIN


def test_what_is_not_ours_is_left_alone() -> None:
    assert settings.read({"HOME": "/", "REDIS_HOST": "cache"}).redis_host == "cache"


def test_rules_come_from_the_environment_and_name_another_fold() -> None:
    changed = settings.read({"FIELD_RULE_SEATS": "2"})
    assert changed.rules.seats == 2
    assert changed.rules.version != settings.read({}).rules.version


def test_exports_read_back_and_hide_secrets() -> None:
    given = settings.read({"DATABASE_URL": "postgresql://a:b@h/d", "FIELD_RULE_SEATS": "2"})
    assert settings.read(settings.exports(given, secrets=True)) == given
    assert "DATABASE_URL" not in settings.exports(given, secrets=False)


def test_the_page_lists_every_setting() -> None:
    page = settings.page()
    assert [name for name in settings.known() if f"`{name}`" not in page] == []
