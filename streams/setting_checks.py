"""What must hold of settings beyond each value within its bounds: addresses, topics, ports, times that follow others.

Pure. ``settings.read`` calls it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from streams.errors import SettingError

if TYPE_CHECKING:
    from streams.settings import Settings

RETENTION_DAYS_MIN: Final = 7
TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
GENERATION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check(settings: Settings) -> None:
    """Raises SettingError, which names the setting."""
    _check_addresses(settings)
    _check_accounts(settings)
    _check_topics(settings)
    if not GENERATION.fullmatch(settings.generation):
        raise SettingError("FIELD_GENERATION", "1 to 64 letters (a-z, A-Z), digits, - and _ only")
    if 0 < settings.retention_days < RETENTION_DAYS_MIN:
        raise SettingError(
            "FIELD_RETENTION_DAYS", f"{settings.retention_days} is under {RETENTION_DAYS_MIN}; 0 keeps all"
        )
    if settings.push_stale_s <= settings.push_heartbeat_s:
        raise SettingError("FIELD_PUSH_STALE_S", f"is not above FIELD_PUSH_HEARTBEAT_S ({settings.push_heartbeat_s})")
    _check_proxies(settings.gateway_proxies)
    used: dict[int, str] = {}
    for role in ("worker", "projector", "publisher", "gateway"):
        name, port = f"FIELD_{role.upper()}_METRICS_PORT", getattr(settings, f"{role}_metrics_port")
        if port and port in used:
            raise SettingError(name, f"{port} is the port of {used[port]} too")
        used[port] = name


def _check_addresses(settings: Settings) -> None:
    _check_places("KAFKA_BROKERS", settings.kafka_brokers)
    if settings.endpoints.strip():
        _check_places("FIELD_ENDPOINTS", settings.endpoints)
    try:
        url = urlsplit(settings.database_url)
        place, number = url.hostname, url.port
    except ValueError:  # of urlsplit: its text may hold the password
        raise SettingError("DATABASE_URL", "its host or port is none (ports are 1..65535)") from None
    if url.scheme not in ("postgresql", "postgres"):
        raise SettingError("DATABASE_URL", "is not a postgresql:// address")
    if url.netloc.count("@") > 1:  # libpq would take what follows the first for the host, and name it in its errors
        raise SettingError("DATABASE_URL", "has more than one @ before the host: in a password it is written %40")
    if not place or number == 0:
        raise SettingError("DATABASE_URL", "names no host" if not place else "port 0 is outside 1..65535")
    if settings.traces_endpoint and not re.match(r"https?://[^/\s]+", settings.traces_endpoint):
        raise SettingError("FIELD_TRACES_ENDPOINT", "is not an http:// or https:// address")
    if not settings.redis_host.strip():
        raise SettingError("REDIS_HOST", "is empty")


def _check_places(name: str, places: str) -> None:
    for place in places.split(","):
        if problem := place_problem(place.strip()):
            raise SettingError(name, problem)


def place_problem(place: str) -> str:
    """Why it is no host:port; empty if it is one."""
    host, _, port = place.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        return f"{place!r} is not host:port"
    return "" if 1 <= int(port) <= 65_535 else f"port {port} is outside 1..65535"


def _check_proxies(proxies: str) -> None:
    for one in filter(None, (part.strip() for part in proxies.split(","))):
        try:
            ipaddress.ip_network(one)
        except ValueError as error:
            raise SettingError("FIELD_GATEWAY_PROXIES", f"{one!r} is no address or network ({error})") from None


def _check_accounts(settings: Settings) -> None:
    sasl = settings.kafka_security.startswith("sasl_")
    if sasl and not settings.kafka_username:
        raise SettingError("KAFKA_USERNAME", f"is empty, and KAFKA_SECURITY={settings.kafka_security} needs it")
    if not sasl and settings.kafka_username:
        raise SettingError("KAFKA_USERNAME", f"has no effect with KAFKA_SECURITY={settings.kafka_security}")
    if sasl and not settings.kafka_password:
        raise SettingError("KAFKA_PASSWORD", "is empty")
    if settings.kafka_reader_username and not settings.kafka_username:
        raise SettingError("KAFKA_READER_USERNAME", "has no effect without KAFKA_USERNAME")
    if settings.kafka_reader_username and not settings.kafka_reader_password:
        raise SettingError("KAFKA_READER_PASSWORD", "is empty")
    if settings.redis_username and not settings.redis_password:
        raise SettingError("REDIS_PASSWORD", "is empty, and REDIS_USERNAME needs one")


def _check_topics(settings: Settings) -> None:
    used: dict[str, str] = {}
    for kind in ("events", "changes", "rejected"):
        name, topic = f"FIELD_{kind.upper()}_TOPIC", getattr(settings, f"{kind}_topic")
        if not TOPIC.fullmatch(topic) or topic in (".", ".."):
            raise SettingError(name, f"{topic!r} is no topic name: 1 to 200 of a-z, A-Z, 0-9, . _ and -")
        if topic in used:
            raise SettingError(name, f"{topic} is {used[topic]} too")
        used[topic] = name
