"""Which ports a stack of this clone uses: asked for, those of last time, the usual ones, or free ones."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy import context, secret_files
from deploy.local import loopback, parts, process
from streams.errors import SetupError
from streams.settings import Settings, exports, read

SAY = Callable[[str], None]
ADDRESS: Final = {"kafka": "KAFKA_BROKERS", "postgres": "DATABASE_URL", "redis": "REDIS_PORT"}


def taken(port: int) -> bool:
    """Does somebody listen there?"""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def choose(environ: Mapping[str, str], say: SAY = print) -> dict[str, str]:
    """Settings for ``env.json``: what the environment says as it is, and a place for everything else.

    Of what was remembered only the places count: another start is with other settings, unless they are said again.
    A port that the environment names is never changed (a taken one is an error of whoever starts the part).
    """
    home = context.home_of(environ)
    before = {name: value for name, value in context.remembered(home).items() if name in context.PLACES}
    asked = context.asked(environ)
    chosen = secret_files.over(before, asked)
    settings = read(secret_files.resolved(chosen))
    how, why = parts.choose(settings)
    if how == "embedded":
        if settings.parts != how:
            _fall_back(home, why, say)
        chosen["FIELD_PARTS"] = how  # the commands that follow must know
    elif how != "none":
        for part, name in ADDRESS.items():
            if name not in asked and not _ours(home, part):
                _place(part, name, settings, chosen, say)
    stay = _of_monitoring(home, settings, chosen)
    for name in (name for name in context.OWN_PORTS if name not in stay):
        port = int(exports(settings, secrets=False)[name])
        if port == 0 or (name not in asked and taken(port)):
            chosen[name] = str(loopback.free())
            if port and name == "FIELD_GATEWAY_PORT":
                say(f"port {port} is taken, so the gateway uses {chosen[name]}; set {name} to choose another")
    return chosen


def _of_monitoring(home: Path, settings: Settings, chosen: dict[str, str]) -> set[str]:
    """The ports of the monitoring that stay as they are: it is not wanted, or runs on since its last start."""
    stay = set()
    for part, name in context.MONITORING_PORTS.items():
        before = context.remembered(home).get(name)
        if process.running(home, part) and before:
            chosen[name] = before
            stay.add(name)
        elif not settings.monitoring:
            stay.add(name)
        else:
            chosen[name] = exports(settings, secrets=False)[name]
    return stay


def _fall_back(home: Path, why: str, say: SAY) -> None:
    """Say that there are no parts; raises SetupError where this home has data of some, which would be missing."""
    how = process.base(home) / "how"
    before = how.read_text().strip() if how.exists() else ""
    if before in ("docker", "local"):
        raise SetupError(
            f"this home's data are of parts run by {before}, which cannot be started ({why}): mend that, or "
            "`field run --embedded` begins an empty field beside them"
        )
    say(f"no Kafka, PostgreSQL and Redis can be started here: {why}. So the field runs embedded, in one process")


def _ours(home: Path, part: str) -> bool:
    """Does a part of this home run already? Then it stays where it is."""
    if process.running(home, part) is not None:
        return True
    how = process.base(home) / "how"
    return how.exists() and how.read_text().strip() == "docker"


def _place(part: str, name: str, settings: Settings, chosen: dict[str, str], say: SAY) -> None:
    """Put a part where it was last time or usually is, or on a free port where that one is taken."""
    values: dict[str, Callable[[int], str]] = {
        "kafka": lambda port: f"127.0.0.1:{port}",
        "postgres": lambda port: _with_port(settings.database_url, port),
        "redis": str,
    }
    port = {
        "kafka": int(settings.kafka_brokers.rpartition(":")[2]),
        "postgres": urlsplit(settings.database_url).port or 5432,
        "redis": settings.redis_port,
    }[part]
    if taken(port):
        other = loopback.free()
        say(f"port {port} is taken, so {part} uses {other}; set {name} to choose another")
        port = other
    chosen[name] = values[part](port)


def _with_port(url: str, port: int) -> str:
    parts_of = urlsplit(url)
    who, _, host = parts_of.netloc.rpartition("@")
    return parts_of._replace(netloc=f"{who}@{host.partition(':')[0]}:{port}").geturl()
