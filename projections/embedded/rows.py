"""History and archaeology of an embedded field: rows beside its log, in a file of their own.

A projection like any other: rows and position in one transaction, and it may be behind. It is nobody's only copy: one
that is damaged, of another version or of another log is dropped and written anew from the log. Aggregates are computed
when they are asked for, so a question about very much is answered with "too slow".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from projections.backoff import Backoff
from projections.embedded.log import away
from projections.gateway.answers import Point
from projections.gateway.archaeology import After, DugEvent, Filters, dug_of
from projections.gateway.digging import Row
from projections.gateway.history import HOUR_MS, MINUTE_MS, TYPES, WIDTHS_MS, Counted, Resolution, point_of
from projections.gateway.positions import Positions, reached
from projections.gateway.stores import StoredToggle
from projections.queries import query
from projections.rows import data_of, resonance
from streams.embedded import log as records
from streams.embedded.store import Store, file_of
from streams.entry import Entry, read_entry
from streams.events import MILLION, OPT_OUT, OPTS, Event
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Limits

log = logging.getLogger(__name__)

FILE: Final = "rows.sqlite3"
FORMAT: Final = 1
RECORDS: Final = 2_000
"""Of a partition, in one transaction."""
POLL_S: Final = 0.2
ANSWER_S: Final = 3.0
STEPS: Final = 10_000
"""Instructions of SQLite between two looks at the clock."""
AT_ONCE: Final = 2
"""Questions at work; the others wait for them."""
T = TypeVar("T")
_encode: Final = msgspec.json.Encoder().encode


class EmbeddedRows:
    """A ``Part`` of the gateway, ``history.Aggregates`` and ``archaeology.Rows``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = file_of(settings).with_name(FILE)
        self._limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self._weights = settings.rules.weights()
        self._threads = ThreadPoolExecutor(AT_ONCE + 1, "rows")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._ready = False
        self._whole = asyncio.Event()
        self.positions: Positions = {}
        """Of the last records that the rows reflect."""

    @property
    def away(self) -> bool:
        return not self._ready

    async def run(self, stop: asyncio.Event) -> None:
        """Writes rows until stopped."""
        backoff = Backoff("sqlite", stop)
        try:
            while not stop.is_set():
                try:
                    with away():
                        await self._project(stop)
                except (OSError, sqlite3.Error) as error:
                    await backoff.failed(error)
        finally:
            self._threads.shutdown(wait=False)

    async def toggles(self, most: int) -> Sequence[StoredToggle]:
        """``stores.Toggles``; waits until the rows have once reflected all of the log. Raises OSError."""
        await self._whole.wait()
        found = await self._ask(lambda db: db.execute(query("embedded_toggles"), {"most": most}).fetchall())
        if found is None:
            raise OSError("the rows did not answer in time")
        return [(device, at, id, bool(out)) for device, at, id, out in found[1]]

    async def points(
        self, resolution: Resolution, since: int, until: int, rows: int
    ) -> tuple[Positions, list[Point]] | None:
        parameters = {"width": WIDTHS_MS[resolution], "from": since, "until": until, "rows": rows}
        return await self._ask(lambda db: [point_of(row) for row in db.execute(query("embedded_history"), parameters)])

    async def counted(self, now: int) -> tuple[Positions, Counted] | None:
        def ask(db: sqlite3.Connection) -> Counted:
            lately = db.execute(query("embedded_lately"), {"from": now - MINUTE_MS, "until": now}).fetchone()
            first = now - HOUR_MS
            found = dict(db.execute(query("embedded_counts"), {"from": first + -first % MINUTE_MS}).fetchall())
            return Counted(lately[0], {name: found.get(name, 0) for name in TYPES})

        return await self._ask(ask)

    async def page(
        self, filters: Filters, after: After | None, rows: int
    ) -> tuple[Positions, list[tuple[str, DugEvent]]] | None:
        at, id, key = after or (None, None, None)
        parameters = {**_bound(filters, rows), "after": at, "after_id": id, "after_key": key}
        return await self._ask(lambda db: [dug_of(row) for row in db.execute(_statement("events"), parameters)])

    async def newest(self, filters: Filters, rows: int) -> tuple[Positions, list[Row]] | None:
        parameters = _bound(filters, rows)
        return await self._ask(lambda db: [Row._make(row) for row in db.execute(_statement("patterns"), parameters)])

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> tuple[Positions, T] | None:
        """The outcome and what it reflects; None: it takes too long, or there is no file yet."""

        def asked() -> tuple[Positions, T]:
            with contextlib.closing(_connect(self._path, "rw")) as db:
                until = time.monotonic() + ANSWER_S
                db.set_progress_handler(lambda: time.monotonic() > until, STEPS)
                db.execute("BEGIN")
                return dict(db.execute(query("embedded_positions"))), question(db)

        async with self._turns:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, asked)
            except sqlite3.Error as error:
                log.info("a question to the rows was given up: %s", error)
                return None

    async def _project(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(await loop.run_in_executor(self._threads, Store, self._settings))
            db = stack.enter_context(contextlib.closing(await loop.run_in_executor(self._threads, self._open, store)))
            self._ready = True
            while not stop.is_set():
                moved, whole = await loop.run_in_executor(self._threads, self._step, store, db)
                if whole:
                    self._whole.set()
                if not moved:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), POLL_S)

    def _open(self, store: Store) -> sqlite3.Connection:
        """The file, empty where there was none that fits this log."""
        if self._path.exists():
            try:
                positions, ends = _positions(self._path), records.ends(store)
                if positions is not None and all(ends.get(number, 0) > at for number, at in positions.items()):
                    self.positions = positions
                    return _connect(self._path)
                log.warning("%s is of another version or of another log: it is written anew", self._path)
            except sqlite3.DatabaseError as error:
                log.warning("%s cannot be read (%s): it is written anew", self._path, error)
            for end in ("", "-wal", "-shm"):
                self._path.with_name(FILE + end).unlink(missing_ok=True)
        self.positions = {}
        db = _connect(self._path)
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN; {query('embedded_schema')}; PRAGMA user_version = {FORMAT}; COMMIT")
        return db

    def _step(self, store: Store, db: sqlite3.Connection) -> tuple[bool, bool]:
        """Rows of what is new, some of each partition: whether there was anything, and whether they reflect it all."""
        ends = records.ends(store)
        moved = False
        for number, end in ends.items():
            found = records.read(store, number, self.positions.get(number, -1) + 1, end, RECORDS)
            if not found:
                continue
            rows, toggles = self._rows(
                number, (read_entry(one, number, store.partitions, self._limits) for one in found)
            )
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany(query("embedded_event"), rows)
                db.executemany(query("embedded_toggle"), toggles)
                db.execute(query("embedded_moved"), (number, found[-1].offset))
            self.positions[number] = found[-1].offset
            moved = True
        return moved, reached(self.positions, {number: end - 1 for number, end in ends.items()})

    def _rows(self, partition: int, entries: Any) -> tuple[list[Any], list[Any]]:
        rows, toggles = [], []
        for entry in entries:
            for event, index in zip(entry.events, entry.indexes, strict=True):
                if event.type in OPTS:
                    if partition_of(event.key, self._settings.partitions) != partition:
                        continue  # it has a copy in every partition, and is one row
                    toggles.append((event.device_id, event.timestamp, event.id, event.type == OPT_OUT))
                rows.append(self._row(event, entry, partition, index))
        return rows, toggles

    def _row(self, event: Event, entry: Entry, partition: int, index: int) -> tuple[Any, ...]:
        return (
            event.timestamp, event.id, event.key, event.device_id, event.target, event.user_id, event.room_id,
            event.type, _encode(data_of(event)).decode(), event.x, event.y, event.z, event.intensity / MILLION,
            resonance(event, self._weights), entry.received_ms, partition, entry.offset, index,
        )  # fmt: skip


def _positions(path: Path) -> Positions | None:
    """None: they are of another version."""
    with contextlib.closing(_connect(path)) as db:
        (found,) = db.execute("PRAGMA user_version").fetchone()
        return dict(db.execute(query("embedded_positions"))) if found == FORMAT else None


def _connect(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    """A power cut may take the last rows with their position: they are written again."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA synchronous = normal")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _statement(name: str) -> str:
    return query(f"embedded_{name}").format(where=query("embedded_where"))


def _bound(filters: Filters, rows: int) -> Mapping[str, Any]:
    x0, y0, x1, y1 = filters.box or (None,) * 4
    return {
        "since": filters.since, "until": filters.until,
        "types": None if filters.types is None else json.dumps(filters.types), "room": filters.room,
        "device": filters.device, "min_intensity": filters.min_intensity,
        "x0": x0, "y0": y0, "x1": x1, "y1": y1, "rows": rows,
    }  # fmt: skip
