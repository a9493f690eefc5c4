"""A backup made under load, restored into an empty place: the same rows, the same digests, and life goes on there."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.backup import manifest
from deploy.local import cache, loopback, parts
from streams.settings import Settings
from tests.acceptance.stack import Stack, until
from tests.workers import expected

FLEET = (
    "--devices", "60", "--rate", "300", "--late", "0.02", "--duplicates", "0.02", "--opts", "0.005", "--malformed",
    "0.01",
)  # fmt: skip
BAD_INPUT, DAMAGED = 2, 15
ROWS = "SELECT id, log_partition, log_offset, received, data FROM consciousness_events ORDER BY 2, 3, id"
"""Without what a later OPT_* may change."""


@pytest.fixture
def stack(make_settings: Callable[..., Settings]) -> Iterator[Stack]:
    with Stack(make_settings(session_timeout_s=6)) as one:
        yield one


@pytest.fixture
def place(stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """An empty place of the same field: other parts, other processes. Nothing of it is started yet."""
    here = replace(
        stack.settings,
        home=str(tmp_path / "place"),
        parts=os.environ.get("FIELD_PARTS", "auto"),
        kafka_brokers=f"127.0.0.1:{loopback.free()}",
        database_url=f"postgresql://field:field@127.0.0.1:{loopback.free()}/field",
        redis_port=loopback.free(),
    )
    if parts.choose(here)[0] != "local":
        pytest.skip("a second set of parts is started only where they are local processes")
    one = Stack(here)
    try:
        yield one
    finally:
        one.field("clean")
        cache.remove(tmp_path / "place")


@pytest.mark.timeout(400)  # two stacks, one after the other
def test_a_backup_under_load_comes_back_as_the_same_field(stack: Stack, place: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    fleet = stack.start("simulate", *FLEET, "--seed", "1", "--duration", "200")
    until(lambda: sum(stack.json("status")["end"].values()) > 1_000, "the fleet is under way")
    first = stack.json("backup", str(folder))
    assert fleet.poll() is None, "it was made while events came"
    fleet.send_signal(signal.SIGINT)
    fleet.communicate(timeout=60)
    stack.field("wait")
    check_cut_off(stack, folder)
    second = stack.json("backup", str(folder))
    assert (first["state"], second["state"]) == (True, True)
    assert second["events"] > first["events"] > 0
    assert second["fresh_bytes"] < second["bytes"], "what is archived already is not written again"
    assert stack.json("backup", "verify", str(folder))["problems"] == []
    assert not [path for path in folder.rglob("*") if path.stat().st_mode & 0o077], "only its owner may look into it"
    check_damage(stack, folder, tmp_path / "damaged")

    saved = manifest.load(folder, first["name"])
    mine = [row for row in rows(stack) if row[2] < saved.log.ends[row[1]]]
    stack.field("down")
    restored = place.json("restore", str(folder), "--at", first["name"])
    assert restored["state"] == saved.state.tables if saved.state else None
    assert restored["events"] == first["events"]
    assert restored["letters"] == first["letters"] > 0
    assert "not empty" in place.field("restore", str(folder), code=BAD_INPUT)
    place.field("up")
    place.field("wait")
    assert place.json("digest")["tables"] == restored["state"]
    assert rows(place) == mine, "every row at its place in the log, also those after the dump"
    assert place.json("rejected", "list")["letters"] == restored["letters"]

    place.field("simulate", *FLEET, "--seed", "2", "--duration", "2")
    place.field("wait")
    assert all(check["equal"] for check in place.json("replay", "verify", "--tiers")["tiers"])
    assert place.json("digest")["tables"] == asyncio.run(expected(place.settings))
    print_figures(first, second, restored)


def check_cut_off(stack: Stack, folder: Path) -> None:
    """Killed at whatever moment, a backup is whole or none; the next one clears its remains away."""
    before = manifest.names(folder)
    process = stack.start("backup", str(folder))
    until(lambda: bool(list(folder.glob("*.new"))), "it has begun")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    if manifest.names(folder) == before:
        assert list(folder.glob("*.new"))
    assert stack.json("backup", "verify", str(folder))["problems"] == []


def check_damage(stack: Stack, folder: Path, copy: Path) -> None:
    """One byte of the dump is another one: named, and nothing is restored of it, nor anything touched."""
    shutil.copytree(folder, copy)
    name = manifest.load(copy).name
    dump = copy / name / manifest.DUMP
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    assert str(dump) in stack.field("backup", "verify", str(copy), code=DAMAGED)
    assert str(dump) in stack.field("restore", str(copy), code=DAMAGED, FIELD_HOME=str(copy / "home"))


def rows(stack: Stack) -> list[tuple[Any, ...]]:
    with psycopg.connect(stack.settings.database_url) as connection:
        return connection.execute(ROWS).fetchall()


def print_figures(first: dict[str, Any], second: dict[str, Any], restored: dict[str, Any]) -> None:
    for name, one in (("under load", first), ("at rest", second)):
        print(f"\nbackup {name}: {one['rows']} rows, {one['events']} events, {one['bytes']} bytes"
              f" ({one['fresh_bytes']} new), seconds {one['seconds']}")  # fmt: skip
    print(f"restored: {restored['rows']} rows, {restored['events']} events, seconds {restored['seconds']}")
