"""The Python client against a gateway that refuses, asks to wait, is away and is killed; the client is killed too."""

from __future__ import annotations

import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from field_device import Device, Policy, Rejected, Store, StoreError, delay_s, new_id, pseudonym
from field_device.sending import Reply, understand

from tests.gateway.faked import ROOT, Fake, Killed, assert_all_there_once, eventually, faked

QUICK = Policy(batch_events=50, linger_s=0.005, timeout_s=5.0, backoff_base_s=0.02, backoff_max_s=0.1)
CLIENT = ROOT / "schema/clients/python"
BREATH: dict[str, Any] = {"room_id": "hall", "data": {"phase": 0.5}}


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    folder = tmp_path / "fake"
    folder.mkdir()
    with faked(folder) as found:
        yield found


def test_events_arrive_in_order_numbered_and_in_batches(fake: Fake, tmp_path: Path) -> None:
    fake.kill()  # so that they gather
    with Device("ana", fake.url, tmp_path / "queue", policy=QUICK) as device:
        ids = [device.publish("BREATH", 0.5, **BREATH) for _ in range(120)]
        fake.revive()
        assert device.flush(60)
        assert (device.stats.accepted, device.stats.waiting, device.stats.rejected) == (120, 0, 0)
    assert [event["id"] for event in fake.log] == ids
    assert [event["seq"] for event in fake.log] == list(range(1, 121))
    assert {event["epoch"] for event in fake.log} == {device._store.epoch}
    assert [request["events"] for request in fake.requests] == [50, 50, 20]
    assert fake.requests[0]["gzip"]


def test_what_was_published_offline_is_sent_by_the_next_start(fake: Fake, tmp_path: Path) -> None:
    fake.kill()
    offline = Device("ana", fake.url, tmp_path / "queue", policy=QUICK)
    ids = [offline.publish("BREATH", 0.5, **BREATH) for _ in range(7)]
    assert not offline.flush(0.05)
    offline.close(0.05)
    fake.revive()
    with Device("ana", fake.url, tmp_path / "queue", policy=QUICK) as device:
        ids.append(device.publish("BREATH", 0.5, **BREATH))
        assert device.flush(60)
    assert_all_there_once(fake.log, ids)
    assert [event["seq"] for event in fake.log] == list(range(1, 9))


FULL = """
import json, os, resource, sys
from field_device import Store, StoreError

def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def add(store, size):
    try:
        added = store.add([{"id": f"{number}-{one}", "note": "x" * size} for one in (1, 2)])
        kept.extend(event["id"] for event in added)
    except StoreError:
        refused.append(number)

kept, refused = [], []
store = Store(sys.argv[1], "ana", 1_000)
for number in range(60):
    if number % 10 == 3:
        room(os.path.getsize(sys.argv[1] + "-wal") + 50_000)  # one of two large events and some small ones
    if number % 10 == 9:
        room(resource.RLIM_INFINITY)
    add(store, 20_000 if number % 2 else 100)
print(json.dumps([kept, refused, store.waiting, store.last_seq]))
if sys.argv[2] == "close":
    store.close()
"""
"""Adds pairs to a queue while the system lets its files grow, or not, or a little; says what was stored."""


