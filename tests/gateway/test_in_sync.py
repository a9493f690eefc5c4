"""Events in: acknowledged when they are on the log, at the position that was said; each with its own verdict."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Callable

import httpx

from streams.entry import Entry
from streams.fold.digest import digest, tables
from streams.fold.partition import PartitionFold
from streams.settings import Settings
from streams.table import partition_of
from tests.gateway.devices import SYNC, at, breath, count_of, log_of, reached, touch

OUT, IN = "/api/consciousness/opt-out", "/api/consciousness/opt-in"


async def test_every_event_is_on_the_log_where_the_answer_says(settings: Settings) -> None:
    events = [breath(f"device-{n % 40}", room_id=f"room-{n % 7}", seq=n) for n in range(2_500)]
    async with reached(settings) as it:
        answer = await it.client.post(SYNC, json=events)
        one = await it.client.post(SYNC, json=events[0] | {"id": breath()["id"]})
        wrapped = await it.client.post(SYNC, json={"events": [breath("bea"), breath("bea")]})
        log = await log_of(settings)
    assert [found.status_code for found in (answer, one, wrapped)] == [200, 200, 200]
    told = answer.json()
    assert (told["accepted"], told["rejected"], len(told["events"])) == (2_500, 0, 2_500)
    for sent, said in zip(events, told["events"], strict=True):
        found = at(log, said["position"])
        assert (found.id, found.seq, said["index"]) == (sent["id"], sent["seq"], sent["seq"])
        assert said["position"]["partition"] == partition_of(sent["room_id"], settings.partitions)
    last = {
        str(n): max(s["position"]["offset"] for s in told["events"] if s["position"]["partition"] == n) for n in log
    }
    assert told["positions"] == last
    assert (one.json()["accepted"], wrapped.json()["accepted"]) == (1, 2)
    assert [said["id"] for said in wrapped.json()["events"]] == [
        at(log, s["position"]).id for s in wrapped.json()["events"]
    ]
    assert count_of(log) == 2_503


async def test_what_arrives_together_is_gathered_into_frames(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=2, gateway_gather_ms=200)
    async with reached(settings) as it:
        answers = await asyncio.gather(*(it.client.post(SYNC, json=breath(f"device-{n}")) for n in range(40)))
        log = await log_of(settings)
    assert {answer.json()["accepted"] for answer in answers} == {1}
    assert sum(len(entries) for entries in log.values()) < 10
    ids = [at(log, answer.json()["events"][0]["position"]).device_id for answer in answers]
    assert ids == [f"device-{n}" for n in range(40)]


async def test_a_bad_event_costs_no_other_one(settings: Settings) -> None:
    good = breath("ana"), breath("bea")
    texts = [json.dumps(good[0]), '{"id": 7}', '{"id": NaN}', json.dumps(breath(intensity=2)), "7", json.dumps(good[1])]
    async with reached(settings) as it:
        answer = await it.client.post(
            SYNC, content=f"[{','.join(texts)}]", headers={"content-type": "application/json"}
        )
        wrapped = await it.client.post(
            SYNC, content=f'{{"events": [{",".join(texts)}]}}', headers={"content-type": "application/json"}
        )
        log = await log_of(settings)
    assert (answer.status_code, wrapped.status_code) == (200, 200)
    told = answer.json()
    assert [one["verdict"] for one in told["events"]] == ["accepted", *["rejected"] * 4, "accepted"]
    assert [one.get("reason") for one in told["events"]] == [
        None, "missing_field", "not_finite", "bad_value", "not_an_object", None,
    ]  # fmt: skip
    assert (told["accepted"], told["rejected"]) == (2, 4)
    assert [one["verdict"] for one in wrapped.json()["events"]] == [one["verdict"] for one in told["events"]]
    assert count_of(log) == 4


async def test_nothing_accepted_is_an_error_with_the_same_body(settings: Settings) -> None:
    async with reached(settings) as it:
        answer = await it.client.post(SYNC, json=[breath(intensity=2), breath(type="DANCE")])
        log = await log_of(settings)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    told = answer.json()
    assert (told["code"], told["accepted"], told["rejected"], told["positions"]) == ("rejected", 0, 2, {})
    assert [one["reason"] for one in told["events"]] == ["bad_value", "unknown_type"]
    assert count_of(log) == 0


async def test_gzip_is_understood(settings: Settings) -> None:
    events = [breath(f"device-{n}") for n in range(300)]
    whole = json.dumps(events).encode()
    members = gzip.compress(whole[:1_000]) + gzip.compress(whole[1_000:])
    headers = {"content-type": "application/json; charset=utf-8", "content-encoding": "gzip"}
    async with reached(settings) as it:
        for packed in (gzip.compress(whole), members):
            answer = await it.client.post(SYNC, content=packed, headers=headers)
            assert (answer.status_code, answer.json()["accepted"]) == (200, 300)
        log = await log_of(settings)
    assert count_of(log) == 600


def shards_of(settings: Settings, log: dict[int, list[Entry]]) -> list[bytes]:
    """The records of all shards after the fold of the log."""
    values = []
    for partition, entries in log.items():
        fold = PartitionFold(partition, settings.shards, settings.rules)
        for entry in entries:
            fold.fold(entry.offset, entry.events)
        values += fold.checkpoint("1-test").shard_values
    return values


def folded(settings: Settings, log: dict[int, list[Entry]]) -> dict[str, str]:
    return digest(shards_of(settings, log), settings.rules)


async def test_replayed_requests_add_nothing_to_the_fold(settings: Settings) -> None:
    now = int(time.time() * 1000)
    events = [breath(f"device-{n % 3}", room_id="hall", seq=n, timestamp=now + n) for n in range(50)]
    events += [touch("ana", "bea", timestamp=now + n) for n in range(50, 60)]  # without seq: known by their ids
    async with reached(settings) as it:
        assert (await it.client.post(SYNC, json=events)).json()["accepted"] == 60
        once = await log_of(settings)
        for again in (events, events[:30], events[25:]):
            assert (await it.client.post(SYNC, json=again)).status_code == 200
        log = await log_of(settings)
    assert (count_of(once), count_of(log)) == (60, 185)
    assert folded(settings, log) == folded(settings, once)
    assert folded(settings, once) != folded(settings, {n: [] for n in log})


async def test_opting_out_stands_in_every_partition(settings: Settings) -> None:
    async with reached(settings) as it:
        await it.client.post(SYNC, json=[breath("ana", room_id=f"room-{n}") for n in range(20)])
        out = await it.client.post(OUT, json={"device_id": "ana"})
        back = await it.client.post(IN, json={"device_id": "ana", "timestamp": int(time.time() * 1000)})
        batch = await it.client.post(SYNC, json=[breath("bea"), breath("bea", type="OPT_OUT", data={}), breath("bea")])
        log = await log_of(settings)
    assert (out.status_code, back.status_code, batch.status_code) == (200, 200, 200)
    assert (out.json()["device_id"], out.json()["out"], back.json()["out"]) == ("ana", True, False)
    for answer, kind, device in ((out, "OPT_OUT", "ana"), (back, "OPT_IN", "ana"), (batch, "OPT_OUT", "bea")):
        positions = answer.json()["positions"]
        assert sorted(positions) == [str(n) for n in log]
        for partition, entries in log.items():
            found = [entry for entry in entries if entry.offset <= positions[str(partition)]]
            assert (kind, device) in [(event.type, event.device_id) for entry in found for event in entry.events]
    first, said, last = batch.json()["events"]
    assert at(log, said["position"]).type == "OPT_OUT"
    order = [(one["position"]["offset"], one["position"]["index"]) for one in (first, said, last)]
    assert order == sorted(order)


async def test_a_device_that_opted_out_is_forgotten(settings: Settings) -> None:
    now = int(time.time() * 1000)
    theirs = [breath("bea", room_id=f"room-{n}", seq=n, timestamp=now + n) for n in range(12)]
    async with reached(settings) as it:
        await it.client.post(SYNC, json=theirs)
        alone = await log_of(settings)
        await it.client.post(SYNC, json=[breath("ana", room_id=f"room-{n}", timestamp=now + n) for n in range(12)])
        both = await log_of(settings)
        await it.client.post(OUT, json={"device_id": "ana", "timestamp": now + 100})
        log = await log_of(settings)
    assert present(settings, alone) == present(settings, log) == {"bea"}
    assert present(settings, both) == {"ana", "bea"}


def present(settings: Settings, log: dict[int, list[Entry]]) -> set[str]:
    """The devices that any table of the fold names, but for the one of those that are out."""
    text = str({name: rows for name, rows in tables(shards_of(settings, log)).items() if name != "opt_outs"})
    return {device for device in ("ana", "bea") if f"'{device}'" in text}


async def test_opt_routes_say_what_they_cannot_read(settings: Settings) -> None:
    async with reached(settings) as it:
        for body, status, code in (
            (b"{}", 422, "missing_field"),
            (b"[]", 422, "not_an_object"),
            (b'{"device_id": "a b"}', 422, "bad_id"),
            (b'{"device_id": "ana", "timestamp": "yesterday"}', 422, "bad_timestamp"),
            (b'{"device_id": "ana", "device_id": "bea"}', 400, "duplicate_key"),
            (b"{", 400, "malformed_json"),
        ):
            answer: httpx.Response = await it.client.post(
                OUT, content=body, headers={"content-type": "application/json"}
            )
            assert (answer.status_code, answer.json()["code"]) == (status, code), body
        assert count_of(await log_of(settings)) == 0
