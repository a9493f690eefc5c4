"""``deploy.backend.Backend`` over the embedded file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from deploy import bringup
from deploy.embedded.keeper import InProcess
from deploy.embedded.observe import EmbeddedObserver
from streams.changelog import Picture
from streams.embedded import log, state
from streams.embedded.history import SqliteHistory
from streams.embedded.publisher import SqlitePublisher
from streams.embedded.store import Store, file_of
from streams.packing import Wire
from streams.settings import Settings
from streams.simulate import Fleet


class Embedded:
    """One process folds, any may publish and read."""

    log_name = "the embedded log"
    roles: Mapping[str, str] = {"worker": bringup.SUPERVISOR}

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self, say: Callable[[str], None]) -> None:
        Store(self._settings, create=True).close()
        say(f"embedded: one process, no Kafka, PostgreSQL or Redis; log and state are in {file_of(self._settings)}")

    def stop(self) -> None:
        """Nothing else runs."""

    def page(self) -> str:
        return f"http://{self._settings.gateway_host}:{self._settings.gateway_port}/"

    def keeper(self, fleet: Fleet | None, say: Callable[[str], None], ended: Callable[[], None]) -> InProcess:
        return InProcess(self._settings, fleet, say, ended)

    def publisher(self, wire: Wire) -> SqlitePublisher:
        return SqlitePublisher(self._settings, wire)

    def watch(self) -> EmbeddedWatch:
        return EmbeddedWatch(self._settings)

    def projections(self) -> dict[str, Any]:
        return {}

    def observer(self) -> EmbeddedObserver:
        return EmbeddedObserver(self._settings)

    def log(self) -> SqliteHistory:
        return SqliteHistory(self._settings)

    def history(self) -> SqliteHistory:
        return SqliteHistory(self._settings)

    async def kept(self) -> Picture:
        def read() -> Picture:
            with Store(self._settings) as store:
                return state.picture(store)

        return await asyncio.to_thread(read)


class EmbeddedWatch:
    """As ``positions.LogWatch``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store | None = None

    async def __aenter__(self) -> EmbeddedWatch:
        self._store = await asyncio.to_thread(Store, self._settings)
        return self

    async def stop(self) -> None:
        if self._store is not None:
            self._store.close()

    async def ends(self) -> dict[int, int]:
        assert self._store is not None
        found = await asyncio.to_thread(log.bounds, self._store)
        return {number: end - 1 for number, (_, end) in found.items()}

    async def worker(self) -> dict[int, int]:
        assert self._store is not None
        return await asyncio.to_thread(state.positions, self._store)
