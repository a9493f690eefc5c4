"""The constants of the fold: each a named rule with its default, unit and reason.

Pure. Two folds with different rules are different folds: ``Rules.version`` says which one wrote a state.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

FOLD_CODE_VERSION = 2
"""Raised whenever the same events would fold to other state; ``tests/golden`` keeps shards of every version."""


def _rule(default: int | float, reason: str, minimum: int | float = 1, maximum: int | None = None) -> Any:
    return field(default=default, metadata={"reason": reason, "minimum": minimum, "maximum": maximum})


@dataclass(frozen=True, slots=True)
class Rules:
    """Defaults of the field's constants (milliseconds, seconds or plain numbers, as the names end)."""

    lateness_ms: int = _rule(10_000, "phones on bad networks catch up within ten seconds", 0)
    slot_ms: int = _rule(10_000, "one resonance slot: fine enough to feel, coarse enough to stay small")
    slots: int = _rule(60, "ten minutes of slots: what is older weighs under a thousandth")
    slot_half_life_ms: int = _rule(60_000, "a group's mood is half forgotten after a minute")
    rest_weight: int = _rule(10, "silence counts as ten units at one half, so one event does not swing the field")
    weight_breath: int = _rule(1, "breathing is constant and quiet", 0)
    weight_touch: int = _rule(2, "a touch is meant, and brief", 0)
    weight_spiral: int = _rule(3, "a drawn spiral takes some seconds of attention", 0)
    weight_bloom: int = _rule(5, "opening is rare", 0)
    weight_phrase: int = _rule(8, "a spoken phrase is the strongest common act", 0)
    particles: int = _rule(1_000, "what one screen can still show")
    quantum_fields: int = _rule(10, "harmonics of more sources cannot be told apart")
    silence_ms: int = _rule(300_000, "five minutes without an event: the device is gone, the session is over")
    seats: int = _rule(64, "a room is a circle of sixty-four")
    breath_ms: int = _rule(30_000, "a breath says where somebody is for about two slow breaths")
    echo_distance: float = _rule(10.0, "one body's reach in the units of positions", 0)
    echo_window_s: int = _rule(60, "three echoes within a minute are no chance")
    strength_half_life_s: int = _rule(60, "an echo is half forgotten after a minute")
    strength_faded_halvings: int = _rule(4, "a sixteenth is not felt any more")
    sequence_window: int = _rule(64, "a device has at most 64 events on their way; one machine word", 1, 64)

    @property
    def version(self) -> str:
        """Code version and a fingerprint of all constants, e.g. ``1-3fb2a9c41d07``."""
        return _version(self)

    def weight(self, event_type: str) -> int:
        """Weight of an event type in resonance; 0 for the types that do not resonate."""
        return self.weights().get(event_type, 0)

    def weights(self) -> dict[str, int]:
        return {
            "BREATH": self.weight_breath,
            "TOUCH": self.weight_touch,
            "SPIRAL": self.weight_spiral,
            "BLOOM": self.weight_bloom,
            "SACRED_PHRASE": self.weight_phrase,
        }


DEFAULT_RULES = Rules()


@lru_cache(maxsize=16)
def _version(rules: Rules) -> str:
    text = repr(dataclasses.astuple(rules))
    return f"{FOLD_CODE_VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
