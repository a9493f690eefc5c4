"""Faults as scenarios: ``make test`` plays each once and short, the soak plays them in rounds.

A module of this package lists its own: ``SCENARIOS = [(name, function)]``. ``await function(place)`` makes instances
by ``place.settings(...)``, takes about ``place.seconds``, raises AssertionError with what differs, and returns figures:
``difference`` at least; floats are seconds, ``ready_s`` and ``stall_s`` are lists that the soak puts together.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from streams.settings import Settings

Figures = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a scenario plays. ``settings(**over)``: another instance with topics, database and keys of its own."""

    settings: Callable[..., Settings]
    seed: int
    seconds: float = 30.0


Scenario = Callable[[Place], Awaitable[Figures]]


def scenarios() -> list[tuple[str, Scenario]]:
    """All that the modules of this package list, by module and order."""
    found: list[tuple[str, Scenario]] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        found += importlib.import_module(f"{__name__}.{module.name}").SCENARIOS
    return found
