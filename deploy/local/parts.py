"""Kafka, PostgreSQL and Redis for one instance: bring, start, stop, clean, describe.

An instance is ``settings.home``: data and process files in ``parts/``, logs in ``logs/``. Two instances on one
machine share nothing but the cache of programs. The three are brought and started side by side.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from deploy.local import bring as fetch
from deploy.local import cache, compose, health, kafka, locked, postgres, process, redis
from deploy.local.cache import Echo
from deploy.locked.home import as_role
from deploy.locked.roles import ADMIN
from streams.errors import PartUnavailable, SettingError, SetupError
from streams.settings import Settings

NAMES = ("kafka", "postgres", "redis")
_LOOPBACK = ("127.0.0.1", "localhost")
_POLITE = {"postgres": signal.SIGINT}  # its "fast" shutdown; SIGTERM would wait for every client to leave
_READY_S = 90.0
_PASSING = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists', "BindException")
"""Worth another try: a killed PostgreSQL or its children are still leaving; Kafka's second port was just taken."""


def choose(settings: Settings) -> tuple[str, str]:
    """Who runs the parts, and why: (docker | local | none | embedded, a reason for people)."""
    hosts = {host for host, _ in _addresses(settings).values()}
    docker = compose.why_not() if settings.parts in ("auto", "docker") else ""
    local = fetch.why_not() if settings.parts == "auto" and docker else ""
    return fetch.choose(settings.parts, docker, hosts, local)


def bring(settings: Settings, echo: Echo = print) -> None:
    """Brings what is missing to this machine, without starting anything."""
    how, why = choose(settings)
    echo(f"parts: {how} ({why})")
    if how == "docker":
        compose.bring(settings, echo)
    elif how == "local":
        fetch.bring(echo)


def start(settings: Settings, *, durable: bool = True, echo: Echo = print) -> None:
    """Brings and starts all three and returns when they answer and the database has its extensions.

    What runs already is left alone. ``durable=False`` gives up safety against power cuts for speed (tests).
    Raises SetupError or PartUnavailable with the end of the log; what this call has started is stopped again.
    """
    how, why = choose(settings)
    echo(f"parts: {how} ({why})")
    begun = time.monotonic()

    def timed(line: str) -> None:
        echo(f"  [{time.monotonic() - begun:5.1f} s] {line}")

    with cache.lock(process.base(_home(settings)) / "lock", lambda: timed("waiting for another start of this home")):
        (process.base(_home(settings)) / "how").write_text(how + "\n")
        if how == "docker":
            compose.start(settings, timed)
            _prepare_database(settings)
        elif how == "local":
            _start_local(_admin(settings), durable, timed)
    for row in describe(settings) if how != "local" else []:
        if not row["up"]:
            raise PartUnavailable(row["part"], f"at port {row['port']}; it runs {row['runs']}")
    timed("parts: all up")


def stop(settings: Settings) -> None:
    """Stops what this instance started, and nothing else; the data stays."""
    home = _home(settings)
    with ThreadPoolExecutor(len(NAMES)) as pool:
        for future in [pool.submit(process.stop, home, part, _POLITE.get(part, signal.SIGTERM)) for part in NAMES]:
            future.result()
    if _how(settings) == "docker":
        compose.stop(settings)


def stop_part(settings: Settings, part: str, how: signal.Signals | None = None) -> bool:
    """Stops one local part (for tests of faults), at once with SIGKILL. False if it did not run."""
    return process.stop(_home(settings), part, how or _POLITE.get(part, signal.SIGTERM))


def start_part(settings: Settings, part: str, *, durable: bool = True, echo: Echo = print) -> None:
    """Starts one local part and returns when it answers."""
    _STARTERS[part](_admin(settings), durable, echo)


def clean(settings: Settings) -> None:
    """Stops the parts and deletes their data. The cache of programs stays."""
    docker = _how(settings) == "docker"
    stop(settings)
    if docker:
        compose.clean(settings)
    base = process.base(_home(settings))
    postgres.remove(base / "postgres")
    cache.remove(base)
    for part in NAMES:
        process.log_file(_home(settings), part).unlink(missing_ok=True)


def describe(settings: Settings) -> list[dict[str, Any]]:
    """One row a part: part, runs (how), pid, version, edition, host, port, up, problem. Empty text: not known."""
    home, how = _home(settings), _how(settings)
    rows = []
    for part, (host, port) in _addresses(settings).items():
        answer = _probe(settings, part)
        if part == "postgres" and answer.up:  # the database itself says more, but need not be there yet
            found = health.postgres(settings.database_url)
            answer = found if found.up else answer
        own = process.running(home, part)
        runs = "local process" if own else "docker" if how == "docker" else "elsewhere" if answer.up else "not running"
        version = answer.version
        if part == "kafka" and answer.up:  # the protocol does not tell it
            version = kafka.VERSION if own or how == "docker" else ""
        row = {"part": part, "runs": runs, "pid": own.pid if own else None, "version": version}
        row |= {"edition": answer.edition, "host": host, "port": port, "up": answer.up, "problem": answer.problem}
        rows.append(row)
    return rows


