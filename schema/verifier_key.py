"""The verifier's fold of one routing key: what is accepted, and what it comes to, by schema/digest.md alone."""

from __future__ import annotations

from typing import Any

from verifier_events import RESONATE, Event

# fmt: off
RULES: dict[str, Any] = {
    "lateness_ms": 10_000, "slot_ms": 10_000, "slots": 60, "silence_ms": 300_000, "seats": 64, "echo_distance": 10.0,
    "echo_window_s": 60, "sequence_window": 64, "particles": 1_000, "quantum_fields": 10, "weight_breath": 1,
    "weight_touch": 2, "weight_spiral": 3, "weight_bloom": 5, "weight_phrase": 8,
}
# fmt: on
WEIGHT_RULES = {kind: "weight_" + kind.lower().removeprefix("sacred_") for kind in RESONATE}


class Key:
    """One routing key. ``pending``: accepted and not folded; all before ``settled`` (ms) is folded."""

    def __init__(self) -> None:
        self.watermark = self.settled = -1
        self.windows: dict[str, tuple[int, int, int]] = {}  # device -> epoch, highest seq, bits of those up to it
        self.known: dict[tuple[str, str], int] = {}  # (id, device) -> highest accepted timestamp
        self.pending: list[Event] = []
        self.rows: dict[str, list[Any]] = {}  # device -> last seen, spot, breath, slots, counts
        self.opened = self.last = self.seats_until = -1
        self.present: dict[str, tuple[int, int]] = {}  # device -> joined, last heard
        self.heard: dict[str, list[int]] = {}  # device -> blooms, phrases
        self.seats: set[str] = set()
        self.gestures: dict[Any, list[Event]] = {}
        self.pairs: dict[tuple[str, str], list[Any]] = {}  # before, last, echoed, explicit, kind, intensity

    @property
    def floor(self) -> int:
        return int(self.watermark - RULES["lateness_ms"])

    def accept(self, event: Event) -> str:
        """Take an event in, or say why not."""
        size, device, name = RULES["sequence_window"], event.device, (event.id, event.device)
        epoch, high, bits = self.windows.get(device, (-1, -1, 0))
        ahead = event.seq - high
        if event.seq < 0:
            if self.known.get(name, -1) >= max(self.floor, 0):
                return "duplicate"
        elif event.epoch < epoch or (event.epoch == epoch and -ahead >= size):
            return "late"
        elif event.epoch == epoch and ahead <= 0 and bits >> -ahead & 1:
            return "duplicate"
        if event.timestamp < self.floor:
            return "late"
        if event.seq >= 0:
            if event.epoch > epoch:
                high, bits = event.seq, 1
            elif ahead > 0:
                high, bits = event.seq, (bits << min(ahead, size) | 1) & ((1 << size) - 1)
            else:
                bits |= 1 << -ahead
            self.windows[device] = event.epoch, high, bits
        self.known[name] = max(event.timestamp, self.known.get(name, -1))
        self.watermark = max(event.timestamp, self.watermark)
        self.pending.append(event)
        return "accepted"

    def hear(self, event: Event) -> None:
        """Fold one event; they come in their order, and only those that are not left out."""
        timestamp, device, kind, target = event.timestamp, event.device, event.kind, event.target
        second = timestamp // 1000
        row = self.rows.get(device)
        if row is None:
            row = self.rows[device] = [-1, None, None, {}, {}]
        row[0] = timestamp
        row[1] = event.spot or row[1]
        row[4][kind] = row[4].get(kind, 0) + 1
        if kind == "BREATH":
            row[2] = (timestamp, event.data["phase"])
        if kind in WEIGHT_RULES:
            weight, slot = RULES[WEIGHT_RULES[kind]], timestamp // RULES["slot_ms"]
            felt, weights = row[3].get(slot, (0, 0))
            row[3][slot] = (felt + event.millionths * weight, weights + weight)
        if event.room is not None:
            self.enter(event)
        if target is None:
            if event.room is not None and kind in ("SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE"):
                self.gesture(event, second)
        elif target != device and kind == "TOUCH":
            self.echo(pair_of(device, target), second)
        elif target != device and kind == "ENTANGLE":
            self.bind(pair_of(device, target), second, event.data)
        elif target != device:
            self.release(pair_of(device, target))

    def enter(self, event: Event) -> None:
        """Session, presence and tallies of a room."""
        at, device, silence = event.timestamp, event.device, RULES["silence_ms"]
        is_open = self.opened >= 0 and at - self.last <= silence
        if event.kind == "LEAVE":
            if is_open:
                self.last = at
                self.absent(device)
            return
        if not is_open:
            self.opened, self.seats_until = at, -1
            self.present, self.heard, self.gestures = {}, {}, {}
        self.last = at
        joined, heard = self.present.get(device, (at, -1))
        if heard < 0 or at - heard > silence:
            joined, self.seats_until = at, -1
        self.present[device] = (joined, at)
        tally = self.heard.setdefault(device, [0, 0])
        tally[0] += event.kind == "BLOOM"
        tally[1] += event.kind == "SACRED_PHRASE"

    def absent(self, device: str) -> None:
        if self.present.pop(device, None):
            self.seats_until = -1

    def seated(self, at: int) -> set[str]:
        """The first present by (joined, device); looked up again when one has joined, left or may be silent."""
        if at > self.seats_until:
            silence = RULES["silence_ms"]
            here = sorted((joined, device) for device, (joined, last) in self.present.items() if at - last <= silence)
            self.seats = {device for _, device in here[: RULES["seats"]]}
            self.seats_until = min((self.present[device][1] for _, device in here), default=at) + silence
        return self.seats

    def gesture(self, event: Event, second: int) -> None:
        """Echoes of the same gesture in this second and the one before."""
        made = self.gestures.setdefault((event.kind, event.data.get("phrase")), [])
        if made and made[0].timestamp // 1000 < second - 1:
            made[:] = [other for other in made if other.timestamp // 1000 >= second - 1]
        seats = self.seated(event.timestamp)
        if event.device in seats:
            for other in made:
                if other.device != event.device and other.device in seats and near(other.spot, event.spot):
                    self.echo(pair_of(other.device, event.device), second)
        made.append(event)

    def echo(self, pair: tuple[str, str], second: int) -> None:
        bond = self.pairs.setdefault(pair, [None] * 6)
        before, last, echoed = bond[:3]
        if last != second:
            if echoed is None and before is not None and second - before <= RULES["echo_window_s"]:
                echoed = second
            is_recent = last is not None and second - last <= RULES["echo_window_s"]
            bond[:3] = last if is_recent else None, second, echoed

    def bind(self, pair: tuple[str, str], second: int, data: dict[str, Any]) -> None:
        bond = self.pairs.get(pair)
        if bond is None or is_stale(bond, second):
            bond = self.pairs[pair] = [None] * 6
        since = second if bond[3] is None else bond[3]
        bond[3:] = since, data.get("kind", "bond"), round(data.get("intensity", 1.0) * 1_000_000)

    def release(self, pair: tuple[str, str]) -> None:
        bond = self.pairs.get(pair)
        if bond is not None and bond[3] is not None:
            bond[3:] = [None] * 3
            if bond[1] is None:
                del self.pairs[pair]

    def forget(self, device: str) -> None:
        """The device is out."""
        self.rows.pop(device, None)
        self.heard.pop(device, None)
        self.absent(device)
        for made in self.gestures.values():
            made[:] = [other for other in made if other.device != device]
        for pair in [pair for pair in self.pairs if device in pair]:
            del self.pairs[pair]

    def prune(self) -> None:
        """Drop what no later event can need, to save memory only."""
        for row in self.rows.values():
            row[3] = readable(row[3], self.watermark)
        self.known = {name: at for name, at in self.known.items() if at >= self.floor}


def pair_of(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def near(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return True
    x, y, z = (a - b for a, b in zip((*one[:2], one[2] or 0.0), (*other[:2], other[2] or 0.0), strict=True))
    return bool(x * x + y * y + z * z <= RULES["echo_distance"] * RULES["echo_distance"])


def is_stale(bond: list[Any], second: int) -> bool:
    """Not entangled, and no later echo can make three of those that it has."""
    oldest = second - RULES["echo_window_s"] - RULES["lateness_ms"] // 1000
    return bond[2] is None and bond[3] is None and (bond[1] is None or bond[1] < oldest)


def readable(slots: dict[int, Any], watermark: int) -> dict[int, Any]:
    oldest = watermark // RULES["slot_ms"] - RULES["slots"]
    return slots if not slots or min(slots) > oldest else {slot: sums for slot, sums in slots.items() if slot > oldest}
