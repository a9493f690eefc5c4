"""A stranger checks a running field: the log of a real Kafka against the digests of a real worker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams import simulate, topics, wire
from streams.entry import read_entry
from streams.events import BLOOM, OPT_OUT, OPTS, Event
from streams.packing import WIRES, pack, pack_line
from streams.settings import Settings
from tests.verifying import SCRIPT
from tests.workers import Sent, WorkerProcess, folded, found, instance, publish, read_topic

FLEET = simulate.Fleet(
    devices=40, rate=100, start=1_700_000_000_000, seed=4, late=0.03, duplicates=0.03, malformed=0.02, opts=0.005
)
Verify = Callable[..., subprocess.CompletedProcess[str]]


def records(partitions: int) -> Iterator[Sent]:
    """Forty seconds of a fleet, each stretch of it in another form; some of it on the wrong partition."""
    items = list(simulate.items(FLEET, 40))
    for number, at in enumerate(range(0, len(items), 200)):
        form = WIRES[number % 3]
        some = items[at : at + 200]
        events = [item.event for item in some if isinstance(item.event, Event)]
        bad = [item.event for item in some if isinstance(item.event, bytes)]
        packed = pack(events, partitions, form)
        packed += [record for line in bad for record in pack_line(line, number, partitions)[0]]
        yield from (Sent(one.value, one.partition, tuple(one.headers)) for one in packed)
        stray = next(event for event in events if event.type not in OPTS)
        yield from (Sent(wire.encode_event(stray), other) for other in range(partitions))


@pytest.fixture
async def folded_fleet(kafka: str, tmp_path: Path) -> tuple[Settings, dict[str, Any]]:
    """A fleet on the log, and what `field digest --json` would print of a worker that has folded it."""
    settings = instance(kafka, tmp_path, partitions=3)
    await topics.create(settings)
    await publish(settings, records(settings.partitions))
    with WorkerProcess(settings) as worker:
        follower = await folded(settings)
        said = {"tables": found(follower, settings), "positions": dict(follower.positions)}
        assert worker.stop() == 0
    return settings, said


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """``verify(settings, said, *words)``: the script as a process, against the brokers."""

    def run(settings: Settings, said: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "digests.json"
        path.write_text(json.dumps(said))
        command = [sys.executable, str(SCRIPT), "--brokers", settings.kafka_brokers, "--until", str(path)]
        command += ["--topic", settings.events_topic, *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=200)

    return run


def told(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Table -> equal or different; the script must have come to its end."""
    assert done.stderr == ""
    words = [line.split() for line in done.stdout.splitlines()[:7]]
    return {table: verdict for verdict, table, *_ in words}


async def test_a_fleet(folded_fleet: tuple[Settings, dict[str, Any]], verify: Verify) -> None:
    settings, said = folded_fleet
    log = await read_topic(settings, settings.events_topic)
    assert len(log) > 500
    assert any(dict(record.headers).get("source") for record in log), "nothing was copied"

    done = verify(settings, said, "--rejected", settings.rejected_topic)
    assert set(told(done).values()) == {"equal"}, done.stdout
    assert done.returncode == 0
    counts = {name: int(count) for count, name in (w.split() for w in done.stdout.splitlines()[-1].split(", "))}
    assert min(counts.values()) > 10, counts

    done = verify(settings, said, "--rule", "weight_breath=2")
    assert [table for table, verdict in told(done).items() if verdict == "different"] == ["resonance"]
    assert done.returncode == 1

    end = said["positions"]
    for wrong in range(settings.partitions):  # some records less of one partition
        done = verify(settings, said | {"positions": end | {wrong: end[wrong] - 40}})
        assert "different" in told(done).values()
        assert done.returncode == 1
    done = verify(settings, said | {"positions": end | {0: end[0] + 1}})
    assert (done.returncode, done.stdout) == (2, "")
    assert f"ends at {end[0]}" in done.stderr
    done = verify(replace(settings, events_topic="no.such.topic"), said)
    assert (done.returncode, done.stderr.count("there is no topic no.such.topic")) == (2, 1)


def last_bloom(log: list[Any], partitions: int) -> Any:
    """The last record of a single BLOOM that is at home, came once, was not late, and whose device never left."""
    entries = [(record, read_entry(record, record.partition, partitions).events) for record in log]
    times = Counter(event.id for _, events in entries for event in events)
    gone = {event.device_id for _, events in entries for event in events if event.type == OPT_OUT}
    newest, found = -1, None
    for record, events in entries:
        newest = max([newest, *(event.timestamp for event in events)])
        for event in events if record.value.startswith(b"{") else ():
            counts = times[event.id] == 1 and event.device_id not in gone and event.timestamp > newest - 5_000
            found = record if event.type == BLOOM and counts else found
    assert found is not None
    return found


async def test_a_log_of_which_one_event_was_dropped_or_altered(
    folded_fleet: tuple[Settings, dict[str, Any]], verify: Verify
) -> None:
    settings, said = folded_fleet
    log = await read_topic(settings, settings.events_topic)
    victim = last_bloom(log, settings.partitions)
    altered = json.dumps(json.loads(victim.value) | {"intensity": 0.123456}).encode()
    for name, value in (("same", victim.value), ("altered", altered), ("dropped", b"[]")):
        copy = replace(settings, events_topic=f"{settings.events_topic}.{name}")
        await topics.create(replace(copy, generation=f"{settings.generation}-{name}"))
        await publish(
            copy,
            [
                Sent(
                    value if record is victim else record.value,
                    record.partition,
                    (("received", b"%d" % record.timestamp), *record.headers),
                )
                for record in log
            ],
        )
        done = verify(copy, said)
        assert done.returncode == (0 if name == "same" else 1), done.stdout
        assert ("different" in told(done).values()) == (name != "same")
