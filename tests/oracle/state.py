"""The state of one routing key: its accepted events and the toggles, sorted, applied one after the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.acceptance import OPTS, Constants, place


@dataclass
class Device:
    """What a key knows of a device since it last opted in."""

    slots: dict[int, list[int]] = field(default_factory=dict)
    """slot number -> [sum of intensity x weight in millionths, sum of weights]"""
    last_seen: int = 0
    position: tuple[float, float, float | None] | None = None
    breath: tuple[int, float] | None = None
    """(timestamp, phase in radians) of the last BREATH"""
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Session:
    """A room from its first event after silence on."""

    opened: int
    last: int
    present: dict[str, tuple[int, int]] = field(default_factory=dict)
    """device -> (joined, last heard)"""
    heard: set[str] = field(default_factory=set)
    blooms: Counter[str] = field(default_factory=Counter)
    phrases: Counter[str] = field(default_factory=Counter)
    gestures: list[Any] = field(default_factory=list)


@dataclass
class Pair:
    """Two devices in a key; all times are whole seconds."""

    echoes: list[int] = field(default_factory=list)
    echoed: int | None = None
    explicit: int | None = None
    kind: str | None = None
    intensity: int | None = None

    @property
    def established(self) -> int | None:
        return min((s for s in (self.echoed, self.explicit) if s is not None), default=None)

    @property
    def last(self) -> int | None:
        return self.echoes[-1] if self.echoes else None


@dataclass
class Moment:
    """A place among the particles or the quantum fields; ``removed`` leaves the place empty."""

    event: Any
    removed: bool = False


@dataclass
class Key:
    """Everything a routing key holds."""

    constants: Constants
    devices: dict[str, Device] = field(default_factory=dict)
    session: Session | None = None
    finished: list[Session] = field(default_factory=list)
    pairs: dict[tuple[str, str], Pair] = field(default_factory=dict)
    particles: list[Moment] = field(default_factory=list)
    quantum_fields: list[Moment] = field(default_factory=list)


def fold_key(events: Iterable[Any], toggles: Iterable[Any], constants: Constants) -> Key:
    """Fold one key from nothing."""
    key = Key(constants)
    out: set[str] = set()
    for event in sorted([*events, *toggles], key=place):
        if event.type in OPTS:
            _toggle(key, out, event)
        elif event.device_id not in out and event.target not in out:
            _apply(key, event)
    return key


def _toggle(key: Key, out: set[str], event: Any) -> None:
    device = event.device_id
    if event.type == "OPT_IN":
        out.discard(device)
    elif device not in out:
        out.add(device)
        _remove(key, device)


def _remove(key: Key, device: str) -> None:
    key.devices.pop(device, None)
    for pair in [pair for pair in key.pairs if device in pair]:
        del key.pairs[pair]
    for moment in key.particles + key.quantum_fields:
        if moment.event.device_id == device:
            moment.removed = True
    if key.session:
        key.session.present.pop(device, None)
        key.session.heard.discard(device)
        key.session.blooms.pop(device, None)
        key.session.phrases.pop(device, None)
        key.session.gestures = [g for g in key.session.gestures if g.device_id != device]


def _apply(key: Key, event: Any) -> None:
    _hear(key, event)
    if event.type in ("BLOOM", "SACRED_PHRASE"):
        key.particles.append(Moment(event))
    if event.type == "FIELD":
        key.quantum_fields.append(Moment(event))
    if event.room_id is not None:
        _enter_room(key, event)
    if event.target is not None and event.target != event.device_id:
        _name_target(key, event)
    if event.room_id is not None and gesture(event) is not None:
        _gesture(key, event)


def _hear(key: Key, event: Any) -> None:
    device = key.devices.setdefault(event.device_id, Device())
    weight = key.constants.weights.get(event.type)
    if weight is not None:
        sums = device.slots.setdefault(event.timestamp // key.constants.slot_ms, [0, 0])
        sums[0] += event.intensity * weight
        sums[1] += weight
    device.last_seen = max(device.last_seen, event.timestamp)
    device.counts[event.type] += 1
    if event.x is not None:
        device.position = (event.x, event.y, event.z)
    if event.type == "BREATH":
        device.breath = (event.timestamp, event.data.phase)


def _enter_room(key: Key, event: Any) -> None:
    t, silence = event.timestamp, key.constants.silence_ms
    is_open = key.session is not None and t - key.session.last <= silence
    if event.type == "LEAVE":
        if key.session is not None and is_open:
            key.session.last = t
            key.session.present.pop(event.device_id, None)
        return
    if key.session is None or not is_open:
        if key.session is not None:
            key.finished.append(key.session)
        key.session = Session(opened=t, last=t)
    session = key.session
    session.last = t
    joined, heard = session.present.get(event.device_id, (t, t))
    session.present[event.device_id] = (t if t - heard > silence else joined, t)
    session.heard.add(event.device_id)
    if event.type == "BLOOM":
        session.blooms[event.device_id] += 1
    if event.type == "SACRED_PHRASE":
        session.phrases[event.device_id] += 1


def present(session: Session, at: int, constants: Constants) -> list[str]:
    """Devices present at a time, in order of (joining time, device)."""
    here = [(joined, name) for name, (joined, last) in session.present.items() if at - last <= constants.silence_ms]
    return [name for _, name in sorted(here)]


def seated(session: Session, at: int, constants: Constants) -> list[str]:
    """The first of those present, as many as there are seats."""
    return present(session, at, constants)[: constants.seats]


def gesture(event: Any) -> tuple[str, ...] | None:
    """What must be the same for two gestures to echo; None: not a gesture."""
    if event.type == "SACRED_PHRASE":
        return (event.type, event.data.phrase)
    if event.type in ("SPIRAL", "BLOOM") or (event.type == "TOUCH" and event.target is None):
        return (event.type,)
    return None


def _gesture(key: Key, event: Any) -> None:
    session, second = key.session, event.timestamp // 1000
    assert session is not None
    here = seated(session, event.timestamp, key.constants)
    if event.device_id in here:
        for other in session.gestures:
            if (
                other.device_id != event.device_id
                and other.device_id in here
                and gesture(other) == gesture(event)
                and other.timestamp // 1000 in (second - 1, second)
                and _near(other, event, key.constants.echo_distance)
            ):
                _echo(key, event.device_id, other.device_id, second)
    session.gestures.append(event)


def _near(one: Any, other: Any, distance: float) -> bool:
    if one.x is None or other.x is None:
        return True
    dx, dy, dz = one.x - other.x, one.y - other.y, (one.z or 0.0) - (other.z or 0.0)
    return math.sqrt(dx * dx + dy * dy + dz * dz) <= distance


def _name_target(key: Key, event: Any) -> None:
    second = event.timestamp // 1000
    if event.type == "TOUCH":
        _echo(key, event.device_id, event.target, second)
        return
    pair = _pair(key, event.device_id, event.target, second)
    if event.type == "ENTANGLE":
        if pair.explicit is None:
            pair.explicit = second
        pair.kind, pair.intensity = event.data.kind, round(event.data.intensity * 1_000_000)
    else:
        pair.explicit = pair.kind = pair.intensity = None


def _pair(key: Key, one: str, other: str, second: int) -> Pair:
    """The pair as it is at a second: one that was forgotten by then begins anew."""
    names = (min(one, other), max(one, other))
    if names not in key.pairs or forgotten(key.pairs[names], second, key.constants):
        key.pairs[names] = Pair()
    return key.pairs[names]


def forgotten(pair: Pair, second: int, constants: Constants) -> bool:
    """Nothing established it, and no event that is still accepted could make three of its echoes."""
    if pair.established is not None:
        return False
    return pair.last is None or pair.last < second - constants.forget_s


def _echo(key: Key, one: str, other: str, second: int) -> None:
    pair = _pair(key, one, other, second)
    if second == pair.last:
        return
    pair.echoes.append(second)
    recent = pair.echoes[-3:]
    if pair.echoed is None and len(recent) == 3 and recent[2] - recent[0] <= key.constants.echo_window_s:
        pair.echoed = second
