"""COPY of the benchmark's rows into the hypertable of the projector: a new database, the same indexes, one transaction.

The rows are made before the clock starts; it stops after the commit. DATABASE_URL and what else the field needs come
from the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import Connection

from projections.migrate import migrate
from projections.rows import TARGET, copy_file, copy_row, raw_columns
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
PIECE_BYTES = 1 << 20
COLLECTIVE = b"\x01"


def made(count: int, *, devices: int, weights: Mapping[str, int], rooms: int = 0, staged: bool = False) -> list[bytes]:
    """Rows of the hypertable, as COPY takes them; ``staged``: of the projector's staging table."""
    rows = []
    for number, sent in enumerate(load.events(count, devices=devices, rooms=rooms)):
        columns = raw_columns(
            as_event(sent), weights,
            received=sent.timestamp, partition=partition_of(sent.key, load.PARTITIONS), offset=number, index=0,
        )  # fmt: skip
        if not staged:
            columns[TARGET] = COLLECTIVE
        rows.append(copy_row(columns))
    return rows


def copy(connection: Connection[Any], statement: LiteralString, data: memoryview) -> None:
    """All of it into the transaction that is open."""
    with connection.cursor() as cursor, cursor.copy(statement) as into:
        for at in range(0, len(data), PIECE_BYTES):
            into.write(data[at : at + PIECE_BYTES])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    given = parser.parse_args()
    settings = read({name: value for name, value in os.environ.items() if name == "DATABASE_URL"})
    migrate(settings.database_url, retention_days=0)
    rows = made(given.events, devices=given.devices, weights=settings.rules.weights())
    data = memoryview(copy_file(rows))
    with psycopg.connect(settings.database_url) as connection:
        begun, cpu = time.perf_counter(), time.process_time()
        copy(connection, COPY, data)
        connection.commit()
    found = {"events": len(rows), "wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
