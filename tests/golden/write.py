"""``python -m tests.golden.write log|digests|vectors``: write the golden log (once), or the digests that it folds to;
or the logs of ``schema/golden`` (each once) and their digests.

Digests are written anew only with a new ``FOLD_CODE_VERSION`` or new rules, and the change says why.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from streams.entry import read_entry
from streams.events import Event
from streams.fold.digest import digest
from streams.fold.partition import PartitionFold
from streams.fold.rules import DEFAULT_RULES
from streams.validate import Rejection, read_record
from tests.golden.story import Record, story
from tests.golden.vectors import VECTORS, Line, from_json, to_json

FOLDER = Path(__file__).parent
LOG = FOLDER / "log.jsonl"
DIGESTS = FOLDER / "digests.json"
VECTORS_FOLDER = FOLDER.parent.parent / "schema" / "golden"
SHARDS = 8
TOPIC = "field.events"


def read_log() -> list[Record]:
    """The records of ``log.jsonl``; their place is their offset."""
    records = []
    for offset, line in enumerate(LOG.read_text().splitlines()):
        plain = json.loads(line)
        assert plain["offset"] == offset
        value = base64.b64decode(plain["base64"]) if "base64" in plain else plain["text"].encode()
        records.append(Record(plain["received"], value))
    return records


def fold(records: list[Record]) -> dict[str, Any]:
    """What ``digests.json`` holds, for these records as partition 0."""
    partition = PartitionFold(0, SHARDS, DEFAULT_RULES)
    rejected: dict[str, int] = {}
    for offset, record in enumerate(records):
        items = read_record(record.value, record.received)
        for item in items:
            if isinstance(item, Rejection):
                rejected[item.reason] = rejected.get(item.reason, 0) + 1
        partition.fold(offset, [item for item in items if isinstance(item, Event)])
    values = [value for _, value in partition.checkpoint("1-00000000", full=True).records[:-1]]
    return {
        "fold_version": DEFAULT_RULES.version,
        "shards": SHARDS,
        "counts": partition.counts,
        "rejected": rejected,
        "digests": digest(values, DEFAULT_RULES),
    }


def write_log() -> None:
    """Write the log; refuses to replace one."""
    with LOG.open("x") as file:
        for offset, record in enumerate(story()):
            plain: dict[str, Any] = {"offset": offset, "received": record.received}
            if record.value.isascii():
                plain["text"] = record.value.decode()
            else:
                plain["base64"] = base64.b64encode(record.value).decode()
            file.write(json.dumps(plain) + "\n")


def read_vector(name: str) -> list[Line]:
    """The records of ``schema/golden/<name>/log.jsonl``."""
    return [from_json(line) for line in (VECTORS_FOLDER / name / "log.jsonl").read_text().splitlines()]


def fold_vector(lines: list[Line], shards: int = SHARDS) -> dict[str, Any]:
    """What ``digests.json`` of a vector says of the fold: digests by table, positions, counts, what is rejected."""
    partitions = max(line.partition for line in lines) + 1
    folds = [PartitionFold(number, shards, DEFAULT_RULES) for number in range(partitions)]
    rejected = []
    for line in lines:
        entry = read_entry(line, line.partition, partitions)
        folds[line.partition].fold(line.offset, entry.events)
        items = read_record(line.value, entry.received_ms, content_type=dict(line.headers).get("content-type"))
        place = f"{TOPIC}/{line.partition}/{line.offset}"
        rejected += [f"{place}/{item.index}" for item in items if isinstance(item, Rejection)]
    values = [value for one in folds for _, value in one.checkpoint("1-00000000", full=True).records[:-1]]
    return {
        "tables": digest(values, DEFAULT_RULES),
        "positions": {str(one.partition): one.position for one in folds},
        "partitions": partitions,
        "counts": {name: sum(one.counts[name] for one in folds) for name in folds[0].counts},
        "rejected": rejected,
    }


def describe_vector(name: str) -> dict[str, Any]:
    """All of ``digests.json``: which fold, which log, and what it comes to."""
    log = (VECTORS_FOLDER / name / "log.jsonl").read_bytes()
    return {
        "fold_version": DEFAULT_RULES.version,
        "log_sha256": hashlib.sha256(log).hexdigest(),
        **fold_vector(read_vector(name)),
    }


def write_vectors() -> None:
    """Write the logs that are not there yet, and all digests."""
    for name, make in VECTORS.items():
        folder = VECTORS_FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "log.jsonl"
        if not log.exists():
            log.write_text("".join(to_json(line) + "\n" for line in make().lines))
        (folder / "digests.json").write_text(json.dumps(describe_vector(name), indent=2) + "\n")


def main(words: list[str]) -> None:
    if words == ["log"]:
        write_log()
    elif words == ["digests"]:
        DIGESTS.write_text(json.dumps(fold(read_log()), indent=2) + "\n")
    elif words == ["vectors"]:
        write_vectors()
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
