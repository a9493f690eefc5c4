"""The queue on disk: one SQLite file that holds what is not yet acknowledged, and the device's counters.

An event and its ``seq`` are committed, and synced to the disk, together. The same event is therefore sent with the
same ``id``, ``epoch`` and ``seq`` however often the process is killed, and the field counts it once.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS queue (seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL);
"""
BUSY_S: Final = 5.0
"""How long to wait for another process that is just ending."""


class StoreError(Exception):
    """The file cannot be used: another process has it, it is another device's, or the disk is full."""


class Waiting(NamedTuple):
    """An event of the queue; ``text`` is its JSON."""

    seq: int
    text: str


class Store:
    """The queue of one device; safe to use from several threads, refuses a second process.

    At most ``events_max`` events wait. When there is no more room the OLDEST are dropped and counted (``dropped``):
    the field shows the present, and does not fold what comes more than ten seconds late anyway.
    """

    def __init__(self, path: str | Path, device_id: str, events_max: int, epoch: int | None = None) -> None:
        self._lock = threading.RLock()
        self._events_max = events_max
        self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._open(device_id, int(time.time() * 1000) if epoch is None else epoch)
        except sqlite3.Error as error:
            self._db.close()
            raise StoreError(f"{path}: {error}") from error
        except StoreError:
            self._db.close()
            raise

    def _open(self, device_id: str, epoch: int) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # after a power cut too
        with self._transaction():
            for statement in _TABLES.strip().split("\n"):
                self._db.execute(statement)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('device', ?), ('dropped', 0)", (device_id,))
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (epoch,))
        known = dict(self._db.execute("SELECT name, value FROM meta"))
        if known["device"] != device_id:
            raise StoreError(f"the queue belongs to {known['device']}, not to {device_id}")
        self.epoch = int(known["epoch"])
        self.dropped = int(known["dropped"])
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'queue'").fetchone()
        self.last_seq = int(row[0]) if row else 0
        self.waiting = int(self._db.execute("SELECT count(*) FROM queue").fetchone()[0])

    def add(self, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Gives the events their ``epoch`` and ``seq`` and puts them on disk, all or none; raises StoreError."""
        with self._lock:
            numbered = [
                event | {"epoch": self.epoch, "seq": seq} for seq, event in enumerate(events, self.last_seq + 1)
            ]
            rows = [(event["seq"], json.dumps(event, allow_nan=False, separators=(",", ":"))) for event in numbered]
            surplus = max(0, self.waiting + len(rows) - self._events_max)
            with self._told(), self._transaction():
                self._db.executemany("INSERT INTO queue (seq, event) VALUES (?, ?)", rows)
                if surplus:
                    self._db.execute(
                        "DELETE FROM queue WHERE seq IN (SELECT seq FROM queue ORDER BY seq LIMIT ?)", (surplus,)
                    )
                    self._db.execute("UPDATE meta SET value = value + ? WHERE name = 'dropped'", (surplus,))
            self.last_seq += len(rows)
            self.waiting += len(rows) - surplus
            self.dropped += surplus
            return numbered

    def first(self, events_max: int, bytes_max: int) -> list[Waiting]:
        """The oldest events, in order; at least one when there is any."""
        out: list[Waiting] = []
        size = 0
        with self._lock, self._told():
            found = self._db.execute("SELECT seq, event FROM queue ORDER BY seq LIMIT ?", (events_max,))
            for seq, text in found:
                size += len(text) + 1
                if out and size > bytes_max:
                    break
                out.append(Waiting(seq, text))
            found.close()
        return out

    def remove(self, seqs: Sequence[int]) -> None:
        """These are settled; raises StoreError."""
        with self._lock, self._told(), self._transaction():
            done = self._db.executemany("DELETE FROM queue WHERE seq = ?", [(seq,) for seq in seqs])
            self.waiting -= done.rowcount if seqs else 0

    def oldest(self) -> int | None:
        """``seq`` of the event that waits longest, None when none waits."""
        with self._lock, self._told():
            row = self._db.execute("SELECT min(seq) FROM queue").fetchone()
            return None if row[0] is None else int(row[0])

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error
