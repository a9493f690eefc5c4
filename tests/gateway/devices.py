"""What the tests of devices have in common: a gateway over a topic of its own, events to send, the log to look at."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx

from deploy import backend
from streams import topics
from streams.entry import Entry
from streams.events import Event
from streams.settings import Settings
from tests.fixtures.gateway import Serving, serving

SYNC = "/api/consciousness/sync"


class Reached(NamedTuple):
    """A gateway and a client of it."""

    served: Serving
    client: httpx.AsyncClient
    settings: Settings


@contextlib.asynccontextmanager
async def reached(settings: Settings, *, topic: bool = True, **headers: str) -> AsyncIterator[Reached]:
    """A gateway with its events topic."""
    if topic and settings.parts != "embedded":
        await topics.create(settings, (settings.events_topic,))
    async with serving(settings) as served, httpx.AsyncClient(base_url=served.url, timeout=60) as client:
        client.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        yield Reached(served, client, settings)


def breath(device: str = "ana", **over: Any) -> dict[str, Any]:
    """An event as a device would send it now."""
    event: dict[str, Any] = {
        "id": str(uuid.uuid4()), "type": "BREATH", "device_id": device, "timestamp": int(time.time() * 1000),
        "intensity": 0.5, "data": {"phase": 1.0}, "v": 1,
    }  # fmt: skip
    return event | over


def touch(device: str, target: str, **over: Any) -> dict[str, Any]:
    return breath(device, type="TOUCH", data={"target_device": target}, **over)


async def log_of(settings: Settings) -> dict[int, list[Entry]]:
    """All that is on the log, by partition."""
    found: dict[int, list[Entry]] = {}
    async with backend.of(settings).log() as history:
        for partition, (start, end) in (await history.bounds()).items():
            found[partition] = [entry async for some in history.entries(partition, start, end) for entry in some]
    return found


def at(log: dict[int, list[Entry]], position: dict[str, int]) -> Event:
    """The event at a position of an answer."""
    entry = next(one for one in log[position["partition"]] if one.offset == position["offset"])
    return entry.events[list(entry.indexes).index(position["index"])]


def count_of(log: dict[int, list[Entry]]) -> int:
    return sum(len(entry.events) for entries in log.values() for entry in entries)
