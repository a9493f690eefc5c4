"""How every client of the project comes to the brokers: their address, TLS, and the account it has there.

An account belongs to a role (``deploy/locked/roles.py``). A gateway has two: the one that it writes with cannot read,
the one that it reads with cannot write.
"""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Any, Final

from streams.errors import SettingError
from streams.settings import Settings

MECHANISM: Final = "SCRAM-SHA-512"


def brokers(settings: Settings) -> dict[str, Any]:
    """The arguments that a consumer, a producer or an admin client of aiokafka needs; raises SettingError."""
    found: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_brokers,
        "security_protocol": settings.kafka_security.upper(),
        "ssl_context": tls(settings),
    }
    if settings.kafka_username:
        found |= {
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password,
        }
    return found


def reading(settings: Settings) -> Settings:
    """The settings of the part of a process that only reads, where it has an account of its own for that."""
    if not settings.kafka_reader_username:
        return settings
    return replace(
        settings, kafka_username=settings.kafka_reader_username, kafka_password=settings.kafka_reader_password
    )


def tls(settings: Settings) -> ssl.SSLContext | None:
    """None where the brokers are spoken to in the clear; raises SettingError.

    Who the broker is, is always asked: its certificate, and its name in that.
    """
    if not settings.kafka_security.endswith("ssl"):
        return None
    try:
        return ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    except OSError as error:
        raise SettingError("KAFKA_CA_FILE", f"{settings.kafka_ca_file}: {error.strerror or error}") from None
