"""All examples of ``schema/`` through the real worker: every bad one is a dead letter, nothing else is affected."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import schema
from streams import topics
from streams.validate import REASONS
from tests.workers import Sent, WorkerProcess, expected, folded, found, instance, publish, read_topic

EXAMPLES = Path(schema.__file__).parent / "examples"
ALL_BAD = ("bad/bad_id_frame.bin",)
"""Batches in which every event is bad, for the same reason."""
MANIFEST: dict[str, Any] = json.loads((EXAMPLES / "manifest.json").read_bytes())


def sent(entry: dict[str, Any], partition: int) -> Sent:
    headers = [("received", b"%d" % MANIFEST["received_ms"])]
    if "content_type" in entry:
        headers.append(("content-type", entry["content_type"].encode()))
    return Sent((EXAMPLES / entry["file"]).read_bytes(), partition, tuple(headers))


async def test_every_example_ends_where_it_belongs(kafka: str, tmp_path: Path) -> None:
    settings = instance(kafka, tmp_path, flood_share=2.0)
    await topics.create(settings)
    pairs = zip_longest(MANIFEST["bad"], MANIFEST["good"])
    entries = [entry for pair in pairs for entry in pair if entry is not None]
    await publish(settings, [sent(entry, 0) for entry in entries])
    with WorkerProcess(settings):
        follower = await folded(settings)
        letters = await read_topic(settings, settings.rejected_topic)
        assert found(follower, settings) == await expected(settings)
    wanted = {
        f"{settings.events_topic}/0/{offset}/{index}": entry["reason"]
        for offset, entry in enumerate(entries)
        if "reason" in entry
        for index in (range(entry["items"]) if entry["file"] in ALL_BAD else [entry["index"]])
    }
    assert {letter.key.decode(): dict(letter.headers)["reason"].decode() for letter in letters} == wanted
    assert len(letters) == len(wanted)
    assert set(wanted.values()) == set(REASONS)
    originals = {entry["file"]: sent(entry, 0).value for entry in entries}
    by_key = {letter.key.decode(): letter.value for letter in letters}
    for offset, entry in enumerate(entries):
        if "reason" in entry and entry["items"] == 1 and not (originals[entry["file"]] or b"").startswith(b"["):
            assert by_key[f"{settings.events_topic}/0/{offset}/{entry['index']}"] == originals[entry["file"]]
