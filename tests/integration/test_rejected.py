"""Dead letters and the way back: a real worker rejects and folds, the raw projector and the aggregates follow."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import cli
from projections.raw import Raw
from streams import topics, wire
from streams.changes import load_view
from streams.events import Event
from streams.settings import Settings
from streams.table import partition_of
from tests.fixtures.command import Run
from tests.integration.projecting import apply, database, rows
from tests.integration.test_projections_aggregates import refresh
from tests.workers import LIMIT_S, Sent, WorkerProcess, expected, folded, found, publish, read_topic
from tests.worlds import START_S, say

Rejected = Callable[..., tuple[int, Any]]
CLOSE = shlex.join([sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read() + '}\\n')"])
"""Mends what only lacks its last brace."""


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    made = make_settings(partitions=2, shards=4, checkpoint_ms=100, session_timeout_s=6, skew_ms_max=1_000)
    asyncio.run(topics.create(made))
    return made


@pytest.fixture
def rejected(field: Run) -> Rejected:
    """Runs ``field rejected ... --json``: (exit code, document)."""

    def run(*words: str) -> tuple[int, Any]:
        code, document, said = field("rejected", *words)
        assert document is not None, said
        return code, document

    return run


def sent(event: Event, settings: Settings, broken: bool = False) -> Sent:
    """An event on its partition; a broken one lacks its last brace."""
    value = wire.encode_event(event)
    return Sent(value[:-1] if broken else value, partition_of(event.key, settings.partitions))


def log(settings: Settings) -> list[Any]:
    return asyncio.run(read_topic(settings, settings.events_topic))


def folds(settings: Settings) -> dict[str, dict[str, int]]:
    """Wait until the worker has all of the log; device -> counts, after holding its digest to the pure fold's."""
    follower = asyncio.run(folded(settings))
    assert found(follower, settings) == asyncio.run(expected(settings))
    return {device: row.counts for value in follower.values.values() for _, device, row in load_view(value).rows}


def project(settings: Settings) -> None:
    """The whole log into the database, as the raw projector does it."""

    async def run() -> None:
        async with database(settings) as pool:
            for number in range(settings.partitions):
                records = [r for r in await read_topic(settings, settings.events_topic) if r.partition == number]
                await apply(Raw(settings), settings, pool, number, records)

    asyncio.run(run())


def story(settings: Settings) -> tuple[list[Event], list[Sent]]:
    """In the hall it is 100 s: somebody comes in time, somebody much too late, somebody leaves; and nonsense."""
    events = [
        say("ana", "BLOOM", 100, room="hall", seq=1),
        say("dan", "BLOOM", 99, room="hall", seq=1),
        say("bea", "BLOOM", 98, room="hall", seq=1),
        say("cyd", "BLOOM", 20, room="hall", seq=1),
        say("dan", "OPT_OUT", 101),
    ]
    records = [sent(event, settings, broken=number > 1) for number, event in enumerate(events)]
    return events, [*records, Sent(b"{nonsense", 0)]


