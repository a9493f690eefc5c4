"""The named statements of ``schema/sql/queries.sql``, ``checks.sql`` and those beside them."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import LiteralString

_MARK = "-- name: "
_FILES = (
    "queries.sql", "checks.sql", "gateway.sql", "archaeology.sql", "push.sql", "embedded.sql",
    "doctor.sql", "backup.sql", "locks.sql",
)  # fmt: skip


@cache
def _all() -> dict[str, str]:
    folder = resources.files("schema").joinpath("sql")
    text = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in _FILES)
    found = {}
    for part in text.split(_MARK)[1:]:
        name, _, sql = part.partition("\n")
        found[name.strip()] = sql.strip()
    return found


def query(name: str) -> LiteralString:
    """SQL of the statement called ``name``; raises KeyError."""
    return _all()[name]  # read from our own file, never built from input
