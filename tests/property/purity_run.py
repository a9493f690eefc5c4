"""Folds one made-up log and prints what came out; run by test_purity in processes of their own.

``python -m tests.property.purity_run SEED`` prints digests, changes and record values as JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from random import Random

import msgspec

from streams.fold.rules import Rules
from tests.property.adapter import Field
from tests.property.strategies import ROW_BYTES, made, split


def main() -> None:
    source = Random(int(sys.argv[1]))
    world = made(source.randbytes(8), [source.randbytes(ROW_BYTES) for _ in range(600)], {"seats": 2}, False)
    field = Field(Rules(**world.rules), partitions=2)
    changes = []
    for events in split(world.arrivals, [7]):
        field.publish(events)
        for number, fold in enumerate(field.folds):
            taken = fold.checkpoint("1-00000001")
            field.changelogs[number].extend(taken.records)
            changes += [value.hex() for _key, value in taken.changes]
    values = b"".join(sorted(value for changelog in field.changelogs for _, value in changelog))
    out = {
        "digest": field.digest(),
        "changes": hashlib.sha256("\n".join(changes).encode()).hexdigest(),
        "values": hashlib.sha256(values).hexdigest(),
        "reading": msgspec.to_builtins(field.reading(world.watermark)),
    }
    print(json.dumps(out, sort_keys=True))


if __name__ == "__main__":
    main()
