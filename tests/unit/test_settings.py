"""Settings: a misspelled or impossible one is an error that names it."""

import pytest

from streams import settings
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
    ],
)
def test_bad_settings_are_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError, match=named) as caught:
        settings.read(environ)
    assert caught.value.name == named


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
