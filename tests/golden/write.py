"""``python -m tests.golden.write log|digests``: write the golden log (once), or the digests that it folds to.

Digests are written anew only with a new ``FOLD_CODE_VERSION`` or new rules, and the change says why.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from streams.events import Event
from streams.fold.digest import digest
from streams.fold.partition import PartitionFold
from streams.fold.rules import DEFAULT_RULES
from streams.validate import Rejection, read_record
from tests.golden.story import Record, story

FOLDER = Path(__file__).parent
LOG = FOLDER / "log.jsonl"
DIGESTS = FOLDER / "digests.json"
SHARDS = 8


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
    values = partition.checkpoint("1-00000000", full=True).shard_values
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


def main(words: list[str]) -> None:
    if words == ["log"]:
        write_log()
    elif words == ["digests"]:
        DIGESTS.write_text(json.dumps(fold(read_log()), indent=2) + "\n")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
