"""Does a part answer? One short probe each, with what it says about itself."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

import psycopg
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from projections.redis_access import redis_at
from streams import access
from streams.settings import Settings


class Answer(NamedTuple):
    """What a probe found. ``version`` and ``edition`` stay empty where the part does not say."""

    up: bool
    problem: str = ""
    version: str = ""
    edition: str = ""


def kafka_at(settings: Settings, timeout_s: float = 5.0) -> Answer:
    """``kafka`` as whoever the settings are, over TLS where they say so."""
    host, _, port = settings.kafka_brokers.split(",")[0].strip().rpartition(":")
    if settings.kafka_security == "plaintext":
        return kafka(host, int(port))

    async def ask() -> Answer:
        client = AIOKafkaClient(**access.brokers(settings), client_id="probe")
        try:
            async with asyncio.timeout(timeout_s):
                await client.bootstrap()
            return Answer(True) if client.cluster.brokers() else Answer(False, "no broker has registered yet")
        except (KafkaError, OSError, TimeoutError) as error:
            return Answer(False, str(error) or "no answer in time")
        finally:
            await client.close()

    with ThreadPoolExecutor(1) as own:  # the caller may be inside a loop
        return own.submit(asyncio.run, ask()).result()


def kafka(host: str, port: int, timeout_s: float = 2.0, tls: ssl.SSLContext | None = None) -> Answer:
    """Up once the cluster's metadata name a broker: before that, no topic can be made."""
    # Metadata, version 4, no topics, not to make any; the client is called "probe"
    body = struct.pack(">hhih5s", 3, 4, 1, 5, b"probe") + struct.pack(">ib", 0, 0)
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as line,
            tls.wrap_socket(line, server_hostname=host) if tls else nullcontext(line) as wire,
        ):
            wire.sendall(struct.pack(">i", len(body)) + body)
            size = struct.unpack(">i", _exactly(wire, 4))[0]
            answer = _exactly(wire, min(size, 64))
    except OSError as error:
        return Answer(False, str(error))
    # correlation id, throttle time, number of brokers
    brokers = struct.unpack(">iii", answer[:12])[2] if len(answer) >= 12 else 0
    return Answer(True) if brokers > 0 else Answer(False, "no broker has registered yet")


def postgres(url: str, timeout_s: float = 2.0) -> Answer:
    """Up once it accepts the user of DATABASE_URL; the edition of TimescaleDB if that is installed there."""
    sql = """
        select current_setting('server_version'), current_setting('timescaledb.license', true),
               (select string_agg(extname || ' ' || extversion, ', ' order by extname desc) from pg_extension
                where extname in ('timescaledb', 'postgis'))
    """
    try:
        with psycopg.connect(url, connect_timeout=max(2, round(timeout_s)), autocommit=True) as connection:
            row = connection.execute(sql).fetchone()
    except psycopg.Error as error:
        return Answer(False, str(error).strip())
    assert row is not None
    editions = {"apache": "apache", "timescale": "community"}
    version = row[0].split()[0] + (f", {row[2]}" if row[2] else "")
    return Answer(True, version=version, edition=editions.get(row[1] or "", ""))


def redis(settings: Settings, timeout_s: float = 2.0) -> Answer:
    """Up once Redis answers ``INFO server``: not while it loads, nor with another password."""
    client = Redis(
        **redis_at(settings),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),  # whoever waits asks again by himself
    )
    try:
        return Answer(True, version=str(client.info("server")["redis_version"]))
    except RedisError as error:
        return Answer(False, str(error))
    finally:
        client.close()


def _exactly(wire: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = wire.recv(size - len(received))
        if not part:
            raise ConnectionResetError("closed by the other side")
        received += part
    return received
