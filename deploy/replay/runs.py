"""A replay from its beginning to where the live state stands: made known, folded, paused, resumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import psycopg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy import generations
from deploy.replay import planning
from deploy.replay.locks import locked
from deploy.replay.run import Runner
from deploy.replay.run import run as run_all
from projections.queries import query
from streams import access, topics
from streams.changelog import ChangelogFollower
from streams.errors import InputError, PartUnavailable
from streams.replay.span import Span
from streams.settings import Settings, identity, overlaid


class Replay(NamedTuple):
    """``ends``: offset after the last record to fold, by partition; ``live``: whose state it is compared with."""

    live: Settings
    ours: Settings
    span: Span
    ends: Mapping[int, int]


class Stored(msgspec.Struct):
    """What ``generations.replay`` holds."""

    live: str
    span: Span
    ends: dict[int, int]


def new(settings: Settings, name: str) -> Settings:
    """Settings of a new generation: those in force, with a name and a topic of rows of its own."""
    return overlaid(settings, {"FIELD_GENERATION": name, "FIELD_CHANGES_TOPIC": f"field-{name}-changes"})


async def begin(settings: Settings, name: str, span: Span) -> Replay:
    """Make it known, with its topics. It ends where the live state stands, so that the two can be compared there.

    Raises InputError when the name is taken, SettingError, PartUnavailable.
    """
    live, ours = generations.current(settings).over(settings), new(settings, name)
    bounds = await planning.ends(ours, span)
    at = await _kept(live) if span.whole and live.events_topic == ours.events_topic else {}
    ends = {partition: at.get(partition, end - 1) + 1 for partition, (_, end) in bounds.items()}
    await _refuse_leftovers(ours)
    stored = Stored(live.generation, span, ends)
    row = {
        "generation": name,
        "fold_version": ours.rules.version,
        "settings": msgspec.json.encode(identity(ours)).decode(),
        "replay": msgspec.json.encode(stored).decode(),
    }
    try:
        with generations.connected(settings) as connection:
            connection.execute(query("generation_make"), row)
    except psycopg.errors.UniqueViolation:
        raise InputError(f"there is a generation {name} already; `field replay list` shows it") from None
    await topics.create(ours)
    return Replay(live, ours, span, ends)


def resumed(settings: Settings, name: str) -> Replay:
    """One that was paused or killed; raises InputError, PartUnavailable."""
    generation = generations.find(settings, name)
    if generation.replay is None or generation.stage != "folding":
        raise InputError(f"{name} is {generation.stage}: there is nothing to resume")
    stored: Stored = msgspec.convert(generation.replay, Stored, strict=False)
    live = generations.find(settings, stored.live).over(settings)
    return Replay(live, generation.over(settings), stored.span, stored.ends)


async def run(replay: Replay, processes: int, rate: float | None) -> tuple[bool, int]:
    """(whether it came to its end, events folded by this call). Raises InputError when it is running already."""
    await topics.create(replay.ours)  # it may have been killed before
    runner = Runner(replay.ours, replay.span, replay.ends, processes, rate)
    with locked(replay.ours, "all"):
        done = await run_all(runner, replay.live, sum(replay.ends.values()), replay.ours.replay_lag_max)
    return done, sum(runner.folded.values())


def differing(settings: Settings, ours: Settings) -> dict[str, str]:
    """The settings by name in which a generation differs from those in force."""
    here: dict[str, Any] = identity(settings)
    return {name: value for name, value in identity(ours).items() if here[name] != value}


async def _refuse_leftovers(ours: Settings) -> None:
    """What another generation of that name has left in Kafka would be taken for a beginning of this one."""
    admin = AIOKafkaAdminClient(**access.brokers(ours))
    try:
        await admin.start()
        there = await topics.partition_counts(admin)
    except KafkaError as error:
        raise PartUnavailable("Kafka", f"{ours.kafka_brokers}: {error}") from error
    finally:
        await admin.close()
    for topic in (topics.changelog_topic(ours), ours.changes_topic):
        if topic in there:
            raise InputError(f"topic {topic} is there already, from another {ours.generation}: take another --name")


async def _kept(live: Settings) -> dict[int, int]:
    """Where the live state stands; nothing where there is none to be read."""
    try:
        async with ChangelogFollower(live) as follower:
            found = (await follower.consistent()).positions
    except PartUnavailable:
        return {}
    return {partition: at for partition, at in found.items() if at >= 0}
