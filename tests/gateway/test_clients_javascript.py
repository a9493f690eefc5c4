"""The JavaScript client under Node, against a gateway that refuses, asks to wait, is away and is killed."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.faked import ROOT, Fake, Killed, assert_all_there_once, eventually, faked
from tests.gateway.node import NODE, modules

HERE = Path(__file__).parent


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    folder = tmp_path / "fake"
    folder.mkdir()
    with faked(folder) as found:
        yield found


class Script:
    """Runs steps with a client of its own: ``begin`` does not wait for the end, ``end`` returns what it said."""

    def __init__(self, fake: Fake, tmp_path: Path) -> None:
        self.told = {"url": fake.url, "folder": str(tmp_path / "queue"), "modules": str(modules())}
        self.processes: list[subprocess.Popen[str]] = []
        self.limit_bytes: int | None = None
        """Of each file that it writes."""

    def begin(self, *steps: tuple[str, Any], **more: Any) -> subprocess.Popen[str]:
        told = json.dumps({**self.told, **more, "steps": steps})
        command = [NODE, str(HERE / "client_script.mjs"), told]
        if self.limit_bytes is not None:
            command = ["prlimit", f"--fsize={self.limit_bytes}", *command]
        self.processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return self.processes[-1]

    def end(self, process: subprocess.Popen[str]) -> Any:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return json.loads(said)

    def __call__(self, *steps: tuple[str, Any], **more: Any) -> Any:
        return self.end(self.begin(*steps, **more))


@pytest.fixture
def script(fake: Fake, tmp_path: Path) -> Iterator[Script]:
    found = Script(fake, tmp_path)
    yield found
    for process in found.processes:
        process.kill()
        process.communicate()


FLUSH = ("flush", 60_000)


def test_events_arrive_in_order_numbered_and_in_batches(fake: Fake, script: Script) -> None:
    fake.order(status=503)
    going = script.begin(("many", 120), FLUSH)
    eventually(lambda: fake.requests and fake.requests[-1]["events"] == 50, "a full batch waits")
    fake.order()
    said = script.end(going)
    assert said["flushed"] == [True]
    assert (said["stats"]["accepted"], said["stats"]["waiting"]) == (120, 0)
    assert [event["id"] for event in fake.log] == said["ids"]
    assert [event["seq"] for event in fake.log] == list(range(1, 121))
    assert {event["epoch"] for event in fake.log} == {said["epoch"]}
    taken = [request for request in fake.requests if request["status"] == 200]
    assert [request["events"] for request in taken] == [50, 50, 20]
    assert taken[0]["gzip"]
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in said["ids"]} == {(7, uuid.RFC_4122)}


def test_what_was_published_offline_is_sent_by_the_next_start(fake: Fake, script: Script) -> None:
    fake.kill()
    offline = script(("many", 7), ("flush", 50))
    assert (offline["flushed"], offline["stats"]["waiting"]) == ([False], 7)
    fake.revive()
    online = script(("many", 1), FLUSH)
    assert online["epoch"] == offline["epoch"]
    assert [event["id"] for event in fake.log] == offline["ids"] + online["ids"]
    assert [event["seq"] for event in fake.log] == list(range(1, 9))
    later = script(("many", 1), FLUSH)
    assert fake.log[-1]["seq"] == 9, "the counter outlives an empty queue"
    assert later["flushed"] == [True]


def test_rejected_events_are_told_and_hold_nothing_up(fake: Fake, script: Script) -> None:
    good = {"type": "BREATH", "intensity": 0.7, "data": {"phase": 1}}
    said = script(("publish", good | {"intensity": 7}), ("publish", good), ("publish", {"type": "NOTHING"}), FLUSH)
    bad, kept, odd = said["ids"]
    assert [event["id"] for event in fake.log] == [kept]
    assert [(one["event"]["id"], one["reason"]) for one in said["rejected"]] == [
        (bad, "bad_value"),
        (odd, "unknown_type"),
    ]


def test_retry_after_is_honoured(fake: Fake, script: Script) -> None:
    fake.order(status=503, retry_after="1")
    going = script.begin(("many", 1), FLUSH)
    eventually(lambda: fake.requests, "the first request")
    fake.order()
    assert script.end(going)["flushed"] == [True]
    first, second = fake.requests
    assert second["at"] - first["at"] >= 1


@pytest.mark.parametrize("status", [200, 403, 404, 422])
def test_what_no_gateway_says_drops_nothing(status: int, fake: Fake, script: Script) -> None:
    fake.order(status=status, say="<html>Log in to the hotel's network</html>")
    going = script.begin(("many", 1), FLUSH)
    eventually(lambda: len(fake.requests) >= 2, "it tries again")
    fake.order()
    said = script.end(going)
    assert [event["id"] for event in fake.log] == said["ids"]


def test_a_refused_token_is_replaced(fake: Fake, script: Script) -> None:
    fake.order(token="right")
    said = script(("many", 1), FLUSH, token="old", tokens=[None, "wrong", "right"])
    assert said["flushed"] == [True]
    assert [request["token"] for request in fake.requests][-2:] == ["Bearer wrong", "Bearer right"]


def test_batches_shrink_until_they_are_taken(fake: Fake, script: Script) -> None:
    fake.order(events_max=13)
    said = script(("many", 200), FLUSH)
    assert_all_there_once(fake.log, said["ids"])
    assert max(request["events"] for request in fake.requests if request["status"] == 200) == 13


def test_an_event_that_is_refused_alone_is_dropped(fake: Fake, script: Script) -> None:
    fake.order(events_max=0)
    said = script(("many", 5), FLUSH)
    assert [one["event"]["id"] for one in said["rejected"]] == said["ids"]


@pytest.mark.parametrize("storage", ["file", "local", "indexed"])
def test_a_full_queue_drops_the_oldest_and_counts_them(storage: str, fake: Fake, script: Script) -> None:
    fake.order(status=503)
    going = script.begin(("many", 17), ("reopen", 0), ("flush", 300), FLUSH, queueMax=10, storage=storage)
    eventually(lambda: fake.requests, "a request")
    fake.order()
    said = script.end(going)
    assert said["stats"]["dropped"] == 7
    assert_all_there_once(fake.log, said["ids"][-10:])  # what was on its way when it was opened again came twice


def test_a_full_disk_of_the_browser_makes_room_for_the_present(fake: Fake, script: Script) -> None:
    fake.kill()
    said = script(("many", 60), storage="local", quota=5_000)
    assert len(said["ids"]) == 60
    assert said["stats"]["dropped"] + said["stats"]["waiting"] == 60
    assert 5 < said["stats"]["waiting"] < 40


def test_a_disk_that_takes_half_a_line_takes_none_of_it(fake: Fake, script: Script) -> None:
    """What was stored is there after all, and what follows the half can be read."""
    fake.kill()
    full = script(
        ("notes", [100, 2_000]), ("room", 1_500), ("notes", [3_000, 3_000]), ("room", None), ("notes", [100, 3_000]),
        ("room", 1_500), ("cuts", False), ("notes", [3_000, 3_000]), ("room", None), ("notes", [10]),
        ("cuts", True), ("notes", [100]), ("room", 700), ("notes", [3_000]),
    )  # fmt: skip
    assert full["errors"] == ["ENOSPC", "ENOSPC", "ENOSPC", "Error", "Error", "ENOSPC"]
    assert len(full["ids"]) == full["stats"]["waiting"] == 5
    fake.revive()
    again = script(("notes", [100]), FLUSH)
    assert [event["id"] for event in fake.log] == full["ids"] + again["ids"]
    assert again["stats"]["waiting"] == 0


def test_the_end_of_the_room_that_the_system_gives(fake: Fake, script: Script) -> None:
    """The same without a stand-in: a file may grow to so many bytes, and what would pass that is cut off there."""
    fake.kill()
    script.limit_bytes = 20_000
    full = script(("notes", [6_000] * 5), ("notes", [100]))
    assert full["errors"] == ["EFBIG"] * 2
    assert len(full["ids"]) == 4
    script.limit_bytes = None
    fake.revive()
    assert script(FLUSH)["flushed"] == [True]
    assert [event["id"] for event in fake.log] == full["ids"]


def test_a_queue_that_did_not_open_for_want_of_room_opens_later(fake: Fake, script: Script) -> None:
    fake.kill()
    said = script(("notes", [1_000]), ("room", 700), ("reopen", 0), ("room", None), ("reopen", 0), ("notes", [100]))
    assert said["errors"] == ["Error: no space left on device"]
    fake.revive()
    assert script(FLUSH)["flushed"] == [True]
    assert [event["id"] for event in fake.log] == said["ids"]


def test_a_journal_that_cannot_be_written_anew_goes_on(script: Script) -> None:
    said = script(("crowd", 10_001))
    assert said["errors"] == []
    (kept, before), (anew, after) = said["journal"]
    assert kept == anew == ["journal"]
    assert before > 100_000 > 10_000 > after
    assert said["entries"] == [["large", 1_000], ["small", "last Infinity"]]


def test_storage_that_may_forget_has_a_new_epoch_each_time(fake: Fake, script: Script) -> None:
    said = script(("many", 3), FLUSH, ("reopen", 0), ("many", 3), FLUSH, storage="local")
    assert_all_there_once(fake.log, said["ids"])
    assert fake.log[0]["epoch"] < fake.log[-1]["epoch"] == said["epoch"]


def test_a_queue_belongs_to_one_device_and_one_process(fake: Fake, script: Script) -> None:
    said = script(("second", 0), ("many", 1), FLUSH)
    assert "another process has" in said["errors"][0]
    assert said["flushed"] == [True]
    ben = subprocess.run(
        [NODE, str(HERE / "client_script.mjs"), json.dumps({**script.told, "device": "ben", "steps": []})],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "belongs to ana" in ben.stderr


def test_what_cannot_be_an_event_is_refused_at_once(fake: Fake, script: Script) -> None:
    said = script(("nan", 0), ("large", 0), ("many", 1), FLUSH)
    assert [error.split(":")[0] for error in said["errors"]] == ["RangeError", "RangeError"]
    assert [event["id"] for event in fake.log] == said["ids"]


def test_backoff_has_full_jitter_within_its_bounds(script: Script) -> None:
    said = script(storage="memory")
    assert said["delays"] == [[0, 500], [0, 4_000], [0, 16_000], [0, 60_000]]
    assert said["asked"] == 7_500


def test_the_example_runs_where_it_is_copied_to(fake: Fake, tmp_path: Path) -> None:
    here = shutil.copytree(ROOT / "schema/clients/javascript", tmp_path / "copy")
    command = [NODE, "example.mjs", "ana", "hall", "1"]
    done = subprocess.run(
        command, cwd=here, env={"FIELD_URL": fake.url}, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "accepted: 1" in done.stdout
    assert [event["device_id"] for event in fake.log] == ["ana"]


def test_it_needs_no_other_module() -> None:
    text = (ROOT / "schema/clients/javascript/field-device.mjs").read_text()
    assert not re.search(r"^import |\bimport\(|\brequire\(", text, re.MULTILINE)
    node = (ROOT / "schema/clients/javascript/field-device-node.mjs").read_text()
    assert set(re.findall(r'from "([^"]+)"', node)) <= {
        "node:crypto", "node:fs", "node:net", "node:os", "node:path", "./field-device.mjs"
    }  # fmt: skip


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_killed_at_any_moment_nothing_is_lost_or_counted_twice(seed: int, fake: Fake, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    command = [NODE, str(HERE / "client_process.mjs"), fake.url, str(tmp_path / "queue"), str(noted)]
    client = Killed(command, {}, noted)
    fake.order(die=0.03, seed=seed)
    client.rounds(fake, random.Random(seed), 6)
    fake.order()
    client.last(fake)
    assert len(client.published) > 8
    assert_all_there_once(fake.log, client.published)
