"""One run of our own processes, watched through their metrics, the broker and what they have kept."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from deploy.local import system
from streams import topics
from streams.settings import Settings, exports
from tests.benchmarks.bench import broker, peers
from tests.benchmarks.bench.figures import Run
from tests.benchmarks.bench.processes import POLL_S, Child, Daemons, Failed
from tests.benchmarks.bench.rows import Row
from tests.benchmarks.bench.setup import ROOT
from tests.benchmarks.bench.stage import Filled, Stage, own

FOLDED = "field_events_folded_total"
PROJECTED = ("field_projection_rows_total", 'projection="raw"')
DURABLE_S_MAX = 60.0
FIELD = (sys.executable, "-m", "deploy.cli")


def start(stage: Stage, settings: Settings, role: str, count: int, limit_s: float) -> Daemons:
    """So many processes of a role at the same time; returns when all have their metrics open. Raises Failed."""
    environment = exports(settings, secrets=True)
    children = [
        Child([*FIELD, role], environment, stage.folder / f"{settings.generation}-{number}.log", ROOT)
        for number in range(count)
    ]
    try:
        return Daemons(children, limit_s)
    except BaseException:
        end(children)
        raise


def end(children: Sequence[Child]) -> None:
    for child in children:
        child.end()


def worker(row: Row, stage: Stage, source: Filled, limit_s: float) -> Run:
    """All tables. Measured from when each process has folded some until no event is folded any more. Then it is told
    to end, as a bounded job of Flink ends, and all is durable when the offsets are committed.

    Raises Failed.
    """
    run_id = stage.run_id(row.name)
    settings = own(stage.settings, run_id, source.topic, stage.partitions)
    before = os.getloadavg()[0]
    asyncio.run(topics.create(settings))
    daemons = start(stage, settings, "worker", row.processes, limit_s)
    try:
        looks = folding(daemons, source.events)
        for child in daemons.children:
            child.ask()
        committed = asyncio.run(durable(stage, settings))
        count = in_state(settings)
        rows, size, other = asyncio.run(peers.written(stage.broker, run_id))
    finally:
        end(daemons.children)
        asyncio.run(peers.clear(stage.broker, run_id))
    last = looks[-1]
    first = next((look for look in looks if look.all and look is not last), looks[0])
    # What was folded before the first look is in neither time nor CPU. Of several processes one joins first, folds
    # alone, and gives away what it has not checkpointed: how they come together is no matter of speed.
    share = max(last.folded - first.folded, 1) / source.events
    wall_s = (last.at - first.at) / share
    return Run(
        events=source.events, wall_s=wall_s, cpu_s=(last.cpu_s - first.cpu_s) / share,
        count=count, committed_s=wall_s + committed - last.at, rss_mb=daemons.rss_mb(), load_average=before,
        changelog_rows=rows, changelog_bytes=size, other_bytes=other,
        details={"measured_share": share, "folded_again": last.folded - source.events},
    )  # fmt: skip


class Look(NamedTuple):
    """Monotonic seconds, events folded until then by all processes (after a rebalance some again), their CPU.

    ``all``: each of the processes has folded some.
    """

    at: float
    folded: int
    all: bool
    cpu_s: float


def folding(daemons: Daemons, events: int) -> list[Look]:
    """From the first event until so many are folded. Raises Failed."""
    looks: list[Look] = []
    while not looks or looks[-1].folded < events:
        each = daemons.each(FOLDED)
        if any(each):
            looks.append(Look(time.perf_counter(), sum(each), all(each), daemons.cpu_s()))
        time.sleep(POLL_S)
    return looks


async def durable(stage: Stage, settings: Settings) -> float:
    """When the group's offsets are at the end of the log, by ``perf_counter``. Raises Failed after DURABLE_S_MAX."""
    until = time.monotonic() + DURABLE_S_MAX
    topic, group = settings.events_topic, topics.app_id(settings)
    wanted = await broker.ends(stage.broker, topic, settings.partitions)
    async with broker.admin(stage.broker) as client:
        while (found := await broker.committed(client, group, topic)) != wanted:
            if time.monotonic() > until:
                raise Failed(f"it has committed {found}, and the log ends at {wanted}")
            await asyncio.sleep(POLL_S)
    return time.perf_counter()


