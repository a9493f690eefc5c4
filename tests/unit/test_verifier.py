"""The verifier reads bytes as the validator does: one verdict, the same event, the same canonical text."""

from __future__ import annotations

import json
import random
import struct
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.examples import records
from schema.generate import ROOT
from streams import wire
from streams.events import BLOOM, BREATH, ENTANGLE, FIELD, SACRED_PHRASE, TIMESTAMP_MS_MAX, Entangle, Event
from streams.table import partition_of
from streams.validate import read_record
from tests.documents import events, mutated, plain_values
from tests.verifying import verifier, verifier_events

MANIFEST: dict[str, Any] = json.loads((ROOT / "examples/manifest.json").read_bytes())
REMEMBERED = (BLOOM, SACRED_PHRASE, FIELD)
encode = msgspec.json.Encoder(order="deterministic").encode


def plain(event: Event) -> list[Any]:
    """An event as the verifier's, with the part of ``data`` that the fold keeps."""
    data: Any = msgspec.to_builtins(event.data) if event.type in REMEMBERED else None
    if event.type == BREATH:
        data = event.data.phase
    elif isinstance(event.data, Entangle):
        data = (event.data.kind, event.data.intensity)
    spot = None if event.x is None else (event.x, event.y, event.z)
    seq = -1 if event.seq is None else event.seq
    return [
        event.timestamp, event.id, event.device_id, event.epoch, seq, event.type, event.key, event.room_id,
        event.target, event.intensity, spot, data,
    ]  # fmt: skip


def verified(event: Any) -> list[Any]:
    data: Any = {name: value for name, value in event.data.items() if value != []}
    if event.kind == BREATH:
        data = data["phase"]
    elif event.kind == ENTANGLE:
        data = (data.get("kind", "bond"), data.get("intensity", 1.0))
    return [*event[:-1], data if event.kind in (*REMEMBERED, BREATH, ENTANGLE) else None]


def agree(value: bytes | None, received: int = TIMESTAMP_MS_MAX, header: bytes | None = None) -> None:
    theirs = [
        plain(item) if isinstance(item, Event) else None for item in read_record(value, received, content_type=header)
    ]
    ours = [None if event is None else verified(event) for event in verifier_events.read(value, received, header)]
    assert encode(ours) == encode(theirs)  # as text: 1 is not 1.0, and zero has two signs


@pytest.mark.parametrize("entry", [*MANIFEST["good"], *MANIFEST["bad"]], ids=lambda entry: entry["file"])
def test_examples_have_one_verdict(entry: dict[str, Any]) -> None:
    header = entry["content_type"].encode() if "content_type" in entry else None
    agree((ROOT / "examples" / entry["file"]).read_bytes(), MANIFEST["received_ms"], header)


@given(mutated())
@settings(max_examples=1_500, deadline=None)
def test_mutated_documents_have_one_verdict(document: object) -> None:
    value = json.dumps(document).encode()
    agree(value)
    agree(b"[" + value + b"," + value + b"]")


@given(st.lists(plain_values, max_size=3), st.data())
@settings(max_examples=300, deadline=None)
def test_other_json_has_one_verdict(values: list[object], data: st.DataObject) -> None:
    text = json.dumps(values).encode()
    agree(text)
    at = data.draw(st.integers(0, len(text)))
    agree(text[:at] + data.draw(st.sampled_from([b"", b",", b"]", b'"', b"{", b"\\", b"\xff"])) + text[at + 1 :])


@given(st.lists(events(), min_size=1, max_size=4))
@settings(max_examples=500, deadline=None)
def test_every_form_of_an_event_is_read_alike(batch: list[Event]) -> None:
    agree(wire.encode_event(batch[0]))
    agree(wire.encode_batch(batch))
    agree(wire.encode_frame(batch))


@given(st.lists(events(), min_size=1, max_size=3), st.data())
@settings(max_examples=1_000, deadline=None)
def test_well_sealed_nonsense_has_one_verdict(batch: list[Event], data: st.DataObject) -> None:
    frame = bytearray(wire.encode_frame(batch))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(4, len(frame) - 1))] = data.draw(st.sampled_from([0, 1, 2, 9, 34, 127, 128, 255]))
    frame[12:16] = struct.pack("<I", len(frame) - 20)
    frame[16:20] = struct.pack("<I", zlib.crc32(frame[20:], zlib.crc32(frame[:16])))
    agree(bytes(frame))


TIMES = (
    "1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00-00:01", "1970-01-01T01:00:00+00:01",
    "1969-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z", "9999-12-31T00:00:00-00:00", "9999-12-31T23:59:59+23:59",
    "2024-02-29t12:00:00.9999z", "2023-02-29T12:00:00Z", "2000-02-29T12:00:00Z", "1900-02-29T12:00:00Z",
    "2025-06-15T24:00:00Z", "2025-06-15T23:60:00Z", "2025-06-15T23:59:60Z", "2025-06-15T23:59:59", "2025-06-15",
    "2025-06-15T23:59:59.Z", "2025-06-15T23:59:59." + "1" * 65 + "Z", "2025-06-15T23:59:59.1+24:00",
    "2025-13-01T00:00:00Z", "2025-00-01T00:00:00Z", "2025-06-31T00:00:00Z", "2025-06-15 10:00:00Z", "\uff12025-06-15",
    "2025-06-15T10:00:00+05:45", "2025-06-15T10:00:00Z\n", 0, -1, -0.5, -0.0, 0.9, 1e3, 1.5e12, TIMESTAMP_MS_MAX,
    TIMESTAMP_MS_MAX + 1, TIMESTAMP_MS_MAX + 0.5, True, None, [], "", "1750000000000",
)  # fmt: skip


@pytest.mark.parametrize("time", TIMES, ids=ascii)
def test_times_have_one_verdict(time: object) -> None:
    agree(json.dumps({"id": "0197746f-0000-7000-8000-00000000000A", "type": "OPT_OUT", "device_id": "a",
                      "timestamp": time, "v": 1}).encode())  # fmt: skip


def test_numbers_are_written_as_the_digest_does() -> None:
    chance = random.Random(5)
    numbers = [0.0, -0.0, 1.0, 1e-5, 9.999e-6, 1e-6, 1.5e-5, 5e-324, 1e9, 1e15, 1e16, 1.7976931348623157e308, 1e22]
    numbers += [chance.uniform(-1, 1) * 10 ** chance.uniform(-12, 18) for _ in range(20_000)]
    numbers += [
        round(chance.uniform(-1, 1), chance.randrange(9)) * 10.0 ** chance.randrange(-8, 9) for _ in range(20_000)
    ]
    for one in numbers:
        row = ["1e-05", -one, {"b": 5, "a": [one, None, True]}]
        assert verifier.canonical(row) == encode(row)


def test_partitions_are_those_of_kafka() -> None:
    chance = random.Random(6)
    for size in range(1, 65):
        key = "".join(chance.choices("abcXYZ019_.:-", k=size))
        assert verifier_events.home(key, 7) == partition_of(key, 7)


def test_every_example_of_a_bad_record_is_tried() -> None:
    assert len(MANIFEST["bad"]) == len(list(records.bad()))
