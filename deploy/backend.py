"""Who keeps log and state: Kafka with what follows it, or one embedded file. Commands ask ``of`` and nothing else.

So a command is written once; what differs stands in ``Parts`` here and in ``deploy.embedded.backend``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from deploy import bringup, observe, positions
from deploy.observe import Status
from deploy.positions import Positions
from streams.archive.history import open_history
from streams.changelog import ChangelogFollower, Picture
from streams.embedded.store import file_of
from streams.events import Event
from streams.history import History, KafkaHistory
from streams.packing import Wire
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.simulate import Fleet

Reader = Callable[[float], Awaitable[dict[str, Positions]]]
"""Asks one part for positions, for so many seconds at most."""
EXPECTED: Final = (positions.RAW, positions.STATE, positions.STATES)
"""Projections that must have positions in the database; one that has none yet is wholly behind."""


class Publisher(Protocol):
    """``publish.LogPublisher`` and its like; ``store`` says where acknowledged events are."""

    acknowledged: int
    invalid: int

    @property
    def store(self) -> str: ...
    async def publish(self, event: Event) -> None: ...
    async def publish_line(self, line: bytes) -> None: ...
    async def push(self) -> None: ...
    async def flush(self) -> int: ...


class Watch(Protocol):
    """``positions.LogWatch`` and its like: the log's ends, and what was folded of it and kept."""

    async def __aenter__(self) -> Any: ...
    async def stop(self) -> None: ...
    async def ends(self) -> Positions: ...
    async def worker(self) -> Positions: ...


class Observer(Protocol):
    """Looks again and again."""

    async def look(self) -> Status: ...
    async def stop(self) -> None: ...


class Keeper(Protocol):
    """Keeps what folds alive; ``stop`` raises what has ended it before."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def revive(self) -> None: ...


class Backend(Protocol):
    """``log_name`` for people; ``roles``: metrics endpoints that answer when it is up, and the log files of each."""

    log_name: str
    roles: Mapping[str, str]

    def prepare(self, say: Callable[[str], None]) -> None:
        """Everything that must be there before the keeper starts."""

    def stop(self) -> None:
        """After the keeper."""

    def page(self) -> str:
        """Where to look at it with a browser; empty where there is no gateway."""

    def keeper(self, fleet: Fleet | None, say: Callable[[str], None], ended: Callable[[], None]) -> Keeper: ...
    def publisher(self, wire: Wire) -> AbstractAsyncContextManager[Publisher]: ...
    def watch(self) -> Watch: ...
    def projections(self) -> dict[str, Reader]: ...
    def observer(self) -> Observer: ...
    def log(self) -> AbstractAsyncContextManager[History]: ...
    def history(self) -> AbstractAsyncContextManager[History]: ...
    async def kept(self) -> Picture:
        """The folded state that was kept, each partition at its position; raises PartUnavailable."""


class Supervised:
    """The processes of all generations, and the simulated fleet (from now on) where there is one."""

    def __init__(self, settings: Settings, fleet: Fleet | None, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._fleet: list[str] = []
        if fleet is not None:
            self._fleet = ["--devices", str(fleet.devices), "--rate", str(fleet.rate), "--seed", str(fleet.seed)]
        self._supervisor = bringup.supervisor(settings, self._fleet, say)

    async def start(self) -> None:
        await self._supervisor.start()

    async def stop(self) -> None:
        await self._supervisor.stop()

    async def revive(self) -> None:
        """Start what stays down; end and start what the generations beside have become meanwhile."""
        await self._supervisor.have(*bringup.roles(self._settings, self._fleet))


class Parts:
    """Kafka, PostgreSQL and Redis."""

    log_name = "Kafka"
    roles: Mapping[str, str] = {role: role for role in (*bringup.ROLES, bringup.GATEWAY)}

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self, say: Callable[[str], None]) -> None:
        if file_of(self._settings).exists():
            say("this home has an embedded log too: FIELD_PARTS=embedded goes on with it, `field archive` moves it")
        bringup.prepare(self._settings, say)

    def stop(self) -> None:
        bringup.stop(self._settings)

    def page(self) -> str:
        return f"http://{self._settings.gateway_host}:{self._settings.gateway_port}/"

    def keeper(self, fleet: Fleet | None, say: Callable[[str], None], ended: Callable[[], None]) -> Keeper:
        return Supervised(self._settings, fleet, say)

    def publisher(self, wire: Wire) -> AbstractAsyncContextManager[Publisher]:
        return LogPublisher(self._settings, wire)

    def watch(self) -> Watch:
        return positions.LogWatch(self._settings)

    def projections(self) -> dict[str, Reader]:
        return {
            "PostgreSQL": lambda timeout_s: asyncio.to_thread(_database, self._settings, timeout_s),
            "Redis": lambda timeout_s: asyncio.to_thread(_redis, self._settings, timeout_s),
        }

    def observer(self) -> Observer:
        return observe.Observer(self._settings)

    def log(self) -> AbstractAsyncContextManager[History]:
        return KafkaHistory(self._settings)

    def history(self) -> AbstractAsyncContextManager[History]:
        return open_history(self._settings)

    async def kept(self) -> Picture:
        async with ChangelogFollower(self._settings) as follower:
            return await follower.consistent()


def of(settings: Settings) -> Backend:
    """The one that FIELD_PARTS says."""
    if settings.parts != "embedded":
        return Parts(settings)
    from deploy.embedded.backend import Embedded  # a quarter second: gateway and page, which no other command needs

    return Embedded(settings)


async def look(settings: Settings) -> Status:
    """One look at everything."""
    observer = of(settings).observer()
    try:
        return await observer.look()
    finally:
        await observer.stop()


def _database(settings: Settings, timeout_s: float) -> dict[str, Positions]:
    found = positions.of_database(settings, timeout_s)
    return {name: found.get(name, {}) for name in (*EXPECTED, *found)}


def _redis(settings: Settings, timeout_s: float) -> dict[str, Positions]:
    return {positions.REDIS: positions.of_redis(settings, timeout_s)}
