"""The contenders, one row each: what runs, what it guarantees, how often it makes that durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

ONCE = "effectively once"
AT_LEAST = "at least once"
FLOOR = "floor: nothing is done"
INTO = "rows into the hypertable"
GUARANTEES = (ONCE, AT_LEAST, FLOOR, INTO)
"""Rows of one are compared with each other; tables and pictures keep them together."""

FLINK_CHECKPOINT_MS = 5_000
CHECKPOINT_MS = 2_000
"""Ours."""
SLOW_SHARE = 0.3
"""Of the events, for rows under 150,000 a second: enough for a steady state, and it saves minutes."""


@dataclass(frozen=True)
class Row:
    """``kind``: worker, projector, copy (ours, in this project's environment) or a program of the peers:
    kafka-streams, flink, python (their environment), own-python (this project's).

    ``form`` is the topic that it reads: json, array, frame, rooms. ``share`` of the events that it gets.
    """

    name: str
    title: str
    guarantee: str
    kind: str
    fold: str = "simple"
    form: str = "json"
    interval: str = ""
    processes: int = 1
    share: float = 1.0
    paced: bool = False
    program: str = ""
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def _ours(name: str, title: str, form: str = "json", processes: int = 1, paced: bool = False) -> Row:
    return Row(f"ours-{name}", f"the field, {title}", ONCE, "worker", "all tables", form, f"{CHECKPOINT_MS / 1000:g} s",
               processes, 1.0, paced)  # fmt: skip


def _streams(threads: int, exactly: bool, commit_ms: int = 0) -> Row:
    """``commit_ms`` 0: as often as it does by itself."""
    name = f"kafka-streams-{'eos-' if exactly else ''}{threads}{'-as-ours' if commit_ms else ''}"
    guarantee = "exactly_once_v2" if exactly else "at_least_once"
    title = f"Kafka Streams, {guarantee}, {threads} thread{'s' * (threads > 1)}"
    every_ms = commit_ms or (100 if exactly else 30_000)
    return Row(
        name, title, ONCE if exactly else AT_LEAST, "kafka-streams", interval=f"{every_ms / 1000:g} s",
        paced=True, environment={"THREADS": str(threads), "GUARANTEE": guarantee, "COMMIT_MS": str(every_ms)},
    )  # fmt: skip


def _flink(backend: str, parallelism: int, warm: bool) -> Row:
    kind = {"hashmap": "heap", "rocksdb": "rocksdb"}[backend]
    title = f"Flink, {kind} state, parallelism {parallelism}{', warm JVM' if warm else ''}"
    return Row(
        f"flink-{kind}-{parallelism}{'-warm' if warm else ''}", title, ONCE, "flink",
        interval=f"{FLINK_CHECKPOINT_MS / 1000:g} s", paced=not warm,
        environment={
            "BACKEND": backend, "PARALLELISM": str(parallelism), "CHECKPOINT_MS": str(FLINK_CHECKPOINT_MS),
            "JOBS": "3" if warm else "1",
        },
    )  # fmt: skip


def _python(name: str, title: str, guarantee: str, program: str, interval: str, **more: str) -> Row:
    return Row(
        name, title, guarantee, "python", interval=interval, program=program, share=SLOW_SHARE, paced=True,
        environment=dict(more),
    )  # fmt: skip


ROWS = (
    _ours("json", "single records", paced=True),
    _ours("json-2", "single records, 2 processes", processes=2, paced=True),
    _ours("array", "arrays of 100", "array"),
    _ours("frame", "frames of 1,000", "frame"),
    _ours("frame-2", "frames of 1,000, 2 processes", "frame", 2),
    _ours("rooms", "single records, half of the devices in 128 rooms", "rooms"),
    *(_streams(threads, True) for threads in (1, 2)),
    _streams(1, True, CHECKPOINT_MS),
    *(_flink(backend, n, warm) for backend in ("hashmap", "rocksdb") for warm in (False, True) for n in (1, 2)),
    _python("quix-eos", "Quix Streams, exactly-once", ONCE, "quix_fold.py", "5 s", GUARANTEE="exactly-once"),
    _python("bytewax", "Bytewax, recovery on", ONCE, "bytewax_fold.py", "10 s"),
    *(_streams(threads, False) for threads in (1, 2)),
    _python("quix", "Quix Streams, at-least-once", AT_LEAST, "quix_fold.py", "5 s", GUARANTEE="at-least-once"),
    Row(
        "faust", "Faust, a plain agent", AT_LEAST, "own-python", interval="2.8 s", program="faust_fold.py", share=0.03
    ),
    Row(
        "floor-aiokafka", "aiokafka getmany", FLOOR, "own-python", "none",
        program="floors.py", arguments=("aiokafka",),
    ),
    Row(
        "floor-librdkafka", "librdkafka consume", FLOOR, "python", "none",
        program="floors.py", arguments=("librdkafka",),
    ),
    Row("ours-projector", "the field's projector, raw rows", INTO, "projector", "none", share=SLOW_SHARE),
    Row(
        "ours-projector-frame", "the field's projector, frames of 1,000", INTO, "projector", "none", "frame",
        share=SLOW_SHARE,
    ),
    Row("floor-copy", "binary COPY, same table and indexes, decoded before", INTO, "copy", "none", share=SLOW_SHARE),
)  # fmt: skip


def chosen(patterns: Sequence[str]) -> tuple[Row, ...]:
    """The rows whose names match one of the patterns (``*`` and ``?``), all for none; raises ValueError."""
    for pattern in patterns:
        if not any(fnmatch(row.name, pattern) for row in ROWS):
            raise ValueError(f"no row is called {pattern}; there are {', '.join(row.name for row in ROWS)}")
    return tuple(row for row in ROWS if not patterns or any(fnmatch(row.name, pattern) for pattern in patterns))
