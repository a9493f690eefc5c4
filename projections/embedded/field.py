"""The folded state of the embedded log as the gateway reads it: hot tier, cold tier and news of it in one.

Views are the publisher's own (``projections.views``), over the state that checkpoints keep instead of a changelog. So
what is read is as of the last checkpoint, and every answer says its positions.
"""

from __future__ import annotations

import asyncio
import contextlib

from msgspec.structs import asdict

from projections.embedded.log import away
from projections.gateway.answers import Snapshot, TierName
from projections.gateway.flight import Rest
from projections.gateway.positions import Positions
from projections.gateway.stores import Hearer, Look
from projections.hot import bounded, snapshot
from projections.views import Views, now_ms
from streams.embedded import state
from streams.embedded.store import Store
from streams.fold.reading import PairReading, RoomReading, read_room
from streams.settings import Settings


class StateFollower:
    """As ``changelog.ChangelogFollower``, as far as views need it."""

    def __init__(self, settings: Settings) -> None:
        self.values: dict[tuple[int, int], bytes] = {}
        self.positions: dict[int, int] = {}
        self._settings = settings
        self._store: Store | None = None
        self._read = False

    async def start(self) -> None:
        with away():
            self._store = await asyncio.to_thread(Store, self._settings)

    async def stop(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def caught_up(self) -> bool:
        return self._read

    async def poll(self, timeout_ms: int) -> set[tuple[int, int]]:
        """The shards that were kept since, after a wait when there are none."""
        assert self._store is not None
        with away():
            picture = await asyncio.to_thread(state.changed, self._store, dict(self.positions))
        moved = picture.positions != self.positions
        self.values.update(picture.values)
        self.positions = dict(picture.positions)
        if self._read and not moved:
            await asyncio.sleep(timeout_ms / 1000)
        self._read = True
        return set(picture.values)


def stored_views(settings: Settings) -> Views:
    """Views of what is kept."""
    return Views(settings, StateFollower(settings))


class EmbeddedField:
    """``stores.Hot``, ``stores.Cold`` and ``stores.News``."""

    tier: TierName = "memory"

    def __init__(self, settings: Settings) -> None:
        self.rest = Rest()
        self.views = stored_views(settings)
        self._settings = settings

    async def run(self, hearer: Hearer, stop: asyncio.Event) -> None:
        """Until stopped; announces as often as a publisher does, since values fade without events, too."""
        keeping = asyncio.create_task(self.views.keep(stop))
        try:
            while not stop.is_set():
                if self.views.ready:
                    self.views.refresh()
                    hearer.ring(dict(self.views.positions))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._settings.publish_ms / 1000)
        finally:
            await keeping

    async def look(self, known: str) -> Look:
        return Look(self._settings.generation, self._snapshot() if self.views.ready else None, None)

    async def keep(self, field: Snapshot) -> None:
        """There is nobody else to keep it for."""

    async def field(self) -> Snapshot | None:
        """Nothing is known that is not in the views."""
        return None

    async def generation(self) -> str:
        return self._settings.generation

    async def positions(self, generation: str) -> Positions:
        return dict(self.views.positions)

    async def room(self, generation: str, room: str, at: int) -> tuple[Positions, RoomReading | None] | None:
        """Of a room that is over the state has the latest session."""
        if not self.views.ready:
            return None
        return dict(self.views.positions), self._room(room, at)

    async def rooms(
        self, generation: str, at: int, after: str, rows: int
    ) -> tuple[Positions, list[RoomReading]] | None:
        """All are in the views."""
        if not self.views.ready:
            return None
        found = [room for room in self.views.read(at).rooms if room.room_id > after]
        return dict(self.views.positions), found[:rows]

    async def pairs(
        self, generation: str, at: int, after: tuple[str, str], rows: int, device: str | None
    ) -> tuple[Positions, list[PairReading]] | None:
        """All are in the views."""
        if not self.views.ready:
            return None
        found = [
            pair
            for pair in self.views.read(at).pairs
            if (pair.low, pair.high) > after and (device is None or device in (pair.low, pair.high))
        ]
        return dict(self.views.positions), found[:rows]

    def _room(self, name: str, at: int) -> RoomReading | None:
        found = (room for view in self.views.shards() for room in view.rooms if room.room_id == name)
        room = next(found, None)
        return None if room is None else read_room(room, at, self._settings.rules)

    def _snapshot(self) -> Snapshot:
        self.views.refresh()
        now, positions = now_ms(), dict(sorted(self.views.positions.items()))
        reading = self.views.read(now)
        shown = bounded(reading, self._settings.hot_rows)
        content = snapshot(reading, shown, positions, now, self._settings)
        return Snapshot(**{**asdict(shown), **content, "positions": positions})
