"""One at a time: a replay, and each of its partitions, by a lock on a file that ends with the process that has it."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streams.errors import InputError
from streams.settings import Settings

WAIT_S: Final = 30.0
"""A process whose parent was killed makes a last checkpoint and ends within this time."""


@contextmanager
def locked(settings: Settings, part: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of ``part`` of this generation's replay; raises InputError when somebody else has it."""
    path = Path(settings.home) / "run" / f"replay-{settings.generation}-{part}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + wait_s
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise InputError(f"{settings.generation} is being folded by another process ({part})") from None
                time.sleep(0.1)
        yield
