"""Certificates: the authorities whose files the settings name, and what the servers show; how long they last."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from deploy.doctor.findings import Verdict, bad, ok, warn
from streams.settings import Settings

DAYS_WARN: Final = 30
DAY_S: Final = 86_400.0
ASK_S: Final = 5.0
_SSL_REQUEST: Final = struct.pack("!II", 8, 80_877_103)
"""PostgreSQL speaks TLS only when it is asked to; it answers S."""
MEND: Final = 'deploy/SECURITY.md, "Change a secret", has the steps'


class Shown(NamedTuple):
    """The certificate of ``whose`` that ends first; ``ends_s`` in epoch seconds. ``problem``: why it is not known."""

    whose: str
    ends_s: float
    problem: str = ""


class Certificates(NamedTuple):
    """All that there are; none where nothing is locked."""

    shown: tuple[Shown, ...]
    now_s: float


def ask(settings: Settings) -> Certificates:
    """One look; never raises. A server that does not answer is another check's business."""
    try:
        database = {name: str(value) for name, value in conninfo_to_dict(settings.database_url).items()}
    except ProgrammingError:
        database = {}
    root = database.get("sslrootcert", "")
    found = [_authority(path) for path in sorted({settings.kafka_ca_file, settings.redis_ca_file, root} - {""})]
    if settings.kafka_security in ("ssl", "sasl_ssl"):
        for broker in settings.kafka_brokers.split(","):
            host, _, port = broker.strip().rpartition(":")
            found += _server("Kafka", host, port, settings.kafka_ca_file)
    if settings.redis_tls:
        found += _server("Redis", settings.redis_host, str(settings.redis_port), settings.redis_ca_file)
    if database.get("sslmode") in ("require", "verify-ca", "verify-full"):
        host, port = database.get("host", "localhost"), database.get("port", "5432")
        found += _server("PostgreSQL", host, port, root, asks=True)
    return Certificates(tuple(found), time.time())


def _authority(path: str) -> Shown:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except OSError as error:  # an SSLError is one, too
        return Shown(path, 0.0, error.strerror or str(error))
    ends = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs()]
    return Shown(path, min(ends)) if ends else Shown(path, 0.0, "no authority in it")


def _server(what: str, host: str, port: str, ca_file: str, *, asks: bool = False) -> list[Shown]:
    """One, or none where nobody answers; one that has ended is refused by the handshake itself."""
    whose = f"{what} at {host}:{port}"
    try:
        return [Shown(whose, _shown_s(host, int(port), ca_file, asks))]
    except ssl.SSLCertVerificationError as error:
        return [Shown(whose, 0.0, error.verify_message)]
    except (OSError, ValueError):
        pass
    return []


def _shown_s(host: str, port: int, ca_file: str, asks: bool) -> float:
    context = ssl.create_default_context(cafile=ca_file or None)
    with socket.create_connection((host, port), timeout=ASK_S) as line:
        if asks:
            line.sendall(_SSL_REQUEST)
            if line.recv(1) != b"S":
                raise OSError("no TLS")
        with context.wrap_socket(line, server_hostname=host) as secure:
            return ssl.cert_time_to_seconds(str((secure.getpeercert() or {})["notAfter"]))


def certificates(it: Certificates) -> Iterator[Verdict]:
    soonest: float | None = None
    for one in it.shown:
        days = (one.ends_s - it.now_s) / DAY_S
        if one.problem:
            yield bad(f"{one.whose}: {one.problem}", MEND)
        elif days <= 0:
            yield bad(f"{one.whose} has ended", MEND)
        elif days < DAYS_WARN:
            yield warn(f"{one.whose} ends in {days:.0f} days, on {_day(one.ends_s)}", MEND)
        else:
            soonest = min(one.ends_s, soonest or one.ends_s)
    if soonest is not None:
        yield ok(f"of {len(it.shown)} looked at the next one ends on {_day(soonest)}")


def _day(at_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at_s))


CHECKS: Final[tuple[Callable[[Certificates], Iterator[Verdict]], ...]] = (certificates,)
