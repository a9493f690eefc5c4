"""The accounts of a locked home: which settings the processes of each role have there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from deploy.local import process
from deploy.locked import accounts
from deploy.locked.roles import ADMIN, ROLES
from streams.errors import SettingError
from streams.settings import Settings

READER: Final = "listener"
"""The second account of a gateway."""


def folder(settings: Settings) -> Path:
    """Of this home."""
    return process.base(Path(settings.home).resolve()) / "locked"


def as_role(settings: Settings, role: str) -> Settings:
    """The settings with the accounts of a role; as they are where nothing is locked, or nothing was made yet.

    Raises SettingError for a locked home that somebody wants open.
    """
    here = folder(settings)
    if not (here / "accounts").is_dir():
        return settings
    if not settings.locked:
        raise SettingError("FIELD_LOCKED", f"is 0, but {settings.home} is locked: set it to 1, or take another home")
    servers = next((one.servers for one in ROLES if one.name == role), ("postgres", "redis"))

    def secret(server: str, name: str = role) -> str:
        return accounts.password(here / "accounts", server, name) if server in servers else ""

    ca, address = str(here / "tls" / "ca.pem"), database(settings)
    if "postgres" in servers:
        address = accounts.url(address, f"field_{role}", secret("postgres"))
    return replace(
        settings,
        kafka_security="sasl_ssl" if "kafka" in servers else "ssl",
        kafka_username=role if "kafka" in servers else "",
        kafka_password=secret("kafka"),
        kafka_reader_username=READER if role == "gateway" else "",
        kafka_reader_password=secret("kafka", READER) if role == "gateway" else "",
        kafka_ca_file=ca,
        database_url=address,
        redis_username=role if "redis" in servers else "",
        redis_password=secret("redis"),
        redis_tls=1,
        redis_ca_file=ca,
    )


def restoring(settings: Settings) -> Settings:
    """The settings with the accounts of a restore: the restorer's, and the admin's in PostgreSQL.

    What a dump holds of TimescaleDB's catalog nobody but a superuser may write: it has jobs that run as anybody.
    """
    return replace(as_role(settings, "restorer"), database_url=as_role(settings, ADMIN).database_url)


def database(settings: Settings) -> str:
    """The address without an account: TLS, and the server must be who it says."""
    url = urlsplit(settings.database_url)
    where = f"{url.hostname}:{url.port or 5432}"
    ca = quote(str(folder(settings) / "tls" / "ca.pem"))
    return f"postgresql://{where}{url.path}?sslmode=verify-full&sslrootcert={ca}"