def in_state(settings: Settings) -> int:
    """Events in the durable state: the counts of all devices, out of the changelog. Raises SetupError."""
    command = [*FIELD, "state", "resonance", "--json"]
    rows = json.loads(system.run(command, "reading the state", exports(settings, secrets=True), ROOT))["rows"]
    return sum(sum(row["counts"].values()) for row in rows)


def projector(row: Row, stage: Stage, source: Filled, limit_s: float) -> Run:
    """Raw rows into a new database, everything that a projector does beside included. Raises Failed."""
    run_id = stage.run_id(row.name)
    settings = own(with_database(stage.settings, run_id), run_id, source.topic)
    before = os.getloadavg()[0]
    asyncio.run(topics.create(settings))
    make_database(settings)
    daemons = start(stage, settings, "projector", 1, limit_s)
    try:
        first_at = first = first_cpu = 0.0
        while True:
            rows = sum(daemons.each(*PROJECTED))
            now, cpu = time.perf_counter(), daemons.cpu_s()
            if rows and not first_at:
                first_at, first, first_cpu = now, rows, cpu
            if rows >= source.events:
                break
            time.sleep(POLL_S)
    finally:
        end(daemons.children)
        asyncio.run(peers.clear(stage.broker, run_id))
    count, size = drop_database(settings)
    share = (rows - first) / rows
    return Run(
        events=int(rows), wall_s=(now - first_at) / share, cpu_s=(cpu - first_cpu) / share, count=count,
        committed_s=(now - first_at) / share, rss_mb=daemons.rss_mb(), load_average=before, other_bytes=size,
    )  # fmt: skip


def copy(row: Row, stage: Stage, source: Filled, limit_s: float) -> Run:
    """The floor of the projector: one COPY of the same rows, in a process of its own. Raises Failed."""
    settings = own(with_database(stage.settings, stage.run_id(row.name)), "copy", source.topic)
    before = os.getloadavg()[0]
    make_database(settings)
    arguments = ["--events", str(source.events), "--devices", str(stage.devices)]
    command = [sys.executable, "-m", "tests.benchmarks.bench.copying", *arguments]
    child = Child(command, exports(settings, secrets=True), stage.folder / f"{stage.run_id(row.name)}.log", ROOT)
    until = time.monotonic() + limit_s
    try:
        while child.sample() and time.monotonic() < until:
            time.sleep(POLL_S)
    finally:
        child.end()
    (count, size), found = drop_database(settings), peers.result(child)
    if found is None:
        raise Failed(f"it gave no result: {child.tail()}")
    return Run(
        events=found["events"], wall_s=found["wall_s"], cpu_s=found["cpu_s"], count=count,
        committed_s=found["wall_s"], rss_mb=child.rss_mb, load_average=before, other_bytes=size,
    )  # fmt: skip


def with_database(settings: Settings, run_id: str) -> Settings:
    """The same with a database of its own."""
    name = run_id.replace("-", "_")
    return replace(settings, database_url=urlsplit(settings.database_url)._replace(path=f"/{name}").geturl())


def make_database(settings: Settings) -> None:
    _as_owner(settings, "CREATE DATABASE {}")


def drop_database(settings: Settings) -> tuple[int, int]:
    """How many raw rows it had, and their bytes on disk with all indexes; it is gone afterwards."""
    asked = "SELECT (SELECT count(*) FROM consciousness_events), hypertable_size('consciousness_events')"
    with psycopg.connect(settings.database_url) as connection:
        count, size = connection.execute(asked).fetchone() or (0, 0)
    _as_owner(settings, "DROP DATABASE {} WITH (FORCE)")
    return int(count), int(size)


def _as_owner(settings: Settings, statement: str) -> None:
    url = urlsplit(settings.database_url)
    with psycopg.connect(url._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(url.path.strip("/"))))
