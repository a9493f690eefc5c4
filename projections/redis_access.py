"""How every client of the project comes to Redis: its address, TLS, and the account it has there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streams.errors import SettingError
from streams.settings import Settings


def redis_at(settings: Settings) -> dict[str, Any]:
    """The arguments that a client of redis-py needs, blocking or not; raises SettingError."""
    found: dict[str, Any] = {
        "host": settings.redis_host,
        "port": settings.redis_port,
        "username": settings.redis_username or None,
        "password": settings.redis_password or None,
    }
    if settings.redis_tls:
        found |= {"ssl": True, "ssl_check_hostname": True, "ssl_cert_reqs": "required"}
        if settings.redis_ca_file:
            if not Path(settings.redis_ca_file).is_file():
                raise SettingError("REDIS_CA_FILE", f"{settings.redis_ca_file}: no such file")
            found["ssl_ca_certs"] = settings.redis_ca_file
    return found
