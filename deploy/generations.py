"""The generations of the state that a database knows, and which one readers see.

Every command that reads follows the one row that ``field replay switch`` changes; processes write the generation that
their settings name. Where PostgreSQL has not answered this home yet, readers take that one too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from deploy import context
from projections.queries import query
from streams.errors import InputError, PartUnavailable
from streams.settings import Settings, overlaid

ASK_S: Final = 3
DROPS: Final = ("states", "sessions", "pairs", "shards", "samples", "positions")


class Generation(msgspec.Struct):
    """A row of ``generations``. ``settings`` by name; ``replay`` and ``verdict`` as ``deploy/replay`` writes them."""

    name: str
    settings: dict[str, str]
    fold_version: str
    stage: str
    made: float
    replay: dict[str, Any] | None
    verdict: dict[str, Any] | None
    current: bool
    previous: bool

    @property
    def identity(self) -> dict[str, str]:
        """The settings that make it what it is, by name."""
        return {**self.settings, "FIELD_GENERATION": self.name}

    def over(self, settings: Settings) -> Settings:
        """The settings that its processes have."""
        return overlaid(settings, self.identity)


@contextmanager
def connected(settings: Settings) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A transaction; raises PartUnavailable when PostgreSQL does not answer or has no generations yet."""
    try:
        with psycopg.connect(settings.database_url, connect_timeout=ASK_S) as connection:
            yield connection
    except psycopg.errors.UndefinedTable:
        raise PartUnavailable("PostgreSQL", "it has no schema of this version yet; `field up` makes it") from None
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise PartUnavailable("PostgreSQL", str(error).strip().splitlines()[0]) from None


def known(settings: Settings) -> list[Generation]:
    """All of them, oldest first; raises PartUnavailable."""
    with connected(settings) as connection:
        return [Generation(*row) for row in connection.execute(query("generations")).fetchall()]


def find(settings: Settings, name: str) -> Generation:
    """One of them; raises InputError that lists the names, PartUnavailable."""
    found = known(settings)
    for generation in found:
        if generation.name == name:
            return generation
    names = ", ".join(generation.name for generation in found) or "none"
    raise InputError(f"there is no generation {name!r}; `field replay list` shows them: {names}")


def current(settings: Settings) -> Generation:
    """The one that readers see; raises PartUnavailable."""
    found = next((generation for generation in known(settings) if generation.current), None)
    if found is None:
        raise PartUnavailable("PostgreSQL", "no generation has written to it yet; `field up` starts one")
    return found


def followed(settings: Settings, name: str | None = None) -> Settings:
    """The settings of a reader or publisher: those of generation ``name``, else of the current one.

    While PostgreSQL does not answer that is the one that was current when this home last heard from it: after a topic
    has grown, devices must not go back to the old one. Raises InputError for a name that is not known; an embedded
    field has one generation.
    """
    if settings.parts == "embedded":
        if name not in (None, settings.generation):
            raise InputError(f"there is no generation {name!r}: an embedded field has {settings.generation!r} only")
        return settings
    if name is not None:
        return find(settings, name).over(settings)
    home = Path(settings.home)
    try:
        over = current(settings).identity
        context.keep_seen(home, over)
    except PartUnavailable:
        over = context.seen(home)
    return overlaid(settings, over)


def stage(settings: Settings, name: str, now: str) -> None:
    """``folding``, ``following``, ``inspection`` or ``dropping``; raises InputError when it is gone, PartUnavailable.

    What readers see is never dropping, whoever switches at the same time.
    """
    with connected(settings) as connection:
        seen = connection.execute(query("generation_lock")).fetchone()
        if now == "dropping" and seen == (name,):
            raise InputError(f"readers see {name}; switch to another one first")
        if not connection.execute(query("generation_stage"), {"generation": name, "stage": now}).rowcount:
            raise InputError(f"{name} was dropped meanwhile")


def remove(settings: Settings, name: str) -> None:
    """Delete its rows in one transaction; raises PartUnavailable."""
    with connected(settings) as connection:
        for kind in (*(f"_{drop}" for drop in DROPS), ""):
            connection.execute(query("generation_drop" + kind), {"generation": name})
