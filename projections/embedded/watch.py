"""What is known of the parts of an embedded field: the file, the fold, and the rows beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from projections.backoff import Backoff
from projections.embedded.log import away
from projections.embedded.rows import EmbeddedRows
from projections.gateway.answers import Health, PartHealth, Parts
from projections.gateway.positions import Positions
from projections.gateway.watch import LogEnds, Progress, StoreHealth
from streams.embedded import log, state
from streams.embedded.store import Store
from streams.settings import Settings

EVERY_S: Final = 1.0


class EmbeddedWatch(LogEnds):
    """``stores.Watching``. Fold and rows live and end with this process."""

    def __init__(self, settings: Settings, rows: EmbeddedRows) -> None:
        super().__init__()
        self._settings = settings
        self._rows = rows
        self._file = StoreHealth()
        self._fold, self._projector = Progress(), Progress()

    def health(self, ready: bool) -> Health:
        now_s = time.time()
        parts = Parts(
            sqlite=self._file.health(now_s), worker=self._health(self._fold), projector=self._health(self._projector)
        )
        return Health(True, ready, self._settings.generation, self.ends, parts)

    async def run(self, stop: asyncio.Event) -> None:
        """Looks until stopped."""
        backoff = Backoff("sqlite", stop)
        while not stop.is_set():
            try:
                with away():
                    await self._look(stop, backoff)
            except OSError as error:
                self._file.up, self._file.problem = False, type(error.__cause__ or error).__name__
                self.lost()
                await backoff.failed(error)

    async def _look(self, stop: asyncio.Event, backoff: Backoff) -> None:
        with contextlib.closing(await asyncio.to_thread(Store, self._settings)) as store:
            while not stop.is_set():
                asked_s = time.time()
                ends, folded = await asyncio.to_thread(_read, store)
                self.found(asked_s, ends)
                self._file.up, self._file.problem, self._file.answered_s = True, None, time.time()
                backoff.answered()
                for progress, positions in ((self._fold, folded), (self._projector, dict(self._rows.positions))):
                    progress.positions = positions
                    progress.look(asked_s, ends)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), EVERY_S)

    def _health(self, progress: Progress) -> PartHealth:
        fresh_s = round(max(0.0, time.time() - progress.since_s), 3) if progress.since_s else None
        return PartHealth(progress.positions is not None or None, progress.lag(self.ends), fresh_s)


def _read(store: Store) -> tuple[Positions, Positions]:
    ends = {number: end - 1 for number, end in log.ends(store).items()}
    return ends, state.positions(store)
