"""What was measured: told after the tests, written by the soak. Never asserted but as bounds on hanging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FIGURES: dict[str, dict[str, Any]] = {}
"""By scenario."""


def note(scenario: str, **values: Any) -> None:
    """Keep figures of a scenario, lists left out; floats are seconds unless the name says otherwise."""
    FIGURES.setdefault(scenario, {}).update({k: v for k, v in values.items() if not isinstance(v, list)})


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; 0.0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def lines() -> list[str]:
    """All figures, a scenario a line."""
    return [f"{name}: " + ", ".join(f"{k} {_told(v)}" for k, v in found.items()) for name, found in FIGURES.items()]


def _told(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
