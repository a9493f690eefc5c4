"""The live picture of ``field run``: a table where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.observe import Status

NOTES = 6
HOLD_S = 3.0


class Screen(Protocol):
    """What shows a status; ``note`` is a line for people that stays readable."""

    def show(self, status: Status) -> None: ...
    def note(self, line: str) -> None: ...
    def close(self) -> None: ...


class Rate:
    """Events a second between two looks at a counter, which starts anew when its process does.

    A counter that moves in steps (an embedded field's, at its checkpoints) keeps its rate for HOLD_S.
    """

    def __init__(self) -> None:
        self._before: tuple[float, int] | None = None
        self._rate: float | None = None

    def of(self, count: int | None, now: float) -> float | None:
        before = self._before
        if before is not None and count == before[1] and now - before[0] < HOLD_S:
            return self._rate
        self._before = None if count is None else (now, count)
        if before is None or count is None or count < before[1] or now <= before[0]:
            self._rate = None
        else:
            self._rate = (count - before[1]) / (now - before[0])
        return self._rate


def screen(console: Console | None = None) -> Screen:
    """A live table on a terminal, else plain lines."""
    console = console or Console()
    return Picture(console) if console.is_terminal else Lines()


class Lines:
    """One line a look; for logs, pipes and tests."""

    def __init__(self) -> None:
        self._rate = Rate()

    def show(self, status: Status) -> None:
        rate = self._rate.of(status.counts.events, time.monotonic())
        print("live: " + ", ".join(summary(status, rate)), flush=True)

    def note(self, line: str) -> None:
        print(line, flush=True)

    def close(self) -> None:
        pass


class Picture:
    """A table that is drawn anew in place, with the last few notes below it."""

    def __init__(self, console: Console) -> None:
        self._rate = Rate()
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._started = False

    def show(self, status: Status) -> None:
        rate = self._rate.of(status.counts.events, time.monotonic())
        if not self._started:
            self._live.start()
            self._started = True
        notes = [Text(note, style="yellow") for note in self._notes]
        self._live.update(Group(_field(status, rate), _followers(status), *notes), refresh=True)

    def note(self, line: str) -> None:
        self._notes.append(line)
        if not self._started:
            self._live.console.print(line)

    def close(self) -> None:
        if self._started:
            self._live.stop()


def summary(status: Status, rate: float | None) -> list[str]:
    """The live figures as short phrases: also what the plain ``field status`` ends with."""
    out = [f"{_number(rate, 0)} events/s"]
    for item in status.projections:
        lag = " ".join(f"{partition}:{behind}" for partition, behind in sorted((item.lag or {}).items()))
        out.append(f"{item.projection} lag {lag or '?'}")
    out += [f"{name} {value}" for name, value in figures(status)]
    for item in status.projections:
        if item.freshness_s is not None:
            out.append(f"{item.projection} fresh {item.freshness_s:.1f} s")
    return out


def figures(status: Status) -> Iterator[tuple[str, str]]:
    """Names and values of the field itself; nothing while there is no snapshot."""
    field: dict[str, Any] = status.field or {}
    for name, key, digits in (
        ("resonance", "global_resonance", 3),
        ("active nodes", "active_nodes", 0),
        ("intelligence", "collective_intelligence", 3),
    ):
        if key in field:
            yield name, _number(field[key], digits)
    if "rooms" in field:
        yield "rooms", str(field["rooms"])
    if "entanglements_living" in field:
        yield "entanglements", str(field["entanglements_living"])


def _field(status: Status, rate: float | None) -> Panel:
    text = Text()
    for name, value in [("events/s", _number(rate, 0)), *figures(status)]:
        text.append(f"{name} ", style="dim")
        text.append(f"{value}    ", style="bold")
    return Panel(text, title="the field", subtitle="Ctrl-C stops everything, data is kept")


def _followers(status: Status) -> Table:
    table = Table("follows the log", *(f"lag {partition}" for partition in sorted(status.end)), "freshness")
    for item in status.projections:
        lag = [str((item.lag or {}).get(partition, "?")) for partition in sorted(status.end)]
        fresh = "" if item.freshness_s is None else f"{item.freshness_s:.1f} s"
        table.add_row(item.projection, *lag, fresh)
    return table


def _number(value: float | None, digits: int) -> str:
    return "?" if value is None else f"{value:,.{digits}f}"