def _start_local(settings: Settings, durable: bool, echo: Echo) -> None:
    for name, (host, _) in _addresses(settings).items():
        if host not in _LOOPBACK:
            raise SettingError(_SETTING[name], f"{host} is not this machine; local parts listen on 127.0.0.1 only")
    home = _home(settings)
    before = {part for part in NAMES if process.running(home, part)}
    try:
        if before != set(NAMES):
            fetch.install(echo)
        with ThreadPoolExecutor(len(NAMES)) as pool:
            for future in [pool.submit(_STARTERS[part], settings, durable, echo) for part in NAMES]:
                future.result()
    except BaseException:
        for part in set(NAMES) - before:
            process.stop(home, part, signal.SIGKILL if not durable else _POLITE.get(part, signal.SIGTERM))
        raise


def _admin(settings: Settings) -> Settings:
    """Whoever starts locked parts sets their locks."""
    if settings.locked:
        locked.make(settings)
    return as_role(settings, ADMIN)


def _start_kafka(settings: Settings, durable: bool, echo: Echo) -> None:
    jars = kafka.bring(echo)

    def command() -> list[str]:
        folder, port = process.base(_home(settings)) / "kafka", _addresses(settings)["kafka"][1]
        return kafka.prepare(jars, folder, port, settings if settings.locked else None)

    _launch(settings, "kafka", command, echo)
    if settings.locked:
        locked.lock_kafka(settings)


def _start_redis(settings: Settings, durable: bool, echo: Echo) -> None:
    program = redis.bring(echo)
    folder = process.base(_home(settings)) / "redis"

    def command() -> list[str]:
        return redis.prepare(program, folder, settings, durable=durable)

    _launch(settings, "redis", command, echo)


def _start_postgres(settings: Settings, durable: bool, echo: Echo) -> None:
    url = urlsplit(settings.database_url)
    if not (url.username and url.password and url.path.strip("/")):
        raise SettingError("DATABASE_URL", "a local PostgreSQL needs user, password and database in it")
    server = postgres.bring(echo)
    where = postgres.place(server, process.base(_home(settings)) / "postgres")

    def command() -> list[str]:
        return postgres.prepare(where, settings, durable=durable)

    _launch(settings, "postgres", command, echo, where.describe())
    if settings.locked:
        locked.lock_postgres(settings)
    else:
        _prepare_database(settings)


_STARTERS = {"kafka": _start_kafka, "postgres": _start_postgres, "redis": _start_redis}
_SETTING = {"kafka": "KAFKA_BROKERS", "postgres": "DATABASE_URL", "redis": "REDIS_HOST"}
_PORT_SETTING = {**_SETTING, "redis": "REDIS_PORT"}


def _launch(settings: Settings, part: str, command: Callable[[], list[str]], echo: Echo, note: str = "") -> None:
    """Starts one server, unless ours runs already, and waits until it answers."""
    home = _home(settings)
    port = _addresses(settings)[part][1]
    end = time.monotonic() + _READY_S
    if process.running(home, part) is None:
        if _listens(port):
            raise SetupError(
                f"{part}: 127.0.0.1:{port} is taken by another program; stop that, or set {_PORT_SETTING[part]} to a "
                "free port, or FIELD_PARTS=none to use what listens there"
            )
        process.start(home, part, command())
    while not (answer := _probe(settings, part)).up:
        tail = process.log_end(home, part)
        if process.running(home, part) is None:
            if not any(text in tail for text in _PASSING) or time.monotonic() > end:
                raise SetupError(f"{part} ended while it was starting; its log ends with\n{tail}")
            time.sleep(0.5)
            process.start(home, part, command())
        elif "password authentication failed" in answer.problem:
            raise PartUnavailable(
                part,
                f"{answer.problem}; its data were made with another DATABASE_URL: go back to that, or `make clean`",
            )
        elif time.monotonic() > end:
            raise PartUnavailable(part, f"{answer.problem}; its log ends with\n{tail}")
        time.sleep(0.05)
    echo(f"{part}: up on 127.0.0.1:{port}" + (f" ({note})" if note else ""))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _probe(settings: Settings, part: str) -> health.Answer:
    if part == "kafka":
        if settings.locked and not settings.kafka_username:  # while the locks are set
            return health.kafka("127.0.0.1", locked.brokers_port(settings), tls=locked.admin_tls(settings))
        return health.kafka_at(settings)
    if part == "redis":
        return health.redis(settings)
    return health.postgres(_maintenance(settings))


def _prepare_database(settings: Settings) -> None:
    """The database of DATABASE_URL with its two extensions; nothing to do where they are there."""
    name = unquote(urlsplit(settings.database_url).path.lstrip("/"))
    with psycopg.connect(_maintenance(settings), autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        for extension in ("timescaledb", "postgis"):
            connection.execute(sql.SQL("create extension if not exists {}").format(sql.Identifier(extension)))


def _maintenance(settings: Settings) -> str:
    """The address of the database that is there before ours is."""
    return urlsplit(settings.database_url)._replace(path="/postgres").geturl()


def _addresses(settings: Settings) -> dict[str, tuple[str, int]]:
    broker, _, port = settings.kafka_brokers.split(",")[0].strip().rpartition(":")
    url = urlsplit(settings.database_url)
    return {
        "kafka": (broker, int(port)),
        "postgres": (url.hostname or "", url.port or 5432),
        "redis": (settings.redis_host, settings.redis_port),
    }


def _home(settings: Settings) -> Path:
    return Path(settings.home).resolve()


def _how(settings: Settings) -> str:
    """Who runs the parts of this home: as it was started, else as the settings would."""
    try:
        return (process.base(_home(settings)) / "how").read_text().strip()
    except OSError:
        return settings.parts
