"""The simulated fleet through the real parts, with everything that goes wrong in it: as the fold alone has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from streams.events import Event
from streams.fold.digest import digest
from streams.fold.partition import fold_all
from streams.settings import Settings
from streams.validate import read_record
from tests.acceptance.stack import Stack

SHARES = ("--late", "0.03", "--duplicates", "0.03", "--malformed", "0.02", "--opts", "0.005")
FLEET = ("--devices", "60", "--rate", "200", "--seed", "11", "--duration", "40", "--start", "1700000000000")


@pytest.mark.parametrize("wire", ["json", "batch", "frame"])
def test_published_lines(make_settings: Callable[..., Settings], tmp_path: Path, wire: str) -> None:
    with Stack(make_settings()) as stack:
        text = stack.field("simulate", *FLEET, *SHARES, "--print")
        lines = text.encode("utf-8", "surrogateescape").rstrip(b"\n").split(b"\n")
        found = [read_record(line, 1_800_000_000_000)[0] for line in lines]
        events = [item for item in found if isinstance(item, Event)]
        bad = Counter(item.reason for item in found if not isinstance(item, Event))
        assert len(lines) == 8000
        assert len(bad) >= 5
        assert {"OPT_OUT", "OPT_IN"} <= {event.type for event in events}

        (tmp_path / "lines").write_bytes(b"\n".join(lines))
        said = stack.field("publish", str(tmp_path / "lines"), "--wire", wire)
        assert said.startswith(f"8000 events acknowledged by the broker, {bad.total()} of them look invalid")
        stack.field("wait")

        tables, counts = folded(stack.settings, events)
        assert stack.json("digest")["tables"] == tables
        status = stack.json("status")["counts"]
        assert {name: status[name] for name in counts} == counts
        assert status["rejected"] == dict(bad)
        assert status["copied"] == 0, "nothing was published to a wrong partition"
        with psycopg.connect(stack.settings.database_url) as connection:
            rows = connection.execute("SELECT count(*) FROM consciousness_events").fetchone()
        assert rows == (len({(event.timestamp, event.id, event.key) for event in events}),)


def folded(settings: Settings, events: list[Event]) -> tuple[dict[str, str], dict[str, int]]:
    """Digests and counts of the fold alone."""
    folds = fold_all(events, settings.partitions, settings.shards, settings.rules)
    values = [value for fold in folds for value in fold.checkpoint("1-00000000", full=True).shard_values]
    late = sum(fold.counts["late"] for fold in folds)
    assert late > 100
    counts = {"duplicate": sum(fold.counts["duplicate"] for fold in folds), "late": late}
    return digest(values, settings.rules), counts
