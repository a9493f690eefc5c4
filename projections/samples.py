"""Readings into PostgreSQL: ``consciousness_states`` as it is now, ``resonance_samples`` as it was."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from projections.backoff import Backoff
from projections.ends import reached
from projections.follow import UNAVAILABLE, Pool
from projections.queries import query
from projections.views import Views, now_ms
from streams import metrics
from streams.changes import FieldReading
from streams.settings import Settings

FIELD_NODE: Final = "field"
NAME: Final = "states"

_encode = msgspec.json.Encoder().encode


class Sampler:
    """Every ``sample_ms`` one row for each partition and one for the field, where they say something new."""

    def __init__(self, settings: Settings, views: Views, pool: Pool) -> None:
        self._sample_s = settings.sample_ms / 1000
        self._generation = settings.generation
        self._transaction_s = settings.transaction_s
        self._views = views
        self._pool = pool
        self._stored: dict[str, tuple[Any, ...]] = {}
        self._reflected: dict[int, int] = {}

    def reflects(self, ends: Mapping[int, int], asked_s: float) -> bool:
        """``ends.Reflects``: what stands in the rows has all that."""
        return reached(self._reflected, ends)

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; while PostgreSQL does not answer only the newest readings are kept, and none is queued."""
        backoff = Backoff("postgres", stop)
        while not stop.is_set():
            began = time.monotonic()
            try:
                if self._views.ready:
                    await self.sample(now_ms())
                backoff.answered()
            except UNAVAILABLE as error:
                await backoff.failed(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, began + self._sample_s - time.monotonic()))

    async def sample(self, now: int) -> int:
        """Store the readings at ``now`` (ms); returns the number of samples. Raises psycopg.Error, TimeoutError."""
        started = time.perf_counter()
        self._views.refresh()
        positions = dict(self._views.positions)
        nodes = [(str(number), {number: positions[number]}, self._views.read_partition(number, now))
                 for number in sorted(positions)]  # fmt: skip
        nodes.append((FIELD_NODE, dict(positions), self._views.read(now)))
        news = {node: _novelty(position, reading) for node, position, reading in nodes}
        rows = [
            node_row(node, position, reading, now)
            for node, position, reading in nodes
            if self._stored.get(node) != news[node]
        ]
        if not rows:
            return 0
        parameters = {"generation": self._generation, "rows": _encode(rows).decode()}
        limit = asyncio.timeout(self._transaction_s)
        async with limit, self._pool.connection() as connection, connection.transaction():
            await connection.execute(query("states_upsert"), parameters)
            cursor = await connection.execute(query("samples_insert"), parameters)
        self._stored |= news
        self._reflected = positions
        metrics.PROJECTION_SECONDS.labels(NAME).observe(time.perf_counter() - started)
        metrics.PROJECTION_ROWS.labels(NAME).inc(cursor.rowcount)
        for partition, position in positions.items():
            metrics.PROJECTION_POSITION.labels(NAME, str(partition)).set(position)
        return cursor.rowcount


def node_row(node: str, positions: dict[int, int], reading: FieldReading, now: int) -> dict[str, Any]:
    """Row of ``consciousness_states`` and of ``resonance_samples`` (times in ms).

    A sample stands at the time when it was taken, and not at that of its reading: while one device's clock is ahead
    all readings are at that clock's time, and the history would stand still.
    """
    return {
        "node_id": node,
        "state": summary(reading),
        "resonance": reading.global_resonance,
        "active_nodes": reading.active_nodes,
        "position": {str(partition): position for partition, position in positions.items()},
        "watermark": reading.watermark if reading.watermark >= 0 else None,
        "timestamp": now,
    }


def summary(reading: FieldReading) -> dict[str, Any]:
    """The reading without its long lists: it is written every second."""
    return {
        "at": reading.at,
        "watermark": reading.watermark,
        "global_resonance": reading.global_resonance,
        "active_nodes": reading.active_nodes,
        "collective_intelligence": reading.collective_intelligence,
        "room64_active": reading.room64_active,
        "entanglements_living": reading.entanglements_living,
        "entanglements_established": reading.entanglements_established,
        "rooms_open": len(reading.rooms),
        "particles": len(reading.particles),
        "quantum_fields": len(reading.quantum_fields),
    }


def _novelty(positions: dict[int, int], reading: FieldReading) -> tuple[Any, ...]:
    return tuple(sorted(positions.items())), reading.global_resonance, reading.active_nodes
