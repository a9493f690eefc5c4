"""The Redis page and the schema of the snapshot say what the publisher writes."""

from __future__ import annotations

import json

import msgspec
from jsonschema import Draft202012Validator

from projections.hot import Names, snapshot
from schema.generate import ROOT
from streams.changes import load_view, merge
from streams.events import Event
from streams.fold.partition import PartitionFold
from streams.settings import Settings
from streams.validate import read_record
from tests.golden.write import read_log

PAGE = (ROOT / "redis.md").read_text()


def test_every_key_and_channel_is_on_the_page():
    assert all(f"| `{name}` |" in PAGE for name in Names.of("live"))
    assert all(name.startswith("g2:") for name in Names.of("g2"))


def test_a_snapshot_fits_its_schema():
    fold = PartitionFold(0, 4)
    for offset, record in enumerate(read_log()):
        fold.fold(offset, [one for one in read_record(record.value, record.received) if isinstance(one, Event)])
    views = [load_view(value) for value in fold.checkpoint("1-00000000").shard_values]
    reading = merge(views, fold.watermark)
    assert reading.rooms
    assert reading.pairs
    assert reading.particles
    plain = msgspec.to_builtins(snapshot(reading, reading, {0: fold.position}, fold.watermark, Settings()))
    schema = Draft202012Validator(json.loads((ROOT / "reading/v1.json").read_bytes()))
    schema.validate(plain)
    for name in plain:
        assert not schema.is_valid({key: value for key, value in plain.items() if key != name}), name
