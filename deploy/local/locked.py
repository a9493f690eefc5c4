"""Local parts in the locked set-up: certificates and accounts of this home, and the production files on this machine.

Everything lies in ``parts/locked`` of the home, closed to everybody else. ``FIELD_LOCKED=1`` holds for the life of it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local import process
from deploy.locked import accounts, certificates, kafka, postgres, redis
from deploy.locked.home import database, folder
from deploy.locked.roles import ADMIN, ROLES, redis_rules
from streams.errors import SettingError
from streams.settings import Settings

FILES: Final = Path(__file__).resolve().parent.parent / "locked"
"""The files that production mounts."""
MOUNTED: Final = "/etc/field"
HOSTS: Final = ("127.0.0.1", "localhost")


def refuse_open(settings: Settings) -> None:
    """Raises SettingError where this home has data that were made without locks."""
    there = (process.base(Path(settings.home)) / "kafka" / "data").exists()
    if there and not (folder(settings) / "accounts").is_dir():
        raise SettingError(
            "FIELD_LOCKED", f"is 1, but {settings.home} has data made without: take another home, or `field clean`"
        )


def make(settings: Settings) -> None:
    """Certificates and accounts, where they are missing. Raises SetupError."""
    here = folder(settings)
    here.mkdir(parents=True, exist_ok=True)
    here.chmod(0o700)
    certificates.make(here / "tls", HOSTS)
    accounts.make(here / "accounts", database(settings))
    accounts.write(here / "users.acl", redis.users(_passwords(settings, "redis", [*redis_rules(), ADMIN])))


def lock_kafka(settings: Settings) -> None:
    """Accounts and rights, once the broker is up."""
    names = [role.name for role in ROLES if "kafka" in role.servers]
    passwords = _passwords(settings, "kafka", names)
    asyncio.run(kafka.lock(settings, f"127.0.0.1:{brokers_port(settings)}", admin_tls(settings), passwords))


def lock_postgres(settings: Settings) -> None:
    """Accounts, database and extensions; ``settings`` are the admin's."""
    names = [role.name for role in ROLES if "postgres" in role.servers]
    postgres.lock(settings.database_url, _passwords(settings, "postgres", names))


def admin_tls(settings: Settings) -> ssl.SSLContext:
    """The admin's certificate at Kafka."""
    tls = folder(settings) / "tls"
    return kafka.certificate(tls / "ca.pem", tls / "admin.pem", tls / "admin.key")


def brokers_port(settings: Settings) -> int:
    """Where the broker listens for other brokers and the admin."""
    return int((folder(settings) / "brokers-port").read_text())


def keep_brokers_port(settings: Settings, port: int) -> None:
    """As it was chosen for this start."""
    (folder(settings) / "brokers-port").write_text(f"{port}\n")


def lines(name: str, where: str, changed: Mapping[str, str] | None = None) -> list[str]:
    """A production file without its remarks, for files that lie in ``where`` here; ``changed``: lines by beginning."""
    found = []
    for line in (FILES / name).read_text().splitlines():
        if line and not line.startswith("#"):
            new = next((text for begin, text in (changed or {}).items() if line.startswith(begin)), line)
            found.append(new.replace(MOUNTED, where))
    return found


def give(settings: Settings, target: Path, uid: int, gid: int) -> None:
    """PostgreSQL's certificate and key into a folder that its own user can read, and nobody else."""
    target.mkdir(mode=0o700, exist_ok=True)
    os.chown(target, uid, gid)
    for name in ("postgres.pem", "postgres.key"):
        accounts.write(target / name, (folder(settings) / "tls" / name).read_text())
        os.chown(target / name, uid, gid)


def _passwords(settings: Settings, server: str, names: list[str]) -> dict[str, str]:
    return {name: accounts.password(folder(settings) / "accounts", server, name) for name in names}
