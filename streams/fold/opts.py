"""Who has left everything collective, and when: the toggles of every device, kept for ever.

Pure. A toggle stands in the order of events by (timestamp, id, device); before events of the same timestamp and id.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from enum import Enum

Place = tuple[int, str]
"""(timestamp in ms, id): a place in the order of one device's events."""
Toggle = tuple[int, str, str, bool]
"""(timestamp in ms, id, device, out)."""


class Effect(Enum):
    """What a delivered toggle does."""

    DUPLICATE = 0
    NOTHING = 1
    SWITCH = 2


class Toggles:
    """OPT_OUT and OPT_IN of all devices that ever sent one."""

    __slots__ = ("devices", "ordered")

    def __init__(self, toggles: list[Toggle] | None = None) -> None:
        self.ordered: list[Toggle] = sorted(toggles or [])
        self.devices: dict[str, list[tuple[int, str, bool]]] = {}
        for timestamp, identity, device, out in self.ordered:
            self.devices.setdefault(device, []).append((timestamp, identity, out))

    def add(self, timestamp: int, identity: str, device: str, out: bool) -> Effect:
        """Take a toggle in; says whether it is known, changes nothing, or switches the device's part."""
        own = self.devices.get(device, [])
        at = bisect_left(own, (timestamp, identity, False))
        if at < len(own) and own[at][:2] == (timestamp, identity):
            return Effect.DUPLICATE
        was_out = at > 0 and own[at - 1][2]
        own.insert(at, (timestamp, identity, out))
        self.devices[device] = own
        insort(self.ordered, (timestamp, identity, device, out))
        return Effect.NOTHING if was_out == out else Effect.SWITCH

    def is_out(self, device: str, timestamp: int, identity: str, sender: str) -> bool:
        """Whether the device is out when ``sender``'s event of that timestamp and id comes in the order."""
        own = self.devices.get(device)
        if not own:
            return False
        at = bisect_left(own, (timestamp, identity, False))
        if at < len(own) and own[at][:2] == (timestamp, identity) and device <= sender:
            at += 1
        return at > 0 and own[at - 1][2]

    def last_out(self, device: str) -> Place:
        """Place of the device's last OPT_OUT; (-1, "") when there is none."""
        for timestamp, identity, out in reversed(self.devices.get(device, [])):
            if out:
                return timestamp, identity
        return -1, ""

    def between(self, start_ms: int, end_ms: int) -> list[Toggle]:
        """Toggles with start <= timestamp < end, in order."""
        if not self.ordered or self.ordered[-1][0] < start_ms:
            return []
        return self.ordered[
            bisect_left(self.ordered, (start_ms, "", "", False)) : bisect_left(self.ordered, (end_ms, "", "", False))
        ]
