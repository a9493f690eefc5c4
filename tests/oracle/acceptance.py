"""Which events of a log are accepted, and in which order they count."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

OPTS = ("OPT_OUT", "OPT_IN")


@dataclass(frozen=True)
class Constants:
    """The constants of DESIGN section 3, written again; the names are those of the settings."""

    lateness_ms: int = 10_000
    slot_ms: int = 10_000
    slots: int = 60
    slot_half_life_ms: int = 60_000
    rest_weight: int = 10
    weight_breath: int = 1
    weight_touch: int = 2
    weight_spiral: int = 3
    weight_bloom: int = 5
    weight_phrase: int = 8
    particles: int = 1_000
    quantum_fields: int = 10
    silence_ms: int = 300_000
    seats: int = 64
    breath_ms: int = 30_000
    echo_distance: float = 10.0
    echo_window_s: int = 60
    strength_half_life_s: int = 60
    strength_faded_halvings: int = 4
    sequence_window: int = 64

    @property
    def forget_s(self) -> int:
        """70 s by default: the window of three echoes, and how late a missing one may be."""
        return self.echo_window_s + self.lateness_ms // 1000

    @property
    def weights(self) -> dict[str, int]:
        return {
            "BREATH": self.weight_breath,
            "TOUCH": self.weight_touch,
            "SPIRAL": self.weight_spiral,
            "BLOOM": self.weight_bloom,
            "SACRED_PHRASE": self.weight_phrase,
        }


def place(event: Any) -> tuple[Any, ...]:
    """Where an event stands in the order of its key; a toggle has no sequence number there."""
    if event.type in OPTS:
        return (event.timestamp, event.id, event.device_id)
    return (event.timestamp, event.id, event.device_id, event.epoch, -1 if event.seq is None else event.seq)


@dataclass
class Log:
    """What a log comes to: accepted events by key, all toggles, and everything that decided it."""

    constants: Constants
    events: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """routing key -> accepted events, in order of arrival"""
    toggles: list[Any] = field(default_factory=list)
    watermarks: dict[str, int] = field(default_factory=dict)
    """routing key -> highest accepted timestamp"""
    numbers: dict[tuple[str, str], set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    """(routing key, device) -> every (epoch, seq) accepted"""
    verdicts: list[str] = field(default_factory=list)
    """accepted, duplicate or late, for each event of the log"""

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.verdicts)

    @property
    def watermark(self) -> int:
        return max(self.watermarks.values(), default=0)


def accept(arrivals: Iterable[Any], constants: Constants | None = None) -> Log:
    """Decide about each event as it arrives; ``arrivals`` holds an OPT event once, not once a partition."""
    log = Log(constants or Constants())
    for event in arrivals:
        verdict = _toggle(log, event) if event.type in OPTS else _judge(log, event)
        log.verdicts.append(verdict)
        if verdict == "accepted" and event.type not in OPTS:
            log.events[event.key].append(event)
            log.watermarks[event.key] = max(log.watermarks.get(event.key, event.timestamp), event.timestamp)
            if event.seq is not None:
                log.numbers[event.key, event.device_id].add((event.epoch, event.seq))
    return log


def _toggle(log: Log, event: Any) -> str:
    if any(place(known) == place(event) for known in log.toggles):
        return "duplicate"
    log.toggles.append(event)
    return "accepted"


def _judge(log: Log, event: Any) -> str:
    oldest = log.watermarks.get(event.key, event.timestamp) - log.constants.lateness_ms
    if event.seq is None:
        same = (event.id, event.device_id)
        for known in log.events[event.key]:
            if known.timestamp >= oldest and (known.id, known.device_id) == same:
                return "duplicate"
    else:
        verdict = _by_sequence(log, event)
        if verdict != "new":
            return verdict
    return "late" if event.timestamp < oldest else "accepted"


def _by_sequence(log: Log, event: Any) -> str:
    known = log.numbers.get((event.key, event.device_id))
    if not known:
        return "new"
    epoch, highest = max(known)
    if event.epoch != epoch:
        return "new" if event.epoch > epoch else "late"
    if event.seq <= highest - log.constants.sequence_window:
        return "late"
    return "duplicate" if (epoch, event.seq) in known else "new"


def window(log: Log, key: str, device: str) -> tuple[int, int, tuple[int, ...]]:
    """(epoch, highest seq, the accepted numbers of the window in rising order) of a device in a key."""
    epoch, highest = max(log.numbers[key, device])
    oldest = highest - log.constants.sequence_window
    return epoch, highest, tuple(sorted(seq for e, seq in log.numbers[key, device] if e == epoch and seq > oldest))
