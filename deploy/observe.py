"""What the status shows: parts, processes, positions, lag, freshness and the field, as one plain structure.

A part that does not answer is a line in the picture, never an error: this is what one looks at when things fail.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
import redis

from deploy import endpoints, positions, processes, scrape
from deploy.endpoints import Endpoint
from deploy.local import parts
from deploy.positions import LogWatch, Positions
from deploy.processes import Process
from projections.hot import Names
from streams.errors import FieldError, PartUnavailable
from streams.settings import Settings

MEANING: Final = {
    "apache": "aggregates are plain views over the raw rows: right at every moment, slower over long history; "
    "no columnstore, no retention policies",
    "community": "aggregates are native continuous aggregates, real-time, with refresh, columnstore and retention "
    "policies",
}


class Part(msgspec.Struct):
    """Kafka, PostgreSQL or Redis, or the file of an embedded field.

    ``runs`` says how, ``problem`` is empty while all is well with it.
    """

    part: str
    up: bool
    runs: str
    where: str
    version: str = ""
    problem: str = ""


class Edition(msgspec.Struct):
    """Edition of TimescaleDB, ``apache`` or ``community``, and what that means here."""

    name: str
    meaning: str
    native_aggregates: list[str] = []


class Role(msgspec.Struct):
    """A process of ours, from its process file. ``started`` epoch seconds."""

    role: str
    pid: int
    up: bool
    started: float
    restarts: int = 0
    exit_code: int | None = None
    advice: str = ""


class Projection(msgspec.Struct):
    """Something that follows the log: last offset that it reflects and records behind, both by partition.

    ``lag`` is None while the log's end or the position is not known. ``freshness_s`` is 0 while it reflects the
    end of the log as of this look. Else it is the time since its stored position last moved: in the partition, of
    those that are behind, where that is longest ago; or in any, while Kafka does not answer. None: not known.
    It is computed from what the stores and the log hold, so it needs none of the processes; their own gauge,
    ``projections/ends.py``, looks every two seconds and so knows better since when they are behind.
    """

    projection: str
    positions: dict[int, int]
    lag: dict[int, int] | None
    freshness_s: float | None = None


class Counts(msgspec.Struct):
    """Counters of this home's worker, else of those of FIELD_ENDPOINTS, since their start; None where none answers.

    Of an embedded field: of the state as it stands, whoever folded it.
    """

    events: int | None = None
    folded: int | None = None
    duplicate: int | None = None
    late: int | None = None
    copied: int | None = None
    rejected: dict[str, int] = {}


class Status(msgspec.Struct):
    """Everything that ``field status`` tells."""

    home: str
    generation: str
    fold_version: str
    parts: list[Part]
    edition: Edition | None
    processes: list[Role]
    end: dict[int, int]
    projections: list[Projection]
    counts: Counts
    field: dict[str, Any] | None
    endpoints: list[Endpoint] = []


Moved = dict[int, float]
"""When a position last moved, by partition (epoch seconds)."""


class Kafka(NamedTuple):
    """What the log says: a problem or none, its ends, and what the worker has kept."""

    problem: str
    ends: Positions
    worker: Positions
    moved: Moved


class Database(NamedTuple):
    """What PostgreSQL says."""

    problem: str
    edition: Edition | None
    positions: dict[str, Positions]
    moved: dict[str, Moved]


class Hot(NamedTuple):
    """What Redis says."""

    problem: str
    positions: Positions
    moved: Moved
    field: dict[str, Any] | None


class Observer:
    """Looks again and again, and keeps its connection to the log between two looks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log: LogWatch | None = None

    async def look(self) -> Status:
        """One look at everything, all parts asked at the same time; a lost log is tried anew at each."""
        return await _look(self._settings, self._kafka)

    async def stop(self) -> None:
        if self._log is not None:
            log, self._log = self._log, None
            await log.stop()

    async def _kafka(self) -> Kafka:
        try:
            if self._log is None:
                self._log = await LogWatch(self._settings).__aenter__()
            ends, worker = await self._log.ends(), await self._log.worker()
            return Kafka("", ends, worker, self._log.worker_moved_s())
        except FieldError as error:
            await self.stop()
            return Kafka(_problem(error), {}, {}, {})


async def look(settings: Settings) -> Status:
    """One look at everything."""
    observer = Observer(settings)
    try:
        return await observer.look()
    finally:
        await observer.stop()


async def _look(settings: Settings, ask_kafka: Callable[[], Awaitable[Kafka]]) -> Status:
    rows, kafka, database, hot, worker, elsewhere = await asyncio.gather(
        asyncio.to_thread(parts.describe, settings),
        ask_kafka(),
        asyncio.to_thread(_database, settings),
        asyncio.to_thread(_redis, settings),
        asyncio.to_thread(scrape.scrape, settings, positions.WORKER),
        asyncio.to_thread(endpoints.ask, settings),
    )
    problems = {"kafka": kafka.problem, "postgres": database.problem, "redis": hot.problem}
    reflected = {positions.WORKER: kafka.worker, **database.positions, positions.REDIS: hot.positions}
    moved = {positions.WORKER: kafka.moved, **database.moved, positions.REDIS: _of_hot(hot, kafka)}
    unknown = {name for name, problem in ((positions.WORKER, kafka.problem), (positions.REDIS, hot.problem)) if problem}
    ends = None if kafka.problem else kafka.ends
    return Status(
        home=settings.home,
        generation=settings.generation,
        fold_version=settings.rules.version,
        parts=[_part(row, problems[row["part"]]) for row in rows],
        edition=database.edition,
        processes=[role_of(process) for process in processes.read_all(Path(settings.home))],
        end=kafka.ends,
        projections=[
            follower(name, at, None if name in unknown else ends, moved.get(name, {}), time.time())
            for name, at in reflected.items()
        ],
        counts=_counts(worker or endpoints.summed(elsewhere, positions.WORKER)),
        field=hot.field,
        endpoints=[one.endpoint for one in elsewhere],
    )


