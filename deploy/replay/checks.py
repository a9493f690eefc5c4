"""What comes of comparing a store with what it should hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

CLOSE: Final = 1e-9
"""Derived floats may differ by their order of summing."""
SHOWN: Final = 5

Key = tuple[Any, ...]


class Check(msgspec.Struct):
    """One comparison. ``rows`` compared; ``examples`` are keys of rows that differ."""

    tier: str
    equal: bool
    rows: int
    missing: int = 0
    extra: int = 0
    unequal: int = 0
    examples: list[str] = []
    note: str = ""


def compared(tier: str, wanted: Mapping[Key, Any], there: Mapping[Key, Any], note: str = "") -> Check:
    """Rows by key: what they should be, and what a store has."""
    missing, extra = wanted.keys() - there.keys(), there.keys() - wanted.keys()
    unequal = [key for key in wanted.keys() & there.keys() if not close(wanted[key], there[key])]
    examples = ["/".join(map(str, key)) for key in [*missing, *extra, *unequal][:SHOWN]]
    equal = not (missing or extra or unequal)
    return Check(tier, equal, len(wanted), len(missing), len(extra), len(unequal), examples, note)


def close(one: Any, other: Any) -> bool:
    """Equal, floats within CLOSE."""
    if isinstance(one, float) and isinstance(other, int | float):
        return abs(one - other) <= CLOSE
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    return bool(one == other)


def line(item: Check) -> str:
    """For people."""
    note = f"; {item.note}" if item.note else ""
    if item.equal:
        return f"  {item.tier:<28} equal, {item.rows} rows{note}"
    return (
        f"  {item.tier:<28} DIFFERENT: {item.missing} missing, {item.extra} extra, {item.unequal} unequal of "
        f"{item.rows}, such as {', '.join(item.examples)}{note}"
    )
