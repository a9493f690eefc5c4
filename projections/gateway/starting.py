"""Where a listener wants to begin: now, after what it has (``last_id``), or at a time of the past."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

from projections.gateway.at_least import other_log
from projections.gateway.hub import Hub
from projections.gateway.past import Away, Busy, Gone, Past
from projections.gateway.playback import Pace, Start
from projections.gateway.problems import Problem
from projections.gateway.vectors import Log, Place, parse
from projections.gateway.written import time_of

AHEAD_S: Final = 5.0
"""A listener who comes from another gateway may be a moment ahead of this one."""
RETRY_S: Final = 2
SPEED_MAX: Final = 1_000_000.0


class Wanted(NamedTuple):
    """``last`` wins over ``from_ms``: it is how far the listener has come since. ``speed`` None: as fast as it goes."""

    last: Place | None = None
    from_ms: int | None = None
    speed: float | None = None

    @property
    def live(self) -> bool:
        """Nothing of the past."""
        return self.last is None and self.from_ms is None


class Opened(NamedTuple):
    """``past`` None: the hub's tail has all of it."""

    start: Start
    past: Past | None


def wanted(given: Mapping[str, Any], last_id: str | None) -> Wanted:
    """Out of query parameters or a JSON object; raises Problem (422)."""
    try:
        last = parse(last_id) if last_id else None
    except ValueError as error:
        raise Problem(422, "bad_position", str(error)) from None
    return Wanted(last, _time(given.get("from")), _speed(given.get("speed")))


async def open_start(hub: Hub, what: Wanted, stack: AsyncExitStack) -> Opened:
    """Positions of the start and, where it is needed, a reader that is there; ``stack`` ends it. Raises Problem."""
    try:
        if what.last is not None:
            return await _after(hub, what.last, what.speed, stack)
        assert what.from_ms is not None
        log = await _ready(hub)
        past = await stack.enter_async_context(hub.past())
        positions = await past.since(what.from_ms)
        await past.begin(positions, hub.positions or positions)
        return Opened(Start(log, positions, Pace(what.speed, what.from_ms), what.from_ms), past)
    except Gone as error:
        raise Problem(410, "too_far_back", str(error)) from None
    except Away as error:
        raise Problem(503, "kafka_away", f"the log does not answer: {error}", retry_after_s=RETRY_S) from None
    except Busy as error:
        raise Problem(503, "busy", str(error), retry_after_s=RETRY_S) from None


async def _after(hub: Hub, place: Place, speed: float | None, stack: AsyncExitStack) -> Opened:
    log, last = await _ready(hub, place.log), place.positions
    if strange := [number for number in last if number >= log.partitions]:
        raise Problem(422, "bad_position", f"the log has no partition {strange[0]}")
    if not await hub.reached(last, AHEAD_S):
        raise Problem(422, "bad_position", "the log does not reach that position")
    if hub.log != log or hub.positions is None:
        raise other_log(log.id)
    positions = {**hub.positions, **last}
    start = Start(log, positions, Pace(speed, None), resumed=True)
    if speed is None and hub.tail.missed(positions) is not None:
        return Opened(start, None)
    past = await stack.enter_async_context(hub.past())
    await past.begin(positions, hub.positions)
    return Opened(start, past)


async def _ready(hub: Hub, log: str = "") -> Log:
    """The log that is pushed; ``log``: the id of the one that is wanted. Raises Problem: 503, 410."""
    if await hub.reached({}, AHEAD_S):
        await hub.opt_outs.asked(AHEAD_S)
        if log and not await hub.follows(log, AHEAD_S):
            raise other_log(log)
        if hub.log is not None:
            return hub.log
    raise Problem(503, "kafka_away", "the log does not answer", retry_after_s=RETRY_S)


def _time(value: Any) -> int | None:
    """RFC 3339 or epoch milliseconds."""
    if value is None or value == "":
        return None
    text = str(value).strip()
    try:
        return time_of(text.replace(" ", "+") if "T" in text else text)  # a plus is a blank in a URL
    except ValueError as error:
        raise Problem(422, "bad_time", f"from: {text[:40]!r} {error}") from None


def _speed(value: Any) -> float | None:
    if value is None or value in ("", "max"):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not 0 < found <= SPEED_MAX:
        raise Problem(422, "bad_speed", f"speed: a number above 0, at most {SPEED_MAX:.0f}, or max")
    return found