def test_rejected_mended_retried_once(settings: Settings, rejected: Rejected, edition: str, tmp_path: Path) -> None:
    events, records = story(settings)
    asyncio.run(publish(settings, records))
    with WorkerProcess(settings):
        assert folds(settings) == {"ana": {"BLOOM": 1}, "dan": {"BLOOM": 1}}
        code, listed = rejected("list")
        assert (code, listed["letters"], listed["waiting"]) == (0, 4, 4)
        assert listed["reasons"] == {"malformed_json": 4}
        assert rejected("list", "--reason", "future")[1]["letters"] == 0
        assert rejected("list", "--since", str(listed["rows"][-1]["rejected"] + 1))[1]["letters"] == 0
        assert rejected("list", "--limit", "1")[1]["rows"] == listed["rows"][-1:]

        # As they are nothing of them is sent.
        before = log(settings)
        code, done = rejected("retry", "--all")
        assert (code, done["retried"], done["refused"]) == (1, 0, 4)
        assert len(log(settings)) == len(before)

        code, done = rejected("retry", "--reason", "malformed_json", "--with", CLOSE)
        assert (code, done["retried"], done["skipped"], done["refused"]) == (1, 3, 0, 1)
        (refused,) = [one for one in done["letters"] if one["outcome"] == "refused"]
        assert refused["detail"].startswith("malformed_json")
        after = log(settings)
        assert len(after) == len(before) + 2 + settings.partitions, "the opt-out goes to every partition"
        # bea in time, cyd too late, dan has left; the worker has no new dead letter
        assert folds(settings) == {"ana": {"BLOOM": 1}, "bea": {"BLOOM": 1}}

        # A second time nothing is sent, and it is said so.
        places = [one["position"] for one in done["letters"] if one["outcome"] == "retried"]
        stand = {one["position"]: one["detail"] for one in done["letters"]}
        code, again = rejected("retry", *places, "--with", CLOSE)
        assert (code, again["retried"], again["skipped"], again["refused"]) == (0, 0, 3, 0)
        assert {one["position"]: one["detail"] for one in again["letters"]} == {p: stand[p] for p in places}
        assert rejected("retry", "--all", "--with", CLOSE)[1]["retried"] == 0
        assert len(log(settings)) == len(after)
        _, listed = rejected("list")
        assert (listed["letters"], listed["waiting"]) == (4, 1)
        assert {row["position"]: row["retried"] for row in listed["rows"] if row["retried"]} == {
            place: stand[place] for place in places
        }
        assert [row["position"] for row in rejected("list", "--waiting")[1]["rows"]] == [refused["position"]]

        # The nonsense is written anew by hand.
        mended = say("eve", "BLOOM", 97, room="hall", seq=1)
        (tmp_path / "mended.json").write_bytes(wire.encode_event(mended) + b"\n")
        short = refused["position"].partition("/")[2]
        assert rejected("retry", short, "--edit", str(tmp_path / "mended.json"))[1]["retried"] == 1
        assert folds(settings).keys() == {"ana", "bea", "eve"}

    project(settings)
    raw = rows(
        settings.database_url,
        "SELECT device_id, type, (extract(epoch FROM timestamp) * 1000)::bigint, collective FROM consciousness_events"
        " ORDER BY timestamp",
    )
    said = sorted([*events, mended], key=lambda event: event.timestamp)
    assert raw == [(e.device_id, e.type, e.timestamp, e.type != "OPT_OUT") for e in said]
    refresh(settings.database_url, "consciousness_field_1min", edition)
    minutes = rows(
        settings.database_url,
        "SELECT extract(epoch FROM bucket)::bigint, blooms FROM consciousness_field_1min ORDER BY 1",
    )

    blooms = Counter(e.timestamp // 60_000 * 60 for e in said if e.type == "BLOOM")
    assert minutes == sorted(blooms.items())
    assert len(minutes) > 1, "cyd counts where the time says: in a minute of before"


def test_show_tells_all_of_a_letter(settings: Settings, rejected: Rejected, capsys: pytest.CaptureFixture) -> None:
    asyncio.run(publish(settings, [Sent(b'{"id": 5}', 0), Sent(b"\xff\x00", 1), Sent(None, 1)]))
    with WorkerProcess(settings):
        asyncio.run(folded(settings))
        _, shown = rejected("show", "0/0/0")
    assert shown["text"] == '{"id": 5}'
    assert shown["hex"] is None
    assert shown["headers"]["reason"] == shown["letter"]["reason"] == shown["now"]["reason"]
    assert shown["letter"]["position"] == f"{settings.events_topic}/0/0/0"
    _, shown = rejected("show", f"{settings.events_topic}/1/0/0")
    assert (shown["text"], shown["hex"]) == (None, "ff00")
    _, shown = rejected("show", "1/1/0")
    assert (shown["text"], shown["hex"], shown["now"]["valid"]) == ("", None, False)
    for words, line in (
        (("show", "1/9/0"), "there is no dead letter"),
        (("retry", "1/9/0"), "there is no dead letter"),
        (("retry", "--all", "--with", "/nowhere/mend"), "--with /nowhere/mend"),
        (("retry", "0/0/0", "--edit", "/nowhere"), "--edit /nowhere"),
    ):
        assert cli.main(["rejected", *words]) == 2
        assert line in capsys.readouterr().err
    assert cli.main(["rejected", "retry", "0/0/0", "--with", "false"]) == 1
    assert "refused\t--with" in capsys.readouterr().out
    assert cli.main(["rejected", "list"]) == cli.main(["rejected", "show", "1/0/0"]) == 0
    assert "3 dead letters, 3 waiting" in capsys.readouterr().out
    assert len(log(settings)) == 3


def test_what_came_too_early_is_valid_later(settings: Settings, rejected: Rejected) -> None:
    early = say("fay", "BLOOM", time.time() + 4 - START_S, room="hall", seq=1)
    asyncio.run(publish(settings, [sent(early, settings)]))
    with WorkerProcess(settings):
        asyncio.run(folded(settings))
        assert rejected("list")[1]["reasons"] == {"future": 1}
        end = time.monotonic() + LIMIT_S
        while not rejected("retry", "--reason", "future")[1]["retried"]:
            assert time.monotonic() < end, "the time never came"
        assert folds(settings) == {"fay": {"BLOOM": 1}}
    assert rejected("list")[1]["letters"] == 1


def test_sent_twice_by_a_crash_before_the_mark_it_counts_once(settings: Settings, rejected: Rejected) -> None:
    event = say("ana", "BLOOM", 5, room="hall", seq=1)
    asyncio.run(publish(settings, [sent(event, settings, broken=True), sent(event, settings)]))
    with WorkerProcess(settings):
        asyncio.run(folded(settings))
        assert rejected("retry", "--all", "--with", CLOSE)[1]["retried"] == 1
        assert folds(settings) == {"ana": {"BLOOM": 1}}
    headers = dict(log(settings)[-1].headers)
    assert headers["letter"].endswith(b"/0/0")
    assert headers.keys() == {"content-type", "letter"}, "no received time of before: it is received when it comes in"
    project(settings)
    assert rows(settings.database_url, "SELECT count(*) FROM consciousness_events") == [(1,)]
