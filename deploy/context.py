"""Settings of a command: the environment, and for what it does not say, the stack that runs in this clone.

``field up`` and ``field run`` write ``<home>/env.json`` with the addresses that they chose; every other command
from the same clone reads it, so that it finds the running stack without a single export. It also holds the settings
that this stack was started with; the next start takes over its places only (``PLACES``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from psycopg import conninfo

import deploy
from deploy.locked import home as locked_home
from deploy.secret_files import FILES, over, resolved
from streams.errors import SettingError
from streams.settings import Settings, exports, known, read

ENV_FILE: Final = "env.json"
BESIDE_FILE: Final = "generations.json"
SEEN_FILE: Final = "seen.json"
MAIN: Final = ""
"""Stands in it for the processes of the settings themselves, once the generation they began with was dropped."""
MONITORING_PORTS: Final = {"prometheus": "FIELD_PROMETHEUS_PORT", "alertmanager": "FIELD_ALERTMANAGER_PORT"}
OWN_PORTS: Final = (
    *(f"FIELD_{role}_METRICS_PORT" for role in ("WORKER", "PROJECTOR", "PUBLISHER", "GATEWAY")),
    "FIELD_GATEWAY_PORT",
    *MONITORING_PORTS.values(),
)
"""Where our own processes listen, and what looks at them."""

PLACES: Final = (
    *("FIELD_LOCKED", "KAFKA_BROKERS", "DATABASE_URL", "DATABASE_URL_FILE"),
    *("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE", *OWN_PORTS),
)
"""Where a stack is: all that one start passes on to the next."""


def clone() -> Path:
    """The folder that holds this clone, or the current one where the project is installed without its files."""
    root = Path(deploy.__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").exists() else Path.cwd()


def home_of(environ: Mapping[str, str]) -> Path:
    """Absolute folder of local parts; a relative FIELD_HOME counts from the clone."""
    path = Path(environ.get("FIELD_HOME") or Settings().home)
    return path if path.is_absolute() else clone() / path


def remembered(home: Path) -> dict[str, str]:
    """What the last ``field up`` or ``field run`` of this home chose; empty when there was none."""
    found = _read(home / ENV_FILE)
    names = known() | set(FILES)
    return {name: str(value) for name, value in found.items() if name in names}


def asked(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings that an environment names, without the home; a secret's file by its absolute path."""
    found = {name: value for name, value in environ.items() if name in known() and name != "FIELD_HOME"}
    return found | {name: str(Path(environ[name]).absolute()) for name in FILES if environ.get(name)}


def load(environ: Mapping[str, str] | None = None, *, daemon: bool = False, role: str = "operator") -> Settings:
    """The settings in force, with ``home`` and ``archive`` absolute; raises SettingError that names a bad one.

    A port 0 of ours in the environment means any: a command then looks where the running stack chose to be,
    a ``daemon`` takes a port of its own. FIELD_PARTS=auto means what the start has chosen. In a locked home they have
    the accounts of ``role``.
    """
    environ = os.environ if environ is None else environ
    home = home_of(environ)
    before = {**remembered(home), **beside(home).get(MAIN, {})}
    here = dict(environ)
    if not daemon:
        for name in OWN_PORTS:
            if here.get(name) == "0" and name in before:
                del here[name]
    if here.get("FIELD_PARTS") == "auto" and "FIELD_PARTS" in before:  # as it was chosen
        del here["FIELD_PARTS"]
    found = read(resolved(over(before, here)))
    found = replace(found, home=str(home), archive=str(clone() / found.archive) if found.archive else "")
    _check_database(found.database_url)
    return locked_home.as_role(found, role)


def _check_database(url: str) -> None:
    """What libpq does not understand would end a command wherever it first asks. Raises SettingError."""
    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its text may hold the password
        raise SettingError("DATABASE_URL", "has something in it that libpq does not understand") from None


def remember(home: Path, chosen: Mapping[str, str]) -> None:
    """Write ``env.json``; only its owner may read it, since the database address has the password."""
    _write(home / ENV_FILE, dict(chosen))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError("FIELD_HOME", f"{path} cannot be read ({error}); remove it") from None


def _write(target: Path, content: Mapping[str, object]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(content, indent=2) + "\n")
    fresh.replace(target)


def forget(home: Path) -> None:
    for name in (ENV_FILE, BESIDE_FILE, SEEN_FILE):
        (home / name).unlink(missing_ok=True)


def beside(home: Path) -> dict[str, dict[str, str]]:
    """The generations whose processes run here beside the one of the settings: what each has other settings for."""
    return {str(name): dict(over) for name, over in _read(home / BESIDE_FILE).items()}


def seen(home: Path) -> dict[str, str]:
    """The settings of the generation that readers saw when PostgreSQL last answered a command of this home."""
    return {str(name): str(value) for name, value in _read(home / SEEN_FILE).items()}


def keep_seen(home: Path, over: Mapping[str, str]) -> None:
    """Write ``seen.json`` where it says something else, and where there is a home."""
    if home.is_dir() and seen(home) != dict(over):
        _write(home / SEEN_FILE, dict(over))


def keep_beside(home: Path, generations: Mapping[str, Mapping[str, str]]) -> None:
    """Write ``generations.json``."""
    _write(home / BESIDE_FILE, {name: dict(over) for name, over in generations.items()})


def shell(settings: Settings, *, secrets: bool) -> dict[str, str]:
    """The settings in force by name; with ``secrets`` also what ``psql`` and ``redis-cli`` read by themselves."""
    out = exports(settings, secrets=secrets)
    if secrets:
        url = urlsplit(settings.database_url)
        query = dict(parse_qsl(url.query))
        found = {
            "PGHOST": url.hostname,
            "PGPORT": str(url.port or 5432),
            "PGUSER": unquote(url.username or ""),
            "PGPASSWORD": unquote(url.password or ""),
            "PGDATABASE": url.path.lstrip("/"),
            "PGSSLMODE": query.get("sslmode"),
            "PGSSLROOTCERT": query.get("sslrootcert"),
            "REDISCLI_AUTH": settings.redis_password,
        }
        out |= {name: value for name, value in found.items() if value}
    return out
