"""How fast ``field replay`` rebuilds the state of a log of frames, and that it is the state of the live worker.

    .venv/bin/python -m tests.benchmarks.replay --events 2000000 --source both

It brings Kafka, PostgreSQL and Redis of its own (or takes those of TEST_PARTS), fills a topic of four partitions with
frames, lets a worker fold them, ends it, and runs the command as an operator does: into a new generation, from the
topic, and from an archive that ``field archive`` has made (slow: it makes an object of each event). The command
compares the two states row by row; the exit code is 1 when they differ, or do not hold every event once.

CPU seconds are those of all processes of the command, its comparison included: ``events_per_s_core`` is an event count
by them. ``start_s`` is the same command told to fold nothing: its processes with their imports, connections and
commits. What is beyond that, by CPU, is ``folding_events_per_s_core``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer

from deploy.replay.compare import Verdict
from projections import generations
from projections.migrate import migrate
from streams import topics
from streams.errors import FieldError
from streams.settings import Settings, exports
from tests.benchmarks import measured, repeated, stack, worker
from tests.benchmarks.bench import broker, ours
from tests.benchmarks.bench.__main__ import session
from tests.benchmarks.measured import Measured

PARTITIONS = 4
SEED = 7
BATCH_BYTES = 1_000_000
SOURCES = ("frames", "archive")


async def fill(settings: Settings, made: repeated.Block) -> int:
    """Publish all of it, as any Kafka client would, each frame once and in its place; bytes sent."""
    random = np.random.default_rng(SEED)
    size = 0
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_brokers, linger_ms=20, max_batch_size=BATCH_BYTES, enable_idempotence=True
    ) as producer:
        for number in range(made.times):
            sent = []
            for one in made.frames:
                value = repeated.again(one, number, made.span_ms, random)
                size += len(value)
                sent.append(await producer.send(settings.events_topic, value, key=one.key, partition=one.partition))
            await producer.flush()
            for future in sent:
                future.result()
    return size


def live(settings: Settings, count: int) -> dict[str, Any]:
    """The worker's figures; its state is what a replay is compared with. Raises SystemExit when it lacks an event."""
    found = worker.fold(settings, count, Path(settings.home) / "bench-worker.log")
    if (held := ours.in_state(settings)) != count:
        raise SystemExit(f"the live state holds {held} of {count} events")
    return dict(found)


def replayed(settings: Settings, source: str, count: int, under: Sequence[str] = ()) -> dict[str, Any]:
    """The figures of one replay."""
    names = exports(settings, secrets=True)
    nothing = ",".join(f"{number}:-1" for number in range(settings.partitions))
    bare = measured.field(["replay", "run", "--name", f"{source}-nothing", "--until", nothing], names)
    bare.at("a part of the log")
    whole = measured.field(["replay", "run", "--name", source], names, under)
    folded_s, said = whole.at(r": (\d+) events folded in")
    begun_s, _ = whole.at("folding into")
    verdict = msgspec.json.decode((Path(settings.home) / "reports" / f"{source}.json").read_bytes(), type=Verdict)
    return {
        **_speed(whole, bare, count),
        "begin_s": begun_s,
        "fold_s": folded_s - begun_s,
        "verify_s": whole.wall_s - folded_s,
        "changelog_bytes_per_event": asyncio.run(_written(settings, source)) / count,
        "events_folded": int(said[1]),
        "equal": whole.code == 0 and verdict.equal and int(said[1]) == count,
        "digest": verdict.digests[source],
        "live_digest": verdict.digests[settings.generation],
    }


def _speed(whole: Measured, bare: Measured, count: int) -> dict[str, float]:
    return {
        "wall_s": whole.wall_s,
        "events_per_s": count / whole.wall_s,
        "cpu_s_per_million": whole.cpu_s / count * 1e6,
        "events_per_s_core": count / whole.cpu_s,
        "start_s": bare.wall_s,
        "start_share": bare.wall_s / whole.wall_s,
        "start_cpu_s": bare.cpu_s,
        "folding_cpu_s_per_million": (whole.cpu_s - bare.cpu_s) / count * 1e6,
        "folding_events_per_s_core": count / (whole.cpu_s - bare.cpu_s),
        "peak_mb": whole.peak_mb,
    }


async def _written(settings: Settings, generation: str) -> float:
    """Bytes of the changelog; what compaction has taken away already is as large as what is left, by record."""
    topic = topics.changelog_topic(replace(settings, generation=generation))
    rows, size = await broker.payload(settings.kafka_brokers, topic)
    ends = await broker.ends(settings.kafka_brokers, topic, settings.partitions)
    return size * sum(ends.values()) / rows


def archived(settings: Settings) -> dict[str, float]:
    """Make the archive; how long it took."""
    done = measured.field(["archive", "--all", "--to", settings.archive], exports(settings, secrets=True))
    _, said = done.at(r"(\d+) events archived in (\d+) bytes")
    return {
        "wall_s": done.wall_s,
        "events_per_s": int(said[1]) / done.wall_s,
        "bytes_per_event": int(said[2]) / int(said[1]),
    }


def prepared(settings: Settings) -> Settings:
    """With a schema, topics and a generation that readers see."""
    settings = replace(settings, partitions=PARTITIONS, worker_metrics_port=0)
    migrate(settings.database_url)
    generations.enter(settings)
    asyncio.run(topics.create(settings))
    return settings


def measure(settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    """Everything; each step is said when it begins."""
    made = repeated.block(given.events, devices=given.devices, rooms=given.rooms, partitions=PARTITIONS, seed=SEED)
    count = made.events * made.times
    say(f"{count} events, {made.times} times {made.events}")
    begun = time.perf_counter()
    size = asyncio.run(fill(settings, made))
    results: dict[str, Any] = {
        **stack.machine(), "events": count, "devices": given.devices, "rooms": given.rooms,
        "bytes_per_event": size / count, "published_events_per_s": count / (time.perf_counter() - begun),
    }  # fmt: skip
    say("the worker folds them")
    results["live"] = live(settings, count)
    for source in SOURCES if given.source == "both" else [given.source]:
        if source == "archive":
            settings = replace(settings, archive=str(Path(settings.home) / "archive"))
            say("the archive is made")
            results["archived"] = archived(settings)
        say(f"a replay from {source}")
        results[source] = replayed(settings, source, count, shlex.split(given.under))
    return results


def say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--source", choices=(*SOURCES, "both"), default="frames")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rooms", type=int, default=128)
    parser.add_argument("--under", default="", help="a command that starts the replay, such as a profiler")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    parts = session()
    try:
        results = measure(prepared(parts.start()), given)
    except FieldError as error:
        print(f"replay: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        parts.end()
    print(json.dumps(results, indent=2))
    return 0 if all(results[name]["equal"] for name in SOURCES if name in results) else 1


if __name__ == "__main__":
    sys.exit(main())
