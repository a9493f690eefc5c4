"""Brings what local parts are made of to this machine. Needs nothing but the standard library.

``python3 -m deploy.local.bring`` does it while pip is still busy; ``parts.start`` waits for it by a lock.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from deploy.local import compose, kafka, postgres, redis, system
from deploy.local.cache import Echo
from streams.errors import FieldError, SetupError


class Programs(NamedTuple):
    """What each part is started from; called so that a part is waited for only when it is wanted."""

    kafka: Callable[[], Any]
    postgres: Callable[[], Any]
    redis: Callable[[], Any]


def choose(wanted: str, docker: str, hosts: set[str], local: str = "") -> tuple[str, str]:
    """Who runs the parts, and why: (docker | local | none | embedded, a reason for people).

    ``wanted`` is FIELD_PARTS, ``docker`` why Docker cannot be used and ``local`` why local parts cannot (empty: it
    can), ``hosts`` where the settings look for the parts.
    """
    if wanted != "auto":
        if wanted == "docker" and docker:
            raise SetupError(f"FIELD_PARTS=docker, but {docker}")
        return wanted, f"FIELD_PARTS={wanted}"
    elsewhere = sorted(hosts - {"127.0.0.1", "localhost", "::1"})
    if elsewhere:
        return "none", f"the settings look for parts on {', '.join(elsewhere)}"
    if docker and local:
        return "embedded", f"{docker}, and {local}"
    return ("local", docker) if docker else ("docker", "a Docker engine answers")


def why_not() -> str:
    """Why local parts cannot be run on this machine; empty if they can, or if it is worth trying."""
    if system.is_root() and system.has_apt() and system.is_debian():
        return ""
    try:
        missing = [*kafka.packages(), *redis.packages(), *([] if postgres.find() else ["PostgreSQL with TimescaleDB"])]
    except SetupError as error:
        return str(error)
    return f"this is not root on Debian, which could install {', '.join(missing)}" if missing else ""


def install(echo: Echo) -> None:
    """All that apt has to install for the three, in one go."""
    needed = [*kafka.packages(), *postgres.packages(echo), *redis.packages()]
    system.install(list(dict.fromkeys(needed)), echo)


def bring(echo: Echo) -> None:
    """Everything for all three parts, in parallel. Raises the first SetupError."""
    install(echo)
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(part.bring, echo) for part in (kafka, postgres, redis)]:
            future.result()


def main() -> int:
    """Brings in advance. A failure here is told by whoever needs it."""
    wanted = os.environ.get("FIELD_PARTS") or "auto"
    begun = time.monotonic()

    def echo(line: str) -> None:
        print(f"  [{time.monotonic() - begun:5.1f} s] {line}", flush=True)

    try:
        if choose(wanted, compose.why_not(), set(), why_not())[0] == "local":
            bring(echo)
            echo("parts: all that they are made of is here")
    except FieldError as error:
        echo(f"not brought in advance: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
