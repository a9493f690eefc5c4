"""What stands in every tier, as rows by the keys that ``oracle_log`` uses. Reads only, by plain SELECTs."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import Any

import psycopg
from redis import Redis

from projections.hot import Names
from streams.settings import Settings
from tests.faults.oracle_log import COUNTS, Rows, snapshot_rows, table_rows
from tests.property.adapter import plain_tables
from tests.workers import read_topic

_EVENTS = """
    SELECT (extract(epoch FROM timestamp) * 1000)::bigint, id, routing_key, device_id, user_id, room_id, type, data,
           ST_X(position), ST_Y(position), z, intensity, resonance, collective,
           (extract(epoch FROM received) * 1000)::bigint, log_partition, log_offset, log_index
    FROM consciousness_events
"""
_SESSIONS = """
    SELECT room_id, (extract(epoch FROM opened) * 1000)::bigint, (extract(epoch FROM last) * 1000)::bigint AS last,
           present, seated, devices, blooms, phrases, participants, coherence, resonance
    FROM room64_sessions
"""
_PAIRS = """
    SELECT routing_key, low, high, extract(epoch FROM established)::bigint AS established, explicit, kind, intensity,
           extract(epoch FROM last)::bigint AS last
    FROM entanglements WHERE established IS NOT NULL
"""
_MINUTES = f"""
    SELECT (extract(epoch FROM bucket) * 1000)::bigint, events, resonance_sum, resonance_count, resonance,
           active_nodes, ST_X(centre) AS x, ST_Y(centre) AS y, {", ".join(COUNTS.values())}
    FROM consciousness_field_1min
"""


def tables(values: list[bytes], settings: Settings) -> dict[str, Rows]:
    """The canonical tables in these changelog values."""
    found = plain_tables(values, settings.rules)
    # of what is removed only the place counts, as in the oracle's words
    return table_rows(found)


def events(connection: psycopg.Connection) -> Rows:
    """``consciousness_events``."""
    names = ("device_id", "user_id", "room_id", "type", "data", "x", "y", "z", "intensity", "resonance", "collective")
    rows: Rows = {}
    for row in connection.execute(_EVENTS):
        place = (row[0], str(row[1] if isinstance(row[1], uuid.UUID) else uuid.UUID(row[1])), row[2])
        rows[place] = dict(zip(names, row[3:14], strict=True)) | {"place": tuple(row[14:])}
    return rows


def minutes(connection: psycopg.Connection) -> Rows:
    """``consciousness_field_1min``; on the Community edition refreshed first."""
    with suppress(psycopg.Error):  # the Apache edition has plain views, which are always fresh
        connection.execute("CALL refresh_continuous_aggregate('consciousness_field_1min', NULL, NULL)")
    return _keyed(connection, _MINUTES, 1)


def sessions(connection: psycopg.Connection) -> Rows:
    """``room64_sessions``."""
    return _keyed(connection, _SESSIONS, 2)


def pairs(connection: psycopg.Connection) -> Rows:
    """``entanglements`` that are established."""
    return _keyed(connection, _PAIRS, 3)


def states(connection: psycopg.Connection) -> dict[str, dict[str, Any]]:
    """``consciousness_states``: the state by node."""
    return {str(node): state for node, state in connection.execute("SELECT node_id, state FROM consciousness_states")}


def redis_field(settings: Settings) -> tuple[int, Rows, Rows]:
    """(time T of the reading in ms, rows of ``field:current``, rows of the hash ``entanglements``) of one moment.

    T is -1 where there is no current field.
    """
    names = Names.of(settings.generation)
    with client(settings) as redis, redis.pipeline(transaction=True) as pipe:
        pipe.get(names.current)
        pipe.hgetall(names.entanglements)
        current, living = pipe.execute()
    if current is None:
        return -1, {}, {}
    reading = json.loads(current)
    return reading["at"], snapshot_rows(_words(reading)), _living(living)


def client(settings: Settings) -> Redis:
    """A short-lived client."""
    password = settings.redis_password or None
    return Redis(host=settings.redis_host, port=settings.redis_port, password=password, socket_timeout=10)


async def letters(settings: Settings) -> Rows:
    """Distinct dead letters by place."""
    return {
        record.key.decode(): (dict(record.headers)["reason"].decode(), record.value or b"")
        for record in await read_topic(settings, settings.rejected_topic)
    }


def _keyed(connection: psycopg.Connection, sql: str, key: int) -> Rows:
    cursor = connection.execute(sql.encode())
    names = [column.name for column in cursor.description or ()][key:]
    return {row[:key] if key > 1 else row[0]: dict(zip(names, row[key:], strict=True)) for row in cursor}


def _living(found: dict[bytes, bytes]) -> Rows:
    rows: Rows = {}
    for name, value in found.items():
        pair = json.loads(value)
        rows[tuple(name.decode().split("|"))] = (pair["established"], pair["strength"], pair["living"])
    return rows


def _words(reading: dict[str, Any]) -> dict[str, Any]:
    """``field:current`` in the oracle's words."""
    return reading | {
        "living": reading["entanglements_living"],
        "established": reading["entanglements_established"],
        "rooms": {
            room["room_id"]: {
                "opened": room["opened"],
                "present": [one["device_id"] for one in room["participants"]],
                "seated": [one["device_id"] for one in room["participants"] if one["seated"]],
                "coherence": room["coherence"],
                "resonance": room["resonance"],
                "blooms": room["blooms"],
                "phrases": room["phrases"],
            }
            for room in reading["rooms"]
        },
        "pairs": {(p["low"], p["high"]): (p["established"], p["strength"], p["living"]) for p in reading["pairs"]},
        "particles": [(p["timestamp"], p["id"], p["device_id"], p["intensity"]) for p in reading["particles"]],
        "quantum_fields": [(p["timestamp"], p["id"], p["device_id"], p["data"]) for p in reading["quantum_fields"]],
    }
