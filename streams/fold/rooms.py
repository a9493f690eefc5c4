"""Rooms: sessions, who is present since when, who sits, and what the session has seen.

Pure, and folded in the order of events. Nothing closes by a timer: a session is open at T when its last event
is at most five minutes before T.
"""

from __future__ import annotations

import cmath
from collections.abc import Iterable

import msgspec

from streams.events import BLOOM, LEAVE, SACRED_PHRASE, Event
from streams.fold.rules import Rules

Stay = tuple[int, int]
"""(joined, last heard), ms."""


class Session(msgspec.Struct, array_like=True):
    """The latest session of a room. ``opened`` is -1 before the first."""

    opened: int = -1
    last: int = -1
    present: dict[str, Stay] = {}
    heard: dict[str, tuple[int, int]] = {}
    """Blooms and phrases of every device that was heard in this session."""

    def copy(self) -> Session:
        """An independent session (its values are immutable)."""
        return Session(self.opened, self.last, self.present.copy(), self.heard.copy())

    def is_open(self, at: int, rules: Rules) -> bool:
        """Whether the session is open at ``at`` (ms)."""
        return self.opened >= 0 and at - self.last <= rules.silence_ms


class Room:
    """A session with what makes its questions quick; ``closed`` gathers sessions that ended while folding."""

    __slots__ = ("_good_until", "_seated", "closed", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.closed: list[Session] = []
        self._seated: frozenset[str] = frozenset()
        self._good_until = -1

    def hear(self, event: Event, rules: Rules) -> bool:
        """Fold one event of the room; True when it opened a session."""
        session, at, device = self.session, event.timestamp, event.device_id
        alive = session.is_open(at, rules)
        if event.type == LEAVE:
            if alive:
                session.last = at
                if session.present.pop(device, None) is not None:
                    self._good_until = -1
            return False
        if not alive:
            if session.opened >= 0:
                self.closed.append(session)
            session = self.session = Session(at, at)
            self._good_until = -1
        session.last = at
        stay = session.present.get(device)
        if stay is None or at - stay[1] > rules.silence_ms:
            session.present[device] = (at, at)
            self._good_until = -1
        else:
            session.present[device] = (stay[0], at)
        blooms, phrases = session.heard.get(device, (0, 0))
        session.heard[device] = (blooms + (event.type == BLOOM), phrases + (event.type == SACRED_PHRASE))
        return not alive

    def forget(self, device: str) -> None:
        """The device opted out."""
        self.session.heard.pop(device, None)
        if self.session.present.pop(device, None) is not None:
            self._good_until = -1

    def seated(self, at: int, rules: Rules) -> frozenset[str]:
        """Who sits at ``at``: the first 64 present by (joining time, device)."""
        if at > self._good_until:
            stays = present(self.session, at, rules)
            self._seated = frozenset(device for _, device in stays[: rules.seats])
            # until then nobody falls silent; whoever joins or leaves before resets it
            oldest = min((self.session.present[device][1] for _, device in stays), default=at)
            self._good_until = oldest + rules.silence_ms
        return self._seated


def present(session: Session, at: int, rules: Rules) -> list[tuple[int, str]]:
    """(joined, device) of those present at ``at``, in the order in which they sit down."""
    return sorted(
        (joined, device) for device, (joined, last) in session.present.items() if at - last <= rules.silence_ms
    )


def prune(session: Session, floor_ms: int, rules: Rules) -> None:
    """Drop whoever was silent already at the session's last event, none of which is still to come before
    ``floor_ms``; the rest by name. Who was present at the end of a session is told when the next one has opened.
    """
    if not session.present:
        return
    at = min(floor_ms, session.last)
    kept = sorted(stay for stay in session.present.items() if at - stay[1][1] <= rules.silence_ms)
    session.present = dict(kept)


def coherence(phases: Iterable[float]) -> float:
    """Length of the mean of e^(i phase) (Kuramoto's order parameter); 0 with fewer than two phases."""
    turns = [cmath.rect(1.0, phase) for phase in phases]
    if len(turns) < 2:
        return 0.0
    return min(1.0, abs(sum(turns)) / len(turns))
