"""Redis: what it does when it is full, how full it is, its clock and version."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import redis

from deploy import positions
from deploy.doctor.findings import Verdict, bad, ok, warn
from streams.settings import Settings

CLOCK_S_MAX: Final = 5.0
VERSION_MIN: Final = 7
FULL_SHARE: Final = 0.9


class Hot(NamedTuple):
    """What Redis says. ``most_bytes`` 0: no limit; ``policy`` empty: it does not tell."""

    settings: Settings
    problem: str
    version: str = ""
    used_bytes: int = 0
    most_bytes: int = 0
    policy: str = ""
    ahead_s: float = 0.0


def ask(settings: Settings) -> Hot:
    """One look; never raises."""
    try:
        with positions.hot(settings) as client:
            info: Any = client.info()
            before_s = time.time()
            seconds, micros = client.time()
            after_s = time.time()
    except redis.RedisError as error:
        return Hot(settings, str(error))
    theirs_s = seconds + micros / 1e6
    off_s = theirs_s - after_s if theirs_s > after_s else min(0.0, theirs_s - before_s)
    return Hot(
        settings, "", str(info["redis_version"]), int(info["used_memory"]), int(info["maxmemory"]),
        str(info.get("maxmemory_policy", "")), off_s,
    )  # fmt: skip


def hot(it: Hot) -> Iterator[Verdict]:
    if it.problem:
        yield warn(
            f"{it.settings.redis_host}:{it.settings.redis_port}: {it.problem}",
            "`field up` starts it, or mend REDIS_HOST, REDIS_PORT, REDIS_PASSWORD; all else goes on without it",
        )
    elif int(it.version.split(".")[0]) < VERSION_MIN:
        yield warn(f"Redis {it.version}", f"take Redis {VERSION_MIN} or newer; older ones are not tested")
    else:
        yield ok(f"Redis {it.version}")


def memory(it: Hot) -> Iterator[Verdict]:
    """Only keys that expire may go: the stream, the pairs and the positions have no end of their own."""
    if it.problem:
        return
    if it.policy.startswith("allkeys"):
        yield bad(
            f"maxmemory-policy is {it.policy}: it may drop positions and pairs",
            "CONFIG SET maxmemory-policy volatile-ttl (or noeviction)",
        )
    elif not it.policy:
        yield warn("Redis does not say what its maxmemory-policy is", "allow INFO to this account (deploy/SECURITY.md)")
    elif it.most_bytes and it.used_bytes > FULL_SHARE * it.most_bytes:
        yield warn(
            f"{it.used_bytes >> 20} of {it.most_bytes >> 20} MiB are taken", "raise maxmemory, or lower FIELD_HOT_ROWS"
        )
    else:
        most = f" of {it.most_bytes >> 20}" if it.most_bytes else ""
        yield ok(f"{it.used_bytes >> 20}{most} MiB taken, {it.policy}")


def hot_clock(it: Hot) -> Iterator[Verdict]:
    if it.problem:
        return
    if abs(it.ahead_s) > CLOCK_S_MAX:
        yield warn(f"its clock is {it.ahead_s:+.1f} s off ours", "let NTP keep both")
    else:
        yield ok("as ours, within a few seconds")


CHECKS: Final[tuple[Callable[[Hot], Iterator[Verdict]], ...]] = (hot, memory, hot_clock)
