"""Backups: whether the newest one of the folder that FIELD_BACKUPS names is young enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from deploy.backup import manifest
from deploy.doctor.findings import Verdict, ok, warn
from streams.errors import BackupError, InputError
from streams.settings import Settings

HOUR_S: Final = 3_600.0


class Saved(NamedTuple):
    """The newest whole backup of the folder."""

    settings: Settings
    problem: str = ""
    name: str = ""
    age_s: float = 0.0


def ask(settings: Settings) -> Saved:
    """One look; never raises."""
    if not settings.backups:
        return Saved(settings)
    try:
        newest = manifest.load(Path(settings.backups))
    except (InputError, BackupError, OSError) as error:
        return Saved(settings, str(error))
    return Saved(settings, "", newest.name, time.time() - newest.made / 1000)


def backups(it: Saved) -> Iterator[Verdict]:
    if not it.settings.backups:
        return
    said = f"the newest one, {it.name}, is {it.age_s / HOUR_S:,.1f} hours old"
    if it.problem:
        yield warn(it.problem, "let a timer run `field backup`, or mend FIELD_BACKUPS")
    elif it.age_s > it.settings.backup_hours_max * HOUR_S:
        yield warn(said, "look at the timer that runs `field backup`, and at what it said last")
    else:
        yield ok(said)


CHECKS: Final[tuple[Callable[[Saved], Iterator[Verdict]], ...]] = (backups,)
