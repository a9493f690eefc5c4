"""The recorded conference through the real parts: every number as an independent computation has it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from deploy import backend
from streams import contacts
from streams.fold.digest import digest
from streams.fold.partition import fold_all
from streams.settings import Settings
from tests.acceptance.stack import Stack, until
from tests.fixtures.contacts import RECORDED
from tests.oracle.contacts import Contacts, count
from tests.verifying import SCRIPT

KILLS = 3


@pytest.fixture(scope="module")
def expected(contacts_file: Path) -> Contacts:
    return count(contacts_file)


def rows(settings: Settings, sql: str) -> list[tuple]:
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(sql).fetchall()


def check_rows(settings: Settings, expected: Contacts) -> None:
    """Database against the independent computation: events, devices, minutes, pairs."""
    assert rows(settings, "SELECT count(*), count(DISTINCT id) FROM consciousness_events") == [
        (expected.events, len(expected.ids))
    ]
    by_device = rows(settings, "SELECT device_id, count(*) FROM consciousness_events GROUP BY 1")
    assert dict(by_device) == dict(expected.by_device)
    minutes = rows(
        settings,
        "SELECT extract(epoch FROM bucket)::bigint / 60, events, active_nodes FROM consciousness_field_1min ORDER BY 1",
    )
    assert minutes == [
        (minute, expected.by_minute[minute], len(expected.devices_by_minute[minute]))
        for minute in sorted(expected.by_minute)
    ]
    pairs = rows(settings, "SELECT low, high, extract(epoch FROM established)::bigint FROM entanglements")
    assert {(low, high): second for low, high, second in pairs} == expected.established
    assert len(pairs) == len(expected.established)


@pytest.mark.timeout(600)  # a bound on hanging: this one folds the conference four times
def test_every_figure_and_a_second_time_changes_nothing(
    make_settings: Callable[..., Settings], contacts_file: Path, expected: Contacts
) -> None:
    with Stack(make_settings()) as stack:
        said = stack.field("simulate", "--contacts", str(contacts_file), "--speed", "max")
        assert said.startswith(f"{expected.events} events acknowledged")
        stack.field("wait", "--timeout", "240")
        check_rows(stack.settings, expected)
        if contacts_file.name == RECORDED:
            assert (expected.events, len(expected.by_device), len(expected.established)) == (398_618, 262, 5_422)
        pairs = stack.json("state", "entanglements")["rows"]
        assert {(pair["low"], pair["high"]): pair["established"] for pair in pairs} == expected.established
        first = stack.json("digest")
        assert first["tables"] == digest_in_memory(stack.settings, contacts_file)
        check_as_a_stranger(stack.settings, first)

        # The second time as frames: other records, other batches, the same state.
        stack.field("simulate", "--contacts", str(contacts_file), "--speed", "max", "--wire", "frame")
        stack.field("wait", "--timeout", "240")
        second = stack.json("digest")
        assert second["positions"] != first["positions"]
        assert second["tables"] == first["tables"]
        check_rows(stack.settings, expected)


def test_killed_in_the_middle_it_is_the_same(
    make_settings: Callable[..., Settings], contacts_file: Path, expected: Contacts
) -> None:
    with Stack(make_settings(checkpoint_ms=300, project_events=3_000, session_timeout_s=6)) as stack:
        publishing = stack.start("simulate", "--contacts", str(contacts_file), "--speed", "max")
        at = dict.fromkeys(("worker", "raw"), 0)
        for _ in range(KILLS):
            for projection, role in (("worker", "worker"), ("raw", "projector")):
                at[projection] = further(stack, projection, at[projection])
                assert at[projection] < expected.events, "it was killed when all was done"
                stack.kill(role)
        output, _ = publishing.communicate(timeout=240)
        assert output.startswith(f"{expected.events} events acknowledged"), output
        stack.field("wait", "--timeout", "240")
        for role in ("worker", "projector"):
            process = stack.process(role)
            assert process is not None
            assert process.restarts >= KILLS, "a kill did not hit"
        check_rows(stack.settings, expected)
        assert stack.json("digest")["tables"] == digest_in_memory(stack.settings, contacts_file)


def check_as_a_stranger(settings: Settings, said: dict) -> None:
    """The verifier, which shares no code with the fold, reads the same log and comes to the same digests."""
    command = [sys.executable, str(SCRIPT), "--brokers", settings.kafka_brokers, "--topic", settings.events_topic]
    done = subprocess.run(
        [*command, "--until", "-"], input=json.dumps(said), capture_output=True, text=True, timeout=280
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def further(stack: Stack, projection: str, before: int) -> int:
    """Wait until a projection has stored more records than before, so that a kill hits it at work; how many."""
    records = before

    def moved() -> bool:
        nonlocal records
        status = asyncio.run(backend.look(stack.settings))  # in this process: a command takes as long as the work
        found = next(one for one in status.projections if one.projection == projection)
        records = sum(offset + 1 for offset in found.positions.values())
        return records > before

    until(moved, f"{projection} goes on")
    return records


def digest_in_memory(settings: Settings, path: Path) -> dict[str, str]:
    """The undisturbed run: the same events folded here, without Kafka, processes or checkpoints."""
    folds = fold_all(contacts.events(contacts.read_rows(path)), settings.partitions, settings.shards, settings.rules)
    values = [value for fold in folds for value in fold.checkpoint("1-00000000", full=True).shard_values]
    return digest(values, settings.rules)
