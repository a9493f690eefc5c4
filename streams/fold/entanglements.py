"""Entanglements: who echoes whom, and who is bound on purpose.

Pure, and folded in the order of events. A pair is ``low|high``, the smaller id first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from streams.events import (
    BLOOM,
    ENTANGLE,
    RELEASE,
    SACRED_PHRASE,
    SPIRAL,
    TOUCH,
    Entangle,
    Event,
    Phrase,
    to_millionths,
)
from streams.fold.rules import Rules

SEPARATOR = "|"
"""Stands between the two ids of a pair; no id may contain it."""

Gesture = tuple[int, str, float | None, float, float]
"""(second, device, x or None, y, z)."""


class Bond(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One pair in one routing key; all times in seconds since the epoch."""

    before: int | None = None
    """second of the echo before the last"""
    last: int | None = None
    """second of the last echo"""
    echoed: int | None = None
    """first second that was the third within a minute"""
    explicit: int | None = None
    """second of the ENTANGLE that still holds"""
    kind: str | None = None
    intensity: int | None = None
    """millionths, while explicit"""

    @property
    def established(self) -> int | None:
        """When the two became entangled; None when they are not."""
        if self.echoed is None or self.explicit is None:
            return self.explicit if self.echoed is None else self.echoed
        return min(self.echoed, self.explicit)


class Bonds:
    """Pairs and the gestures of the last two seconds; ``touched`` gathers the pairs that changed."""

    __slots__ = ("gestures", "pairs", "touched")

    def __init__(self, pairs: dict[str, Bond], gestures: dict[str, list[Gesture]]) -> None:
        self.pairs = pairs
        self.gestures = gestures
        self.touched: set[str] = set()

    def copy(self) -> Bonds:
        """Independent bonds, nothing touched yet."""
        return Bonds(self.pairs.copy(), {kind: list(made) for kind, made in self.gestures.items()})

    def hear(self, event: Event, seated: Callable[[], Collection[str]] | None, rules: Rules) -> None:
        """Fold one event. ``seated`` says who sits now; None outside rooms."""
        kind, target, device = event.type, event.target, event.device_id
        second = event.timestamp // 1000
        if target is not None:
            if target == device:
                return
            pair = pair_of(device, target)
            if kind == TOUCH:
                self._echo(pair, second, rules)
            elif kind == ENTANGLE:
                self._bind(pair, second, event, rules)
            elif kind == RELEASE:
                self._release(pair)
        elif seated is not None and kind in (SPIRAL, BLOOM, TOUCH, SACRED_PHRASE):
            self._gesture(event, second, seated(), rules)

    def forget(self, device: str) -> None:
        """The device opted out: its gestures and all its pairs go."""
        for made in self.gestures.values():
            made[:] = [gesture for gesture in made if gesture[1] != device]
        gone = [pair for pair in self.pairs if device in pair.split(SEPARATOR)]
        for pair in gone:
            del self.pairs[pair]
        self.touched.update(gone)

    def prune(self, floor_ms: int, rules: Rules) -> None:
        """Drop what no later event (none is before ``floor_ms``) can still build on; sort the rest."""
        if not self.gestures and not self.pairs:
            return
        second = floor_ms // 1000
        self.gestures = {
            kind: made for kind, made in sorted(self.gestures.items()) if made and made[-1][0] >= second - 1
        }
        self.pairs = {pair: bond for pair, bond in sorted(self.pairs.items()) if not is_stale(bond, second, rules)}

    def _gesture(self, event: Event, second: int, seated: Collection[str], rules: Rules) -> None:
        kind = event.type if event.type != SACRED_PHRASE else f"{event.type}:{_phrase(event)}"
        made = self.gestures.setdefault(kind, [])
        if made and made[0][0] < second - 1:
            made[:] = [gesture for gesture in made if gesture[0] >= second - 1]
        device = event.device_id
        own: Gesture = (second, device, event.x, event.y or 0.0, event.z or 0.0)
        if device in seated:
            for gesture in made:
                if gesture[1] != device and gesture[1] in seated and _near(gesture, own, rules.echo_distance):
                    self._echo(pair_of(device, gesture[1]), second, rules)
        made.append(own)

    def _echo(self, pair: str, second: int, rules: Rules) -> None:
        bond = self.pairs.get(pair)
        if bond is None:
            bond = Bond(last=second)
        elif bond.last == second:
            return
        else:
            echoed = bond.echoed
            if echoed is None and bond.before is not None and second - bond.before <= rules.echo_window_s:
                echoed = second
            # an echo too old to count is not kept, so that forgetting a stale pair leaves no trace
            last = bond.last if bond.last is not None and second - bond.last <= rules.echo_window_s else None
            bond = Bond(last, second, echoed, bond.explicit, bond.kind, bond.intensity)
        self.pairs[pair] = bond
        self.touched.add(pair)

    def _bind(self, pair: str, second: int, event: Event, rules: Rules) -> None:
        data = event.data
        assert isinstance(data, Entangle)
        bond = self.pairs.get(pair)
        if bond is None or is_stale(bond, second, rules):
            bond = Bond()
        since = second if bond.explicit is None else bond.explicit
        self.pairs[pair] = Bond(
            bond.before, bond.last, bond.echoed, since, data.kind, to_millionths(data.intensity)
        )  # fmt: skip
        self.touched.add(pair)

    def _release(self, pair: str) -> None:
        bond = self.pairs.get(pair)
        if bond is None or bond.explicit is None:
            return
        if bond.last is None:
            del self.pairs[pair]
        else:
            self.pairs[pair] = Bond(bond.before, bond.last, bond.echoed)
        self.touched.add(pair)


def pair_of(one: str, other: str) -> str:
    """The pair's name, smaller id first."""
    return f"{one}{SEPARATOR}{other}" if one < other else f"{other}{SEPARATOR}{one}"


def is_stale(bond: Bond, second: int, rules: Rules) -> bool:
    """Not entangled at ``second``, and too long without an echo to become so with those that it has."""
    horizon = second - rules.echo_window_s - rules.lateness_ms // 1000
    return bond.established is None and (bond.last is None or bond.last < horizon)


def strength(last: int | None, explicit: bool, intensity: int | None, at: int, rules: Rules) -> float:
    """0..1 at ``at`` (ms): halves every minute since the last echo, never under an explicit bond's intensity."""
    fading = 0.0 if last is None else min(1.0, 0.5 ** ((at / 1000 - last) / rules.strength_half_life_s))
    return max(fading, (intensity or 0) / 1_000_000) if explicit else fading


def is_faded(last: int | None, explicit: bool, at: int, rules: Rules) -> bool:
    """Below a sixteenth, and not bound on purpose."""
    horizon_s = rules.strength_half_life_s * rules.strength_faded_halvings
    return not explicit and (last is None or at / 1000 - last > horizon_s)


def _phrase(event: Event) -> str:
    assert isinstance(event.data, Phrase)
    return event.data.phrase


def _near(one: Gesture, other: Gesture, distance: float) -> bool:
    if one[2] is None or other[2] is None:
        return True
    across, up, deep = one[2] - other[2], one[3] - other[3], one[4] - other[4]
    return across * across + up * up + deep * deep <= distance * distance
