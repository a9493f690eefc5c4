"""A backup by the account ``backup``, brought back by ``restorer`` onto other locked servers: the same field, and open
to the same roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from deploy.backup import manifest
from deploy.backup.manifest import Manifest
from deploy.local import cache
from deploy.locked import accounts
from tests.acceptance.stack import Stack, environment
from tests.locked.conftest import Locked, planted
from tests.locked.test_canaries import found

DAMAGED = 15
ROWS = "SELECT id, log_partition, log_offset, received, data FROM consciousness_events ORDER BY 2, 3, id"
OWNERS = (
    "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_class.oid AND d.deptype = 'e')"
)


@pytest.fixture
def place(locked: Locked, tmp_path: Path) -> Iterator[Locked]:
    """An empty place of the same field, with accounts of its own. Nothing of it is started yet."""
    one = planted(tmp_path / "place")
    try:
        yield one
    finally:
        one.stack.field("clean")
        cache.remove(tmp_path / "place")


@pytest.fixture
def saver(locked: Locked, tmp_path: Path) -> Stack:
    """As production runs a backup: a home without anything, and the files of that account alone."""
    ours = locked.of("backup")
    home = tmp_path / "saver"
    home.mkdir()
    for name, text in (("KAFKA_PASSWORD", ours.kafka_password), ("DATABASE_URL", ours.database_url)):
        accounts.write(home / name, text + "\n")
    one = Stack(ours)
    one.environ = environment({
        "FIELD_HOME": str(home), "FIELD_PARTS": "none", "FIELD_PARTITIONS": "2", "FIELD_SHARDS": "8",
        "KAFKA_BROKERS": ours.kafka_brokers, "KAFKA_SECURITY": "sasl_ssl", "KAFKA_CA_FILE": ours.kafka_ca_file,
        "KAFKA_USERNAME": "backup", "KAFKA_PASSWORD_FILE": str(home / "KAFKA_PASSWORD"),
        "DATABASE_URL_FILE": str(home / "DATABASE_URL"),
    })  # fmt: skip
    return one


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_backup_comes_back_on_other_locked_servers(
    locked: Locked, saver: Stack, place: Locked, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    locked.stack.field("simulate", "--devices", "30", "--rate", "500", "--malformed", "0.02", "--seed", "3",
                       "--duration", "1")  # fmt: skip
    locked.stack.field("wait", "--timeout", "60")
    made = saver.json("backup", str(folder))
    saved = manifest.load(folder)
    assert saved.state is not None
    assert made["events"] > 400
    assert made["letters"] > 0

    check_foreign(place, folder, saved)
    restored = place.stack.json("restore", str(folder), "--at", saved.name)
    assert restored["state"] == saved.state.tables
    assert [restored[name] for name in ("rows", "events", "letters")] == [
        made[name] for name in ("rows", "events", "letters")
    ]
    assert asked(place, "operator", ROWS) == asked(locked, "operator", ROWS), "its role may read them again"
    assert asked(place, "operator", OWNERS) == [("field_migrator",)]
    place.stack.field("up")
    place.stack.field("wait", "--timeout", "60")
    assert place.stack.json("digest")["tables"] == restored["state"]

    lines = b"\n".join(locked.seen)
    assert b"pg_dump\0" in lines
    assert b"pg_restore\0" in lines
    assert found(locked, lines) + found(place, lines) == []


def check_foreign(place: Locked, folder: Path, saved: Manifest) -> None:
    """One of a field without locks, whose tables are another account's, is refused before anything of it is there."""
    later = replace(saved, name="29990101T000000Z", database=replace(saved.database, owner="field"))
    (folder / f"{later.name}{manifest.UNFINISHED}").mkdir()
    manifest.store(folder, later)
    assert "without locks" in place.stack.field("restore", str(folder), code=DAMAGED)


def asked(where: Locked, role: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(where.of(role).database_url, connect_timeout=10) as connection:
        return connection.execute(statement.encode()).fetchall()