@pytest.mark.parametrize("end", ["close", "die"])
def test_a_full_disk_loses_nothing_that_was_stored(end: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "queue"), end]
    environ = {**os.environ, "PYTHONPATH": str(CLIENT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    kept, refused, waiting, last = json.loads(done.stdout)
    assert len(kept) >= 50
    assert {3, 5, 7} <= {number % 10 for number in refused}
    assert any(number % 2 == 0 for number in set(range(60)) - set(refused) if number % 10 > 3), "a little room"
    assert {number for number in range(60) if number % 10 in (0, 1, 2, 9)}.isdisjoint(refused), "there was room"
    store = Store(tmp_path / "queue", "ana", 1_000)
    found = [json.loads(one.text) for one in store.first(1_000, 10**9)]
    assert [event["id"] for event in found] == kept
    assert [event["seq"] for event in found] == list(range(1, len(kept) + 1))
    assert (store.waiting, store.last_seq) == (waiting, last) == (len(kept), len(kept))
    store.close()


def test_a_new_queue_has_a_higher_epoch(fake: Fake, tmp_path: Path) -> None:
    epochs = []
    for name in ("a", "b", "b"):
        store = Store(tmp_path / name, "ana", 10)
        epochs.append(store.epoch)
        store.close()
        eventually(lambda last=epochs[-1]: Store(tmp_path / f"{random.random()}", "x", 1).epoch > last, "a later clock")
    assert epochs[0] < epochs[1] == epochs[2]


def test_rejected_events_are_told_and_hold_nothing_up(fake: Fake, tmp_path: Path) -> None:
    told: list[Rejected] = []

    def heard(rejected: Rejected) -> None:
        told.append(rejected)
        raise RuntimeError("the sender goes on")

    with Device("ana", fake.url, tmp_path / "queue", policy=QUICK, on_rejected=heard) as device:
        bad = device.publish("BREATH", 7, **BREATH)
        good = device.publish("BREATH", 0.7, **BREATH)
        odd = device.publish("NOTHING", 0.7)
        assert device.flush(60)
        assert (device.stats.accepted, device.stats.rejected) == (1, 2)
    assert [event["id"] for event in fake.log] == [good]
    assert [(one.event["id"], one.reason) for one in told] == [(bad, "bad_value"), (odd, "unknown_type")]


def test_retry_after_is_honoured(fake: Fake, tmp_path: Path) -> None:
    fake.order(status=503, retry_after="1")
    with Device("ana", fake.url, tmp_path / "queue", policy=QUICK) as device:
        device.publish("BREATH", 0.5, **BREATH)
        eventually(lambda: fake.requests, "the first request")
        fake.order()
        assert device.flush(60)
    first, second = fake.requests
    assert (first["status"], second["status"]) == (503, 200)
    assert second["at"] - first["at"] >= 1


@pytest.mark.parametrize("say", ["<html>Log in to the hotel's network</html>", '{"message": "who are you"}'])
@pytest.mark.parametrize("status", [200, 403, 404, 422, 500])
def test_what_no_gateway_says_drops_nothing(say: str, status: int, fake: Fake, tmp_path: Path) -> None:
    fake.order(status=status, say=say)
    with Device("ana", fake.url, tmp_path / "queue", policy=QUICK) as device:
        id = device.publish("BREATH", 0.5, **BREATH)
        eventually(lambda: len(fake.requests) >= 2, "it tries again")
        fake.order()
        assert device.flush(60)
    assert [event["id"] for event in fake.log] == [id]


def test_a_refused_token_is_replaced(fake: Fake, tmp_path: Path) -> None:
    tokens = iter([None, "wrong", "right"])
    fake.order(token="right")
    queue = tmp_path / "queue"
    with Device("ana", fake.url, queue, token="old", new_token=lambda: next(tokens), policy=QUICK) as device:
        id = device.publish("BREATH", 0.5, **BREATH)
        assert device.flush(60)
    assert [event["id"] for event in fake.log] == [id]
    assert [request["token"] for request in fake.requests][-2:] == ["Bearer wrong", "Bearer right"]


def test_batches_shrink_until_they_are_taken(fake: Fake, tmp_path: Path) -> None:
    fake.kill()
    with Device("ana", fake.url, tmp_path / "queue", policy=QUICK) as device:
        ids = [device.publish("BREATH", 0.5, **BREATH) for _ in range(50)]
        fake.order(events_max=13)
        fake.revive()
        assert device.flush(60)
    assert_all_there_once(fake.log, ids)
    assert [request["events"] for request in fake.requests][:4] == [50, 25, 12, 13]
    assert max(request["events"] for request in fake.requests if request["status"] == 200) == 13


def test_an_event_that_is_refused_alone_is_dropped(fake: Fake, tmp_path: Path) -> None:
    fake.order(events_max=0)
    told: list[Rejected] = []
    with Device("ana", fake.url, tmp_path / "queue", policy=QUICK, on_rejected=told.append) as device:
        ids = [device.publish("BREATH", 0.5, **BREATH) for _ in range(5)]
        assert device.flush(60)
    assert [one.event["id"] for one in told] == ids
    assert {one.reason for one in told} == {"too_large"}


def test_a_full_queue_drops_the_oldest_and_counts_them(fake: Fake, tmp_path: Path) -> None:
    fake.kill()
    queue = tmp_path / "queue"
    with Device("ana", fake.url, queue, policy=QUICK, queue_events_max=10) as device:
        ids = [device.publish("BREATH", 0.5, **BREATH) for _ in range(14)]
        ids += device.publish_many([{"type": "TOUCH", "intensity": 1}] * 3)
        assert (device.stats.waiting, device.stats.dropped) == (10, 7)
        device.close(0.01)
    fake.revive()
    with Device("ana", fake.url, queue, policy=QUICK, queue_events_max=10) as device:
        assert device.stats.dropped == 7
        assert device.flush(60)
    assert [event["id"] for event in fake.log] == ids[-10:]


def test_pseudonyms_before_anything_is_stored(fake: Fake, tmp_path: Path) -> None:
    key = b"a key"
    with Device("ana", fake.url, tmp_path / "queue", pseudonym_key=key, policy=QUICK) as device:
        device.publish("TOUCH", 1, user_id="ben", data={"target_device": "cleo"}, room_id="hall")
        device.publish("BREATH", 1, user_id=pseudonym(key, "user", "ben"), data={"phase": 1})
        assert device.flush(60)
    touch, breath = fake.log
    assert touch["device_id"] == breath["device_id"] == pseudonym(key, "device", "ana")
    assert touch["user_id"] == breath["user_id"] == pseudonym(key, "user", "ben") != pseudonym(key, "device", "ben")
    assert (touch["data"]["target_device"], touch["room_id"]) == (pseudonym(key, "device", "cleo"), "hall")
    assert re.fullmatch(r"p\.[0-9a-f]{32}", touch["user_id"])


def test_pseudonyms_are_the_gateways() -> None:
    vectors = json.loads((ROOT / "schema/golden/pseudonyms.json").read_text())["vectors"]
    assert vectors
    for one in vectors:
        assert pseudonym(one["key"].encode(), one["kind"], one["id"]) == one["pseudonym"]


def test_a_queue_belongs_to_one_device_and_one_process(fake: Fake, tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    with Device("ana", fake.url, queue, policy=QUICK), pytest.raises(StoreError, match="locked"):
        Store(queue, "ana", 10)
    with pytest.raises(StoreError, match="belongs to ana"):
        Store(queue, "ben", 10)


def test_what_cannot_be_an_event_is_refused_at_once(tmp_path: Path) -> None:
    with Device("ana", "http://127.0.0.1:1", tmp_path / "queue", policy=QUICK) as device:
        with pytest.raises(ValueError):
            device.publish("BREATH", float("nan"))
        with pytest.raises(ValueError, match="65000"):
            device.publish("BREATH", 0.5, data={"note": "x" * 70_000})
        assert device.stats.waiting == 0
    with pytest.raises(StoreError, match="closed"):
        device.publish("BREATH", 0.5)


def test_backoff_has_full_jitter_within_its_bounds() -> None:
    policy = Policy(backoff_base_s=1, backoff_max_s=30, retry_after_max_s=100)
    for failures, bound in ((0, 1), (3, 8), (5, 30), (10_000, 30)):
        found = [delay_s(failures, None, policy) for _ in range(200)]
        assert 0 <= min(found) < bound * 0.2
        assert bound * 0.8 < max(found) <= bound
    assert all(7 <= delay_s(9, 7.0, policy) <= 8 for _ in range(100))
    assert 100 <= delay_s(0, 1e9, policy) <= 101


def test_retry_after_may_be_a_date_or_nonsense() -> None:
    def wait(value: str) -> float | None:
        return understand(Reply(503, {"retry-after": value}, b""), 1).retry_after_s

    assert wait("17") == 17
    assert wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (wait("Fri, 31 Dec 9999 23:59:59 GMT") or 0) > 1e9
    assert wait("soon") is None


def test_ids_are_version_7_and_rise() -> None:
    ids = [new_id() for _ in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)


def test_the_example_runs_where_it_is_copied_to(fake: Fake, tmp_path: Path) -> None:
    here = shutil.copytree(CLIENT, tmp_path / "copy")
    env = {"FIELD_URL": fake.url, "PATH": os.environ["PATH"]}
    command = [sys.executable, "example.py", "ana", "hall", "1"]
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "accepted=1" in done.stdout
    assert [event["device_id"] for event in fake.log] == ["ana"]


def test_it_needs_the_standard_library_only() -> None:
    for path in CLIENT.rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
        assert names <= sys.stdlib_module_names | {"field_device"}, path


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_killed_at_any_moment_nothing_is_lost_or_counted_twice(seed: int, fake: Fake, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    command = [sys.executable, "-m", "tests.gateway.client_process", fake.url, str(tmp_path / "queue"), str(noted)]
    client = Killed(command, {"PYTHONPATH": str(CLIENT)}, noted)
    fake.order(die=0.03, seed=seed)
    client.rounds(fake, random.Random(seed), 6)
    fake.order()
    client.last(fake)
    assert len(client.published) > 8
    assert_all_there_once(fake.log, client.published)
