"""The accounts of a locked set-up as files: one password a file, which nobody but its owner reads.

``kafka-ROLE``, ``postgres-ROLE`` and ``redis-ROLE`` hold a password each, ``database-url-ROLE`` the address of the
database with it. A process gets the files of its role only (KAFKA_PASSWORD_FILE, DATABASE_URL_FILE and so on).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from deploy.locked.roles import ADMIN, ROLES
from streams.errors import InputError


def all_accounts() -> Iterator[tuple[str, str]]:
    """(server, role) of every password; Kafka's admin is a certificate."""
    for role in ROLES:
        for server in role.servers:
            yield server, role.name
    yield "postgres", ADMIN
    yield "redis", ADMIN


def make(folder: Path, database: str) -> list[str]:
    """Write the files that are missing; returns their names. What is there stays: a password is for its account.

    ``database`` is the address without an account, ``postgresql://HOST:PORT/NAME?sslmode=...``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = []
    for server, role in all_accounts():
        path = folder / f"{server}-{role}"
        if not path.exists():
            write(path, secrets.token_urlsafe(32) + "\n")
            made.append(path.name)
        if server == "postgres":
            address = folder / f"database-url-{role}"
            text = url(database, f"field_{role}", password(folder, server, role)) + "\n"
            if not address.exists() or address.read_text() != text:
                write(address, text)
                made.append(address.name)
    return made


def password(folder: Path, server: str, role: str) -> str:
    """One of them; raises InputError."""
    path = folder / f"{server}-{role}"
    try:
        found = path.read_text().strip()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; `field lock make` makes it") from None
    if not found:
        raise InputError(f"{path} is empty")
    return found


def url(database: str, user: str, secret: str) -> str:
    """The address with an account."""
    parts = urlsplit(database)
    where = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(user)}:{quote(secret, safe='')}@{where}").geturl()


def write(path: Path, text: str) -> None:
    """A file that was never anybody else's to read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
