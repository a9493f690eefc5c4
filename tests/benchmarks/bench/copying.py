"""COPY of the benchmark's rows into the hypertable of the projector: a new database, the same indexes, one transaction.

The rows are made before the clock starts; it stops after the commit. DATABASE_URL and what else the field needs come
from the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import psycopg

from projections.migrate import migrate
from projections.rows import RAW_TYPES, raw_row
from streams.settings import read
from streams.table import partition_of
from tests.benchmarks.bench import load
from tests.benchmarks.bench.stage import as_event

COPY = """
COPY consciousness_events (
    id, routing_key, device_id, user_id, room_id, type, data, position, z, intensity, resonance, collective,
    timestamp, received, log_partition, log_offset, log_index
) FROM STDIN (FORMAT BINARY)
"""
TARGET = 11  # the place of the target in a raw row, where the table has whether the row is collective
TYPES = (*RAW_TYPES[:TARGET], "bool", *RAW_TYPES[TARGET + 1 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    given = parser.parse_args()
    settings = read({name: value for name, value in os.environ.items() if name == "DATABASE_URL"})
    migrate(settings.database_url, retention_days=0)
    weights, rows = settings.rules.weights(), []
    for number, sent in enumerate(load.events(given.events, devices=given.devices)):
        row = raw_row(
            as_event(sent), weights,
            received=sent.timestamp, partition=partition_of(sent.key, load.PARTITIONS), offset=number, index=0,
        )  # fmt: skip
        rows.append((*row[:TARGET], True, *row[TARGET + 1 :]))
    with psycopg.connect(settings.database_url) as connection:
        begun, cpu = time.perf_counter(), time.process_time()
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.set_types(TYPES)
            for row in rows:
                copy.write_row(row)
        connection.commit()
    found = {"events": len(rows), "wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
