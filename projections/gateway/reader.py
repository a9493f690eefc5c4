"""The field through its tiers: memory, Redis, the database; each may be away, and the answer says which it is from.

Memory answers while it is young and no newer snapshot was announced, so that many readers cause one load for each
snapshot. Then Redis is asked (the publisher's snapshot, or the gateways' own copy while that is young), then the
database. What is older answers, and says so, only while nothing better does. What was loaded is written through.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from projections.gateway.answers import Reflects, Snapshot, TierName
from projections.gateway.cold_tier import positions_of
from projections.gateway.flight import Flight
from projections.gateway.performance import Performance
from projections.gateway.positions import Positions, never_behind, reached, told
from projections.gateway.problems import Problem
from projections.gateway.stores import Aim, Cold, Hot, News
from projections.views import now_ms
from streams.settings import Settings

log = logging.getLogger(__name__)

PATIENCE_S: Final = 0.5
"""How long a reader waits for a load when an older answer is at hand."""
POLL_S: Final = 0.25
"""How often stores are asked for positions that somebody waits for, where nobody announces them."""
SILENCE_S: Final = 3.0
WAITERS_MAX: Final = 1_000


class Held(NamedTuple):
    """A field that was loaded: from where, when, and when it was last found to be the newest (monotonic seconds)."""

    field: Snapshot
    tier: TierName
    loaded_s: float
    checked_s: float


class Away(Exception):
    """No tier has a field."""


class Reader:
    """A part of the gateway; ``run`` hears of new snapshots. It reads without that, too."""

    def __init__(
        self,
        settings: Settings,
        hot: Hot,
        cold: Cold,
        news: News,
        target: Aim,
        behind: Callable[[Positions, int], bool] = never_behind,
    ) -> None:
        self._settings = settings
        self._behind = behind
        self._announced_by = news
        self._target = target
        self.hot = hot
        self.cold = cold
        self.performance = Performance(cached=settings.gateway_memory_ms > 0)
        self.loads = 0
        self._generation: str | None = None
        self._flight = Flight(self._load)
        self._peek = Flight(lambda: self.cold.positions(self.generation))
        self._memory: Held | None = None
        self._announced = False
        self._bell = asyncio.Event()
        self._listening = False
        self._told: Positions = {}
        self._waiting = 0
        self._encoded: tuple[Snapshot, msgspec.Raw, bytes] | None = None

    @property
    def generation(self) -> str:
        """The one that readers see, as far as is known."""
        return self._generation or self._settings.generation

    async def read(self, at_least: Mapping[int, int] | None = None, part: str = "field") -> Held:
        """The field now; raises Problem: 503 when no tier has it, 504 when ``at_least`` does not come in time.

        ``part``: what of it has to reflect ``at_least``, see ``positions_of``.
        """
        held = await self._now()
        if at_least and not self._has(held.field, part, at_least):
            held = await self._wait(at_least, part)
        return held

    def reflects(self, held: Held, part: str = "field") -> Reflects:
        """What an answer from ``held`` says of itself."""
        field, now = held.field, now_ms()
        positions = positions_of(field, part)
        age_ms = max(0, now - field.computed_at)
        bound_ms = self._settings.gateway_stale_ms
        stale = age_ms > bound_ms or self._behind(positions, bound_ms)
        return Reflects(held.tier, positions, field.at, age_ms, field.generation, stale)

    def from_lists(self, reflects: Reflects, positions: Positions) -> Reflects:
        """The same for lists that were read from the database at ``positions``."""
        stale = reflects.stale or self._behind(positions, self._settings.gateway_stale_ms)
        return msgspec.structs.replace(reflects, tier=self.cold.tier, positions=positions, stale=stale)

    def encoded(self, held: Held) -> tuple[msgspec.Raw, bytes]:
        """The field as JSON, and what of it is content (its times are none); made once for each field."""
        field = held.field
        if self._encoded is None or self._encoded[0] is not field:
            content = msgspec.structs.replace(field, at=0, computed_at=0)
            self._encoded = field, msgspec.Raw(msgspec.json.encode(field)), msgspec.json.encode(content)
        return self._encoded[1:]

    async def run(self, stop: asyncio.Event) -> None:
        """Hears of snapshots until stopped."""
        try:
            await self._announced_by.run(self, stop)
        finally:
            self._flight.stop()
            self._peek.stop()

    def hears(self, listening: bool) -> None:
        """``stores.Hearer``."""
        self._listening = listening

    def missed(self) -> None:
        """``stores.Hearer``."""
        self._announced = True

    def ring(self, positions: Positions) -> None:
        """``stores.Hearer``."""
        self._listening = self._announced = True
        self._told = positions
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    async def _now(self) -> Held:
        memory = self._memory
        if memory is not None and self._young(memory):
            self.performance.read(True)
            return memory._replace(tier="memory")
        flight = self._flight.join()
        await asyncio.wait({flight}, timeout=None if self._usable(memory) is None else PATIENCE_S)
        if not flight.done() and (older := self._usable(self._memory)) is not None:
            self.performance.read(True)
            return older
        try:
            held = await asyncio.shield(flight)
        except Away:
            older = self._usable(self._memory)
            if older is None:
                raise Problem(503, "no_field", "no tier has the field now", retry_after_s=1) from None
            self.performance.read(True)
            return older
        self.performance.read(False)
        return held

    def _young(self, memory: Held) -> bool:
        return not self._announced and time.monotonic() - memory.checked_s < self._settings.gateway_memory_ms / 1000

    def _usable(self, memory: Held | None) -> Held | None:
        """An older one, for when there is nothing else; it lives as long as the copy in Redis would."""
        if memory is None or time.monotonic() - memory.loaded_s > self._settings.gateway_kept_s:
            return None
        return memory._replace(tier="memory")

    async def _load(self) -> Held:
        """From the tiers below memory; raises Away."""
        self._announced = False
        self.loads += 1
        hot = await self.hot.look(self.generation)
        kept = None
        if hot is not None:
            known = hot.generation or self._generation or await self.cold.generation()
            if known is not None and known != self.generation:
                self._follow(known)
                hot = await self.hot.look(known)
            self._generation = known or self._generation
        if hot is not None:
            if hot.current is not None:
                return self._hold(hot.current, self.hot.tier)
            kept = hot.kept
            if kept is not None and now_ms() - kept.computed_at < self._settings.gateway_memory_ms:
                return self._hold(kept, self.hot.tier)
        field = await self.cold.field()
        if field is not None:
            self._follow(field.generation)
            if kept is None or kept.generation != field.generation or kept.computed_at <= field.computed_at:
                await self.hot.keep(field)
                return self._hold(field, self.cold.tier)
        if kept is not None:
            return self._hold(kept, self.hot.tier)
        raise Away

    def _hold(self, field: Snapshot, tier: TierName) -> Held:
        """Keeps it in memory, unless that has a newer one: of what remains when stores go away the newest answers."""
        now_s = time.monotonic()
        held, memory = Held(field, tier, now_s, now_s), self._usable(self._memory)
        if (
            memory is not None
            and memory.field.generation == field.generation
            and memory.field.computed_at > field.computed_at
            and not reached(field.positions, memory.field.positions)
        ):
            held = memory._replace(checked_s=now_s)
        self._memory = held
        return held

    def _follow(self, generation: str) -> None:
        if generation != self._generation:
            log.info("reading generation %s", generation)
        self._generation = generation

    def _has(self, field: Snapshot, part: str, at_least: Mapping[int, int]) -> bool:
        """Offsets are of the log of what readers see: those of a field from before a switch may be another log's."""
        return self._target.generation in (None, field.generation) and reached(positions_of(field, part), at_least)

    async def _wait(self, at_least: Mapping[int, int], part: str) -> Held:
        if self._waiting >= WAITERS_MAX:
            raise Problem(503, "busy", f"{WAITERS_MAX} readers wait already", retry_after_s=1)
        self._waiting += 1
        held: Held | None = None
        try:
            async with asyncio.timeout(self._settings.gateway_wait_ms / 1000):
                while held is None or not self._has(held.field, part, at_least):
                    await self._news(at_least)
                    with contextlib.suppress(Away):
                        held = await asyncio.shield(self._flight.join())
        except TimeoutError:
            at = {} if self._memory is None else positions_of(self._memory.field, part)
            raise Problem(
                504, "not_yet", f"{told(at_least)} is not reflected yet; so far {told(at) or 'nothing'}",
                retry_after_s=1, positions={str(partition): at[partition] for partition in sorted(at)},
            ) from None  # fmt: skip
        finally:
            self._waiting -= 1
        self.performance.read(False)
        return held

    async def _news(self, at_least: Mapping[int, int]) -> None:
        """Until a load may bring ``at_least``: it was announced, or some time has passed without announcements."""
        while True:
            bell = self._bell
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), SILENCE_S if self._listening else POLL_S)
            if bell.is_set():
                come = reached(self._told, at_least) or self._target.generation not in (None, self.generation)
            else:  # a query for positions only, while Redis is away
                found = await asyncio.shield(self._peek.join()) if self.hot.rest.resting else None
                come = found is None or reached(found, at_least)
            if come:
                return
