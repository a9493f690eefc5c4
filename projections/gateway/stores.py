"""What the gateway needs of a log and of stores, whoever keeps them: Kafka, Redis and PostgreSQL, or one process alone.

The one kind stands beside this module, the other in ``projections/embedded``; ``app.build`` and ``embedded.build`` put
a gateway together. History and archaeology say themselves what they need (``Aggregates``, ``Rows``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition

from projections.gateway.answers import Health, Snapshot, TierName
from projections.gateway.flight import Rest
from projections.gateway.positions import Positions
from projections.gateway.vectors import Log
from streams.fold.reading import PairReading, RoomReading
from streams.packing import Record
from streams.settings import Settings

StoredToggle = tuple[str, int, str, bool]
"""(device, timestamp, id of the event, out)"""
Toggles = Callable[[int], Awaitable[Sequence[StoredToggle]]]
"""The newest opt-outs and opt-ins, so many at most, oldest first; raises OSError or what psycopg raises."""


class Line(Protocol):
    """A line to the log: appends to one ``topic`` of so many ``partitions``."""

    topic: str
    partitions: int

    async def send(self, partition: int, records: Sequence[Record]) -> int:
        """All in one go; returns the first one's offset when they are stored for good. Raises what went wrong."""

    async def end(self) -> None:
        """Whatever is under way fails."""


Connect = Callable[[Settings, str], Coroutine[Any, Any, Line]]
"""A line to a topic; raises KafkaError, OSError or TimeoutError while the log is away."""


class Aim(Protocol):
    """``target.Target`` and its like, a part of the gateway: the log of what readers see. See there."""

    @property
    def settings(self) -> Settings: ...
    @property
    def log(self) -> Log: ...
    @property
    def topic(self) -> str: ...
    @property
    def generation(self) -> str | None: ...
    @property
    def since_ms(self) -> int: ...
    @property
    def moved(self) -> asyncio.Event: ...
    async def first(self) -> None: ...
    async def has(self, id: str) -> bool: ...
    async def run(self, stop: asyncio.Event) -> None: ...


class LogReader(Protocol):
    """As much of aiokafka's consumer as reading a log takes, without a group.

    Records have ``offset``, ``timestamp``, ``headers`` and ``value``. Raises KafkaError, OSError or TimeoutError while
    the log is away, OffsetOutOfRangeError where records that were asked for are gone.
    """

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...
    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...
    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Any]: ...
    def assign(self, places: Iterable[TopicPartition]) -> None: ...
    def seek(self, place: TopicPartition, offset: int) -> None: ...
    async def position(self, place: TopicPartition) -> int: ...
    async def getmany(
        self, *places: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[Any]]: ...


OpenLog = Callable[..., LogReader]
"""A reader that has not started: ``open_log("field-push")``; ``fetch_bytes``: of a partition at a time."""


class Look(NamedTuple):
    """One look: the generation that readers should see, its snapshot, and our own older copy of that."""

    generation: str | None
    current: Snapshot | None
    kept: Snapshot | None


class Hot(Protocol):
    """The newest snapshot, near at hand. ``tier``: what answers from it say."""

    tier: TierName
    rest: Rest

    async def look(self, known: str) -> Look | None:
        """None: it does not answer. ``known``: the generation named before."""

    async def keep(self, field: Snapshot) -> None:
        """Write through what came from below."""


class Cold(Protocol):
    """What is asked when nothing hotter answers, and for rooms that are over. None: it does not answer."""

    tier: TierName
    rest: Rest

    async def field(self) -> Snapshot | None: ...
    async def generation(self) -> str | None: ...
    async def positions(self, generation: str) -> Positions | None: ...
    async def room(self, generation: str, room: str, at: int) -> tuple[Positions, RoomReading | None] | None: ...
    async def rooms(
        self, generation: str, at: int, after: str, rows: int
    ) -> tuple[Positions, list[RoomReading]] | None: ...
    async def pairs(
        self, generation: str, at: int, after: tuple[str, str], rows: int, device: str | None
    ) -> tuple[Positions, list[PairReading]] | None: ...


class Hearer(Protocol):
    """Who wants to know of new snapshots of its ``generation``."""

    @property
    def generation(self) -> str: ...
    def hears(self, listening: bool) -> None:
        """Whether announcements come at all."""

    def missed(self) -> None:
        """There may have been some that were not heard."""

    def ring(self, positions: Positions) -> None:
        """There is one, and this is what it reflects."""


class News(Protocol):
    """Announces snapshots."""

    async def run(self, hearer: Hearer, stop: asyncio.Event) -> None: ...


class Watching(Protocol):
    """What is known of all parts."""

    def behind(self, positions: Mapping[int, int], bound_ms: int) -> bool: ...
    def lag(self, positions: Mapping[int, int]) -> Positions | None: ...
    def health(self, ready: bool) -> Health: ...
    async def run(self, stop: asyncio.Event) -> None: ...


class Stores(Protocol):
    """Connections that live as long as the gateway."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
