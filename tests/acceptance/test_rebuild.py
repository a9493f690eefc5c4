"""The recorded conference rebuilt in every way is one digest; a changed fold is caught, named, refused and undone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy import processes
from streams import contacts
from streams.changelog import ChangelogFollower
from streams.embedded import state
from streams.embedded.driver import Driver
from streams.embedded.publisher import SqlitePublisher
from streams.embedded.store import Store
from streams.errors import PartUnavailable
from streams.fold.digest import digest
from streams.settings import Settings
from tests.acceptance.stack import Stack, until
from tests.acceptance.test_contacts import digest_in_memory
from tests.conformance.backends import fold_all

DIFFERENT, PAUSED = 13, 130
SLOWLY_S = 30
"""Long enough to pause and to kill a replay before its end."""


@pytest.fixture
def stack(make_settings: Callable[..., Settings], contacts_file: Path) -> Iterator[Stack]:
    with Stack(make_settings(session_timeout_s=6)) as one:
        one.field("simulate", "--contacts", str(contacts_file), "--speed", "max")
        one.field("wait", "--timeout", "240")
        yield one


@pytest.mark.long
@pytest.mark.timeout(600)  # many rebuilds one after the other
def test_every_way_to_rebuild_gives_one_digest(stack: Stack, contacts_file: Path, tmp_path: Path) -> None:
    once = digest_in_memory(stack.settings, contacts_file)
    assert stack.json("digest")["tables"] == once
    check_changed_weight(stack)
    check_paused_and_killed(stack, once)
    check_part_of_the_log(stack)

    name = f"{stack.settings.generation}-3"
    rebuild(stack, name, "--processes", "3", once=once)
    folder = str(tmp_path / "archive")
    archived = stack.field("archive", "--all", "--to", folder)
    assert "events" in archived
    asyncio.run(forget_the_log(stack.settings))
    name = f"{stack.settings.generation}-archived"
    rebuild(stack, name, once=once, FIELD_ARCHIVE=folder)
    assert embedded(stack, contacts_file, tmp_path / "embedded") == once


def embedded(stack: Stack, contacts_file: Path, home: Path) -> dict[str, str]:
    """The digest of the same file in the one process without parts."""
    settings = replace(stack.settings, home=str(home), parts="embedded")

    async def publish() -> None:
        async with SqlitePublisher(settings, "batch") as publisher:
            for event in contacts.events(contacts.read_rows(contacts_file)):
                await publisher.publish(event)
            await publisher.flush()

    with Driver(settings) as driver:  # it makes the file
        asyncio.run(publish())
        fold_all(driver)
    with Store(settings) as store:
        return digest(state.picture(store).values.values(), settings.rules)


def rebuild(stack: Stack, name: str, *words: str, once: dict[str, str], **over: str) -> None:
    said = stack.field("replay", "run", "--name", name, *words, **over)
    assert ": equal" in said
    assert stack.json("digest", "--generation", name)["tables"] == once
    stack.field("replay", "drop", name)


def check_changed_weight(stack: Stack) -> None:
    """One weight is another: caught, named by key, refused, accepted with its report, seen, and gone after undo."""
    name = f"{stack.settings.generation}-weight"
    before = stack.json("state", "resonance", "--key", "badge-1000")["rows"]
    said = stack.run("replay", "run", "--name", name, FIELD_RULE_WEIGHT_TOUCH="5")
    assert said.returncode == DIFFERENT, said.stdout + said.stderr
    assert "DIFFERENT" in said.stdout
    found = stack.json("replay", "verify", name, code=DIFFERENT)["verdict"]
    assert not found["equal"]
    assert {table for table, count in found["counts"].items() if count} == {"resonance"}
    first = found["differences"][0]
    assert len(first["key"]) == 2
    assert [slot[2] * 5 // 2 for slot in first["live"][5]] == [slot[2] for slot in first["replayed"][5]]
    report = Path(stack.settings.home) / "reports" / f"{name}.json"
    assert "differs" in stack.field("replay", "switch", name, code=DIFFERENT)
    stack.field("wait", "--generation", name)
    stack.field("replay", "switch", name, "--accept", str(report))
    assert stack.json("status")["fold_version"] == found["fold_versions"][name]
    after = stack.json("state", "resonance", "--key", "badge-1000")["rows"]
    assert [row["device_id"] for row in after] == [row["device_id"] for row in before]
    assert stack.json("digest")["tables"]["resonance"] == found["digests"][name]["resonance"]
    stack.field("replay", "undo")
    assert stack.json("digest")["tables"]["resonance"] == found["digests"][stack.settings.generation]["resonance"]
    assert "nothing was switched" in stack.field("replay", "undo", code=2)
    assert stack.json("status")["fold_version"] == found["fold_versions"][stack.settings.generation]
    stack.field("replay", "drop", name)


def check_paused_and_killed(stack: Stack, once: dict[str, str]) -> None:
    """Ctrl-C pauses it, kill -9 of it or of all its processes stops it; each time it goes on, to the same digest."""
    name = f"{stack.settings.generation}-paused"
    whole = sum(end + 1 for end in stack.json("status")["end"].values())
    slowly = ("--max-rate", str(whole / SLOWLY_S))
    running = stack.start("replay", "run", "--name", name, *slowly)
    until(lambda: kept(stack, name) > 0, "the replay has kept something")
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == PAUSED, said
    assert f"--resume {name}" in said
    at = kept(stack, name)
    running = stack.start("replay", "run", "--resume", name, *slowly)
    until(lambda: kept(stack, name) > at, "it goes on")
    running.kill()  # alone: its processes make a last checkpoint, and whoever resumes waits for them
    running.wait()
    at = kept(stack, name)
    running = stack.start("replay", "run", "--resume", name, *slowly)
    until(lambda: kept(stack, name) > at and bool(children(running)), "it goes on after those")
    kill_with_children(running)
    assert kept(stack, name) < whole, "it was killed when all was done"
    said = stack.field("replay", "run", "--resume", name)
    assert ": equal" in said
    assert stack.json("digest", "--generation", name)["tables"] == once
    assert "nothing to resume" in stack.field("replay", "run", "--resume", name, code=2)
    stack.field("replay", "drop", name)


def check_part_of_the_log(stack: Stack) -> None:
    """A room by itself can be looked at, and never be switched to."""
    name = f"{stack.settings.generation}-hall"
    stack.field("replay", "run", "--name", name, "--room", "hall-3")
    rooms = stack.json("state", "rooms", "--generation", name)["rows"]
    assert rooms == [row for row in stack.json("state", "rooms")["rows"] if row["room_id"] == "hall-3"]
    assert "inspection" in stack.field("replay", "switch", name, code=2)
    stack.field("replay", "drop", name)


def kept(stack: Stack, name: str) -> int:
    """Records that the generation has folded and kept."""

    async def look() -> int:
        async with ChangelogFollower(replace(stack.settings, generation=name)) as follower:
            await follower.catch_up()
            return sum(at + 1 for at in follower.positions.values())

    with contextlib.suppress(PartUnavailable):
        return asyncio.run(look())
    return 0


def kill_with_children(process: subprocess.Popen[str]) -> None:
    for pid in (process.pid, *children(process)):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def children(process: subprocess.Popen[str]) -> list[int]:
    """Processes of the replay that fold right now."""
    return [
        int(path.name) for path in Path("/proc").glob("[0-9]*")
        if processes.identity(int(path.name)) and _parent(path) == process.pid
    ]  # fmt: skip


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


async def forget_the_log(settings: Settings) -> None:
    """Delete all records from Kafka, as a retention would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        places = [TopicPartition(settings.events_topic, number) for number in range(settings.partitions)]
        await admin.delete_records({place: RecordsToDelete(before_offset=-1) for place in places})
    finally:
        await admin.close()
