"""Every answer of the reading routes, as it is encoded: their JSON Schemas are made from these classes.

Positions are offsets of the last record reflected, by partition; ``at`` is the time T of a reading. Times in ms.
What is not known is null.
"""

from __future__ import annotations

from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from projections.gateway.performance import PerformanceBlock
from streams.changes import FieldReading
from streams.fold.reading import PairReading, ParticleReading, RoomReading

TierName = Literal["memory", "redis", "database"]
T = TypeVar("T")


class Snapshot(FieldReading, frozen=True, kw_only=True):
    """The whole field, as ``field:current`` has it.

    One that was put together from the database may have lists at positions of their own (``lists``: those of rooms,
    pairs and particles), and counts of more particles than its lists hold (``counts``).
    """

    rooms_open: int
    positions: dict[int, int]
    computed_at: int
    generation: str
    fold_version: str = ""
    lists: dict[str, dict[int, int]] = msgspec.field(default_factory=dict)
    counts: dict[str, int] = msgspec.field(default_factory=dict)


class Brief(msgspec.Struct, frozen=True):
    """The field without its lists; ``rooms_open``, ``particles`` and ``quantum_fields`` are numbers of them."""

    at: int
    watermark: int
    global_resonance: float
    active_nodes: int
    collective_intelligence: float
    room64_active: bool
    entanglements_living: int
    entanglements_established: int
    rooms_open: int
    particles: int
    quantum_fields: int
    positions: dict[int, int]
    generation: str


class Reflects(msgspec.Struct, frozen=True):
    """Where an answer comes from, and what it reflects.

    ``age_ms``: since it was computed. ``stale``: that is long ago, or the log has had more for long.
    """

    tier: TierName
    positions: dict[int, int]
    at: int
    age_ms: int
    generation: str
    stale: bool


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """What every reading route answers."""

    data: T
    reflects: Reflects
    performance: PerformanceBlock


class Rooms(msgspec.Struct, frozen=True):
    """A page of the open rooms by name; ``total``: how many are open, ``next``: the cursor of what follows.

    ``truncated``: there are more rooms than a snapshot has, and the database, which has all, did not answer: a walk
    meets the fullest only.
    """

    rooms: list[RoomReading]
    total: int
    next: str | None
    truncated: bool


class Pairs(msgspec.Struct, frozen=True):
    """A page of the living entanglements by name; ``total``: how many live, of all devices.

    ``truncated``: as with rooms; a walk meets the strongest only.
    """

    pairs: list[PairReading]
    total: int
    next: str | None
    truncated: bool


class Particles(msgspec.Struct, frozen=True):
    """A page of the memory particles, newest first."""

    particles: list[ParticleReading]
    total: int
    next: str | None


class Centre(msgspec.Struct, frozen=True):
    """The middle of all positions of a bucket."""

    x: float
    y: float


class Point(msgspec.Struct, frozen=True):
    """A minute, an hour or a day that begins at ``bucket``; ``counts`` by type of event."""

    bucket: int
    events: int
    active_nodes: int
    resonance: float | None
    centre: Centre | None
    counts: dict[str, int]


class History(msgspec.Struct, frozen=True):
    """Buckets that had events, rising; ``next``: the cursor of what follows."""

    resolution: Literal["1min", "1h", "1d"]
    points: list[Point]
    next: str | None


class Latency(msgspec.Struct, frozen=True):
    """Of this gateway's answers since its start, from its buckets."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class GatewayFigures(msgspec.Struct, frozen=True):
    """What this gateway has answered since its start; ``failed``: with 5xx."""

    requests: int
    failed: int
    latency: Latency


class Figures(msgspec.Struct, frozen=True):
    """Events of the last minute and hour as collective history has them, and how far reading is behind the log."""

    events_per_s: float | None
    counts: dict[str, int] | None
    active_nodes: int
    lag: dict[int, int] | None
    gateway: GatewayFigures


class PartHealth(msgspec.Struct, frozen=True):
    """A part: stores, and processes as far as stores tell of them.

    ``lag``: records behind the log's end, by partition. ``freshness_s``: since it last answered, or was last seen to
    reflect the end of the log. ``problem``: what is wrong, null while nothing is.
    """

    up: bool | None = None
    lag: dict[int, int] | None = None
    freshness_s: float | None = None
    problem: str | None = None


class Parts(msgspec.Struct, frozen=True):
    """All that there are: ``sqlite`` where the field runs embedded, and then no Kafka, PostgreSQL, Redis, publisher."""

    worker: PartHealth
    projector: PartHealth
    kafka: PartHealth | msgspec.UnsetType = msgspec.UNSET
    postgres: PartHealth | msgspec.UnsetType = msgspec.UNSET
    redis: PartHealth | msgspec.UnsetType = msgspec.UNSET
    publisher: PartHealth | msgspec.UnsetType = msgspec.UNSET
    sqlite: PartHealth | msgspec.UnsetType = msgspec.UNSET


class Health(msgspec.Struct, frozen=True):
    """``alive``: this process works. ``ready``: it can say what the field is, from whatever tier."""

    alive: bool
    ready: bool
    generation: str
    end: dict[int, int] | None
    parts: Parts


class About(msgspec.Struct, frozen=True):
    """What is served here. ``tokens``: devices need one; ``pseudonyms``: ids are hashed before the log."""

    name: str
    version: str
    links: dict[str, str]
    tokens: bool
    pseudonyms: bool


ANSWERS: Final[dict[str, Any]] = {
    "/api/": About,
    "/api/health": Health,
    "/api/consciousness/state": Answer[Brief],
    "/api/consciousness/snapshot": Answer[Snapshot],
    "/api/consciousness/metrics": Answer[Figures],
    "/api/consciousness/history": Answer[History],
    "/api/consciousness/rooms": Answer[Rooms],
    "/api/consciousness/rooms/{room_id}": Answer[RoomReading],
    "/api/consciousness/entanglements": Answer[Pairs],
    "/api/consciousness/particles": Answer[Particles],
}
"""By path."""


def brief(field: Snapshot) -> Brief:
    """The snapshot without its lists."""
    plain: dict[str, Any] = {name: getattr(field, name) for name in Brief.__struct_fields__}
    for name in ("particles", "quantum_fields"):
        plain[name] = field.counts.get(name, len(getattr(field, name)))
    return Brief(**plain)
