"""A stack of which every part may be lost: three brokers, PostgreSQL and Redis of its own, a proxy on every line.

    fleet, worker, projector, publisher  --(a link for each broker)-->  brokers 1, 2, 3
    projector --(link)--> PostgreSQL                                    publisher --(link)--> Redis

The processes are kept by the system's own supervisor. ``settings`` are those of the test itself: no proxy in between.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

from deploy import processes
from deploy.bringup import ROLES
from deploy.commands.waiting import reach
from deploy.local import loopback, parts, postgres, process
from deploy.supervisor import Supervisor, field_command, last_line
from projections.migrate import migrate
from streams import topics
from streams.settings import Settings, exports
from tests.acceptance.stack import environment
from tests.faults.brokers import Brokers
from tests.faults.fleet import Fleet
from tests.faults.proxy import Proxy

CLIENTS: Final = ("fleet", *ROLES)
DISK_BYTES: Final = 768 << 20
LIMIT_S: Final = 150.0
"""A bound on hanging, never a performance check."""


class Losable:
    """``with Losable(home, seed) as stack``; everything of it runs in threads and processes of its own."""

    def __init__(self, home: Path, seed: int, **over: Any) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.said: list[str] = []
        self.fleet: Fleet | None = None
        self.proxy = Proxy()
        self._home = home
        self._over = over
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="supervisor", daemon=True)

    def __enter__(self) -> Losable:
        self.proxy.__enter__()
        self._thread.start()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "_supervisor"):
            self.call(self._supervisor.stop())
        self.brokers.stop()
        parts.stop(self.settings)
        self.full_disk.unmount()
        parts.clean(self.settings)
        self.proxy.__exit__(None, None, None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the supervisor's loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    def environ(self, client: str) -> dict[str, str]:
        """What a process of this kind is started with: every address is that of a link of its own."""
        url = urlsplit(self.settings.database_url)
        database = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{self._database.port}")).geturl()
        own = replace(
            self.settings,
            kafka_brokers=self.brokers.bootstrap(client),
            database_url=database,
            redis_port=self._redis.port,
        )
        return exports(own, secrets=True)

    @contextmanager
    def devices(self, rate: float = 100.0, toggles: bool = True) -> Iterator[Fleet]:
        """A fleet that goes on while the body runs; all that it sent is acknowledged when it is over."""
        brokers = self.brokers.bootstrap("fleet")
        seed = self.chance.randrange(1 << 30)
        with Fleet(replace(self.settings, kafka_brokers=brokers), seed, rate, toggles) as fleet:
            self.fleet = fleet
            yield fleet

    def reached(self, timeout_s: float = LIMIT_S) -> float:
        """Seconds until every tier reflected the log as it was when asked."""
        began = time.monotonic()
        late = ["not asked"]
        while late and (left := began + timeout_s - time.monotonic()) > 0:
            late = asyncio.run(reach(self.settings, left))  # gives up at once while a leader is being elected
        assert not late, f"seed {self.seed}: {late}\n" + self.tell()
        return time.monotonic() - began

    def restarts(self) -> dict[str, int]:
        """How often the supervisor has started each role again."""
        return {process.role: process.restarts for process in processes.read_all(self._home) if process.role in ROLES}

    def stays_down(self) -> list[str]:
        """Roles that the supervisor has given up."""
        found = processes.read_all(self._home)
        return [f"{one.role}: {one.advice}" for one in found if one.role in ROLES and one.exit_code is not None]

    def log(self, role: str) -> str:
        return (self._home / "logs" / f"{role}.log").read_text()

    def tell(self) -> str:
        """What supervisor and processes said last, for a failure."""
        last = [f"{role}: {last_line(self._home / 'logs' / f'{role}.log')}" for role in ROLES]
        return "\n".join([*self.said[-10:], *last])

    def _start(self) -> None:
        self.brokers = Brokers(self._home, self.proxy, CLIENTS)
        self.settings = Settings(
            kafka_brokers=self.brokers.bootstrap(),
            database_url=f"postgresql://field:field@127.0.0.1:{loopback.free()}/field",
            redis_port=loopback.free(),
            home=str(self._home),
            parts="local",
            replication=3,
            partitions=3,
            shards=8,
            checkpoint_ms=500,
            session_timeout_s=6,
            stall_s=15,
            transaction_s=6,
            worker_metrics_port=0,
            projector_metrics_port=0,
            publisher_metrics_port=0,
        )
        self.settings = replace(self.settings, **self._over)
        self.full_disk = _mount(self._home)
        with ThreadPoolExecutor(3) as pool:
            starts = [pool.submit(parts.start_part, self.settings, name, durable=False) for name in parts.NAMES[1:]]
            starts.append(pool.submit(self.brokers.start))
            for start in starts:
                start.result()
        self._database = self.proxy.link("projector-postgres", urlsplit(self.settings.database_url).port or 0)
        self._redis = self.proxy.link("publisher-redis", self.settings.redis_port)
        asyncio.run(topics.create(self.settings))
        migrate(self.settings.database_url)
        self.call(self._supervise())

    async def _supervise(self) -> None:
        commands = {role: ["env", *_assignments(self.environ(role)), *field_command(role)] for role in ROLES}
        environ = {**environment({}), "PYTHONUNBUFFERED": "1"}
        self._supervisor = Supervisor(self._home, commands, environ, self.said.append)
        await self._supervisor.start()


class FullDisk:
    """PostgreSQL's data on a small file system of their own, which can be filled to the last byte."""

    def __init__(self, folder: Path, possible: bool) -> None:
        self.folder = folder
        self.possible = possible

    def fill(self) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with (self.folder / "ballast").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(512))

    def empty(self) -> None:
        (self.folder / "ballast").unlink()

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], capture_output=True, check=False)


def _mount(home: Path) -> FullDisk:
    """A tmpfs where the local PostgreSQL will keep its data; not possible where mounting is refused."""
    folder = process.base(home) / "postgres"
    folder.mkdir(parents=True)
    server = postgres.find()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if server is None or subprocess.run(command, capture_output=True, check=False).returncode:
        return FullDisk(folder, False)
    return FullDisk(folder, postgres.place(server, folder).data == folder)


def _assignments(environ: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environ.items() if name not in os.environ or name != "PATH"]
