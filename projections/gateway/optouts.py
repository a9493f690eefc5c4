"""Who is out: what a device that opted out does is on the log, and is pushed to nobody.

OPT_* are seen in the stream as they come. Those from before the gateway started are read from ``opt_toggles`` when
PostgreSQL is there, and again every minute: the projector may have been behind the first time. Until then such a
device is not known to be out; so whoever wants the past waits for the first answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from projections.follow import Pool
from projections.gateway.stores import StoredToggle, Toggles
from projections.queries import query
from streams.events import OPT_OUT, OPTS, Event

log = logging.getLogger(__name__)

DEVICES_MAX: Final = 100_000
"""Those whose toggle came last are known; a gateway of a larger field wants more memory than this one takes."""
TOGGLES_MAX: Final = 16
"""Of one device, the newest: what it did before them is judged as if the oldest known were the first."""
EVERY_S: Final = 60.0
RETRY_S: Final = 2.0
STEP: Final = 2_000
"""Toggles taken in between two turns of the loop."""

Toggle = tuple[int, str, bool]
"""(timestamp, id, out)"""


class OptOuts:
    """By device its toggles in the order of (timestamp, id)."""

    def __init__(self, stored: Toggles, devices_max: int = DEVICES_MAX) -> None:
        self._stored = stored
        self._devices_max = devices_max
        self._toggles: dict[str, list[Toggle]] = {}
        self._asked = asyncio.Event()

    def __len__(self) -> int:
        return len(self._toggles)

    def note(self, device: str, toggle: Toggle) -> None:
        """A toggle, seen for the first time or again."""
        known = self._toggles.pop(device, [])
        if toggle not in known:
            insort(known, toggle)
        self._toggles[device] = known[-TOGGLES_MAX:]
        if len(self._toggles) > self._devices_max:
            self._toggles.pop(next(iter(self._toggles)))

    def seen(self, event: Event) -> None:
        """An OPT_* event of the stream."""
        self.note(event.device_id, (event.timestamp, event.id, event.type == OPT_OUT))

    def hides(self, event: Event) -> bool:
        """Whether the device that acts, or the one that is meant, is out now, or was at the event's own time.

        Who is out now is not shown in the past either: the field has forgotten its part. That it went is heard.
        """
        if not self._toggles or event.type in OPTS:
            return False
        return self._out(event.device_id, event) or (event.target is not None and self._out(event.target, event))

    def _out(self, device: str, event: Event) -> bool:
        toggles = self._toggles.get(device)
        if not toggles:
            return False
        if toggles[-1][2]:
            return True
        before = bisect_left(toggles, (event.timestamp, event.id, False))
        return before > 0 and toggles[before - 1][2]

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; PostgreSQL may come and go."""
        while not stop.is_set():
            wait_s = RETRY_S
            try:
                await self.load()
                wait_s = EVERY_S
            except (psycopg.Error, PoolTimeout, PoolClosed, OSError, TimeoutError) as error:
                log.debug("who is out is not read: %r", error)
            self._asked.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_s)

    async def asked(self, within_s: float) -> None:
        """Wait until PostgreSQL was asked for the first time, whether it answered or not; so long at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), within_s)

    async def load(self) -> None:
        """What is stored; raises what ``Toggles`` says."""
        for number, (device, at, id, out) in enumerate(await self._stored(self._devices_max)):
            self.note(device, (at, id, out))
            if number % STEP == 0:
                await asyncio.sleep(0)


def stored_in(pool: Pool) -> Toggles:
    """What PostgreSQL knows."""

    async def toggles(most: int) -> Sequence[StoredToggle]:
        async with pool.connection() as connection:
            cursor = await connection.execute(query("push_opt_toggles"), {"most": most})
            return await cursor.fetchall()

    return toggles
