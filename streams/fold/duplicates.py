"""What a device has sent already: its highest (epoch, seq) and which of the 64 numbers up to it arrived.

Pure. One window per (routing key, device), so every key folds by itself.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Verdict(IntEnum):
    """What acceptance says of one delivered event."""

    ACCEPTED = 0
    DUPLICATE = 1
    LATE = 2


class Window(msgspec.Struct, array_like=True):
    """``seen`` has bit i set when the number ``high - i`` was accepted."""

    epoch: int
    high: int
    seen: int


def judge(window: Window | None, epoch: int, seq: int, size: int) -> Verdict:
    """Verdict on (epoch, seq); changes nothing."""
    if window is None or epoch > window.epoch:
        return Verdict.ACCEPTED
    if epoch < window.epoch:
        return Verdict.LATE
    behind = window.high - seq
    if behind < 0:
        return Verdict.ACCEPTED
    if behind >= size:
        return Verdict.LATE
    return Verdict.DUPLICATE if window.seen >> behind & 1 else Verdict.ACCEPTED


def admit(windows: dict[str, Window], device: str, epoch: int, seq: int, size: int) -> None:
    """Remember an accepted (epoch, seq) of a device."""
    window = windows.get(device)
    if window is None or epoch > window.epoch:
        windows[device] = Window(epoch, seq, 1)
        return
    ahead = seq - window.high
    if ahead == 1:  # nearly always
        window.high = seq
        window.seen = (window.seen << 1 | 1) & ((1 << size) - 1)
    elif ahead > 0:
        window.high = seq
        window.seen = 1 if ahead >= size else (window.seen << ahead | 1) & ((1 << size) - 1)
    else:
        window.seen |= 1 << -ahead
