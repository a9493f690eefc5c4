"""What the status shows of an embedded field: the same structure, with one part, the file."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec

from deploy import positions, processes
from deploy.observe import Counts, Part, Status, follower, role_of
from streams.changes import ShardView, load_view, merge
from streams.embedded import log, state
from streams.embedded.store import Store, file_of
from streams.errors import FieldError
from streams.settings import Settings


class EmbeddedObserver:
    """Looks again and again; decodes only the shards that have changed since."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store | None = None
        self._views: dict[tuple[int, int], ShardView] = {}
        self._at: dict[int, int] = {}

    async def look(self) -> Status:
        return await asyncio.to_thread(self._look)

    async def stop(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _look(self) -> Status:
        settings = self._settings
        status = Status(
            home=settings.home,
            generation=settings.generation,
            fold_version=settings.rules.version,
            parts=[Part("sqlite", True, "embedded", str(file_of(settings)), sqlite3.sqlite_version)],
            edition=None,
            processes=[role_of(process) for process in processes.read_all(Path(settings.home))],
            end={},
            projections=[],
            counts=Counts(),
            field=None,
        )
        try:
            self._fill(status)
        except FieldError as error:
            status.parts[0].up = False
            status.parts[0].problem = getattr(error, "problem", None) or str(error)
        return status

    def _fill(self, status: Status) -> None:
        if self._store is None:
            self._store = Store(self._settings)
        store = self._store
        status.end = {number: end - 1 for number, (_, end) in log.bounds(store).items()}
        found = state.counts(store)
        status.counts = Counts(
            events=found.events.get("events", 0),
            folded=found.events.get("accepted", 0),
            duplicate=found.events.get("duplicate", 0),
            late=found.events.get("late", 0),
            copied=found.events.get("copied", 0),
            rejected=dict(found.rejected),
        )
        moved = state.moved_s(store)
        self._refresh(store)
        status.projections = [follower(positions.WORKER, dict(self._at), status.end, moved, time.time())]
        status.field = self._field()

    def _refresh(self, store: Store) -> None:
        at = state.positions(store)
        if any(at.get(number, -1) < before for number, before in self._at.items()):  # the state is folded anew
            self._views.clear()
            self._at = {}
        picture = state.changed(store, self._at)
        for place, value in picture.values.items():
            self._views[place] = load_view(value, self._settings.rules)
        self._at = picture.positions

    def _field(self) -> dict[str, Any]:
        views = list(self._views.values())
        at = max([time.time_ns() // 1_000_000, *(view.watermark for view in views)])
        reading = msgspec.structs.asdict(merge(views, at, self._settings.rules))
        return {name: len(value) if isinstance(value, list) else value for name, value in reading.items()}
