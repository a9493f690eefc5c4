"""Which generation readers see, and the processes that each one has: switch, undo, follow, drop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from deploy import bringup, context, generations, positions, processes
from deploy.generations import Generation
from deploy.replay.compare import Verdict
from deploy.replay.locks import locked
from projections.hot import Names
from projections.queries import query
from streams import access, topics
from streams.errors import FieldError, InputError
from streams.settings import Settings, identity


class NotEqual(FieldError):
    """Readers would see another field: the comparison is missing, or it found differences."""

    exit_code = 13


def store(settings: Settings, name: str, verdict: Verdict) -> Path:
    """Keep a verdict with its generation, and as a report in the home; returns the report's path."""
    brief = msgspec.structs.replace(verdict, differences=verdict.differences[:20])
    path = Path(settings.home) / "reports" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(verdict), indent=2) + b"\n")
    with generations.connected(settings) as connection:
        row = {"generation": name, "verdict": msgspec.json.encode(brief).decode()}
        if not connection.execute(query("generation_verdict"), row).rowcount:
            raise InputError(f"{name} was dropped meanwhile")
    return path


def switch(settings: Settings, name: str, accept: Path | None) -> Generation:
    """Make it the one that readers see; returns the one before.

    ``accept``: the report of the differences that are accepted, as ``field replay verify`` wrote it.
    Raises NotEqual, InputError, PartUnavailable.
    """
    new, old = generations.find(settings, name), generations.current(settings)
    if new.current:
        raise InputError(f"readers see {name} already")
    if new.stage != "following":
        raise InputError(f"{name} is {new.stage}: only a replay of the whole log that has ended can be switched to")
    _check(new, old, accept)
    late = _late(settings, new, old)
    if late:
        raise InputError(
            f"the projections of {name} are behind those that readers see ({'; '.join(late)}); `field wait "
            f"--generation {name}` waits for them"
        )
    _move(settings, old, new)
    return old


def undo(settings: Settings) -> tuple[Generation, Generation]:
    """Back to the one before, once; returns (the one that was seen, the one that is).

    Raises InputError, PartUnavailable.
    """
    found = generations.known(settings)
    now = generations.current(settings)
    before = next((generation for generation in found if generation.previous), None)
    if before is None:
        raise InputError("there is no generation to go back to: nothing was switched, or it was dropped")
    _move(settings, now, before, "generation_undo")
    return now, before


def follow(settings: Settings, ours: Settings) -> bool:
    """Let processes of the generation run beside the others of this home; False when no supervisor runs here."""
    home = Path(settings.home)
    context.keep_beside(home, {**context.beside(home), ours.generation: identity(ours)})
    return _tell(home)


async def drop(settings: Settings, name: str) -> list[str]:
    """Stop its processes, delete its topics, keys and rows; returns what could not be deleted.

    Raises InputError for the one that readers see or the one of this home's settings, PartUnavailable.
    """
    generation = generations.find(settings, name)
    if generation.current:
        raise InputError(f"readers see {name}; switch to another one first")
    if name == settings.generation and generations.current(settings).name not in context.beside(Path(settings.home)):
        raise InputError(f"{name} is what the processes of this home write; start others with FIELD_GENERATION first")
    with locked(generation.over(settings), "all"):  # not while it is being folded
        generations.stage(settings, name, "dropping")
        await asyncio.to_thread(_end, settings, name, generations.current(settings))
        return await _delete(settings, generation)


async def _delete(settings: Settings, generation: Generation) -> list[str]:
    name = generation.name
    theirs = generation.over(settings)
    left = []
    try:
        await _delete_topics(theirs)
    except (KafkaError, OSError) as error:
        left.append(f"topics in Kafka: {error}")
    try:
        with positions.hot(settings) as client:
            client.delete(*Names.of(name))
    except RedisError as error:
        left.append(f"keys in Redis: {error}")
    generations.remove(settings, name)
    return left


def _check(new: Generation, old: Generation, accept: Path | None) -> None:
    verdict: dict[str, Any] | None = new.verdict
    if verdict is None or verdict["live"] != old.name:
        raise NotEqual(f"{new.name} was not compared with {old.name} yet: `field replay verify {new.name}`")
    stores = verdict.get("stores", [])
    if verdict["equal"] and not stores:
        return
    if accept is None:
        differ = [f"{sum(verdict['counts'].values())} rows of the state", *stores]
        raise NotEqual(
            f"{new.name} differs from {old.name} in {', '.join(differ)}; `field replay verify {new.name} --tiers` says "
            "where; a fold that was changed on purpose is switched to with --accept REPORT"
        )
    try:
        report = msgspec.json.decode(accept.read_bytes(), type=Verdict)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{accept} is no report of `field replay verify`: {error}") from None
    known = msgspec.convert(verdict, Verdict, strict=False)
    if msgspec.structs.replace(report, differences=report.differences[:20]) != known:
        raise InputError(f"{accept} is not the report of the last comparison of {new.name} with {old.name}")


def _late(settings: Settings, new: Generation, old: Generation) -> list[str]:
    """Lines about projections of ``new`` that are behind what readers see now."""
    theirs, seen = (positions.of_database(one.over(settings)) for one in (new, old))
    if new.over(settings).events_topic != old.over(settings).events_topic:
        seen = {}
    late = []
    for name in (positions.STATE, positions.STATES):
        late += positions.behind(name, theirs.get(name, {}), seen.get(name, {}))
        if name not in theirs:
            late.append(positions.Behind(name, 0, -1, 0))
    return positions.told(late)


def _move(settings: Settings, old: Generation, new: Generation, statement: str = "generation_switch") -> None:
    with generations.connected(settings) as connection:
        moved = connection.execute(query(statement), {"from": old.name, "to": new.name}).rowcount
    if moved != 1:
        raise InputError("somebody has switched or dropped meanwhile; `field replay list` shows what readers see")


def _end(settings: Settings, name: str, seen: Generation) -> None:
    """Its processes end; those of this home's settings become those of the generation that readers see."""
    home = Path(settings.home)
    beside = context.beside(home)
    main = name == settings.generation
    roles = bringup.ROLES if main else [f"{role}@{name}" for role in bringup.ROLES]
    old = [process for process in processes.read_all(home) if process.role in roles]
    if main:
        beside[context.MAIN] = beside.pop(seen.name)
    else:
        beside.pop(name, None)
    context.keep_beside(home, beside)
    if _tell(home):
        until = time.monotonic() + bringup.DOWN_S
        while any(processes.alive(process) for process in old) and time.monotonic() < until:
            time.sleep(0.1)
    for process in old:
        if processes.alive(process):  # nobody keeps it, or it does not end
            processes.end(home, process)


def _tell(home: Path) -> bool:
    running = bringup.supervisor_of(home)
    if running is None:
        return False
    os.kill(running.pid, bringup.REVIVE)
    return True


async def _delete_topics(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**access.brokers(settings))
    await admin.start()
    try:
        there = await topics.partition_counts(admin)
        ours: Iterable[str] = (topics.changelog_topic(settings), settings.changes_topic)
        await admin.delete_topics([topic for topic in ours if topic in there])
    finally:
        await admin.close()