def _part(row: dict[str, Any], problem: str) -> Part:
    where = f"{row['host']}:{row['port']}"
    return Part(row["part"], row["up"], row["runs"], where, row["version"], problem or row["problem"])


def _database(settings: Settings) -> Database:
    try:
        with psycopg.connect(settings.database_url, connect_timeout=int(positions.ASK_S)) as connection:
            edition, moved = _edition(connection), _moved(connection, settings)
    except psycopg.Error as error:
        return Database(str(error).strip().splitlines()[0], None, {}, {})
    try:
        return Database("", edition, positions.of_database(settings), moved)
    except PartUnavailable as error:
        return Database(_problem(error), edition, {}, {})


def _moved(connection: psycopg.Connection[Any], settings: Settings) -> dict[str, Moved]:
    """By projection; empty while there is no schema, or an older one."""
    if connection.execute("SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('consciousness_states_all')"
                          " AND attname = 'moved'").fetchone() is None:  # fmt: skip
        return {}
    rows = connection.execute(
        "SELECT projection, partition, extract(epoch FROM updated)::float8 FROM projection_positions"
        " WHERE generation IN (%(generation)s, %(log)s)"
        " UNION ALL SELECT %(states)s, node_id::integer, extract(epoch FROM moved)::float8"
        " FROM consciousness_states_all WHERE node_id <> 'field' AND generation = %(generation)s",
        {"generation": settings.generation, "log": settings.events_topic, "states": positions.STATES},
    ).fetchall()
    out: dict[str, Moved] = {}
    for projection, partition, moved_s in rows:
        out.setdefault(projection, {})[partition] = moved_s
    return out


def _edition(connection: psycopg.Connection[Any]) -> Edition | None:
    (found,) = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone() or (None,)
    if not found:
        return None
    name = "apache" if found == "apache" else "community"
    rows = connection.execute(
        "SELECT view_name::text FROM timescaledb_information.continuous_aggregates ORDER BY 1"
    ).fetchall()
    return Edition(name, MEANING[name], [view for (view,) in rows])


def _redis(settings: Settings) -> Hot:
    try:
        with positions.hot(settings) as client:
            names = Names.of(settings.generation)
            found: Any = client.get(names.current)
            told: Any = client.xrevrange(names.stream, count=1)  # one for each move of the positions
        field = None if found is None else _counted(msgspec.json.decode(found, type=dict[str, Any]))
        at = positions.of_redis(settings)
        moved = dict.fromkeys(at, int(told[0][0].split(b"-")[0]) / 1000) if told else {}
        return Hot("", at, moved, field)
    except redis.RedisError as error:
        return Hot(str(error), {}, {}, None)
    except PartUnavailable as error:
        return Hot(_problem(error), {}, {}, None)


def _of_hot(hot: Hot, kafka: Kafka) -> Moved:
    """Redis keeps one time for all partitions; one that is where the worker is has not moved since the worker's."""
    return {
        partition: min(moved_s, kafka.moved.get(partition, moved_s))
        if hot.positions[partition] == kafka.worker.get(partition)
        else moved_s
        for partition, moved_s in hot.moved.items()
    }


def _counted(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The snapshot with its long lists counted."""
    return {name: len(value) if isinstance(value, list) else value for name, value in snapshot.items()}


def role_of(process: Process) -> Role:
    """The row of a process file."""
    up = processes.alive(process)
    return Role(process.role, process.pid, up, process.started, process.restarts, process.exit_code, process.advice)


def follower(name: str, at: Positions, ends: Positions | None, moved: Moved, now_s: float) -> Projection:
    """Lag and freshness, as ``Projection`` says; ``ends`` None: not known."""
    if ends is None:
        return Projection(name, at, None, max(0.0, now_s - max(moved.values())) if moved else None)
    lag = {partition: max(0, end - at.get(partition, -1)) for partition, end in ends.items()}
    behind = [partition for partition, records in lag.items() if records]
    if not behind:
        return Projection(name, at, lag, 0.0)
    if not all(partition in moved for partition in behind):
        return Projection(name, at, lag, None)
    return Projection(name, at, lag, max(0.0, now_s - min(moved[partition] for partition in behind)))


def _counts(worker: scrape.Samples | None) -> Counts:
    if worker is None:
        return Counts()

    def count(name: str) -> int:
        return int(scrape.value(worker, f"field_{name}_total") or 0)

    rejected = scrape.labelled(worker, "field_events_rejected_total", "reason")
    return Counts(
        events=count("events"),
        folded=count("events_folded"),
        duplicate=count("events_duplicate"),
        late=count("events_late"),
        copied=count("events_copied"),
        rejected={reason: int(number) for reason, number in sorted(rejected.items()) if number},
    )


def _problem(error: FieldError) -> str:
    return getattr(error, "problem", None) or str(error)
