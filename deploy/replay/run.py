"""``field replay run``: one process per partition up to the cores, a bar, a brake on the live lag; may be paused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.local import monitoring
from deploy.positions import LogWatch
from deploy.replay.child import PAUSED, Told, command
from streams import metrics
from streams.errors import FieldError, PartUnavailable
from streams.replay.span import Span
from streams.settings import Settings, identity

LOOK_S: Final = 1.0
SILENT_S: Final = 30.0
"""A live worker that has kept nothing new for so long is down: to wait for it would be to wait for ever."""
LINE_S: Final = 5.0
"""How often a line is printed where there is no terminal for a bar."""


class ReplayFailed(FieldError):
    """A process of a replay ended with an error; what it had folded is kept."""


class Brake:
    """Holds the replay while the live worker is more than ``lag_max`` records behind, until it is under half of it."""

    def __init__(self, lag_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lag_max = lag_max
        self._clock = clock
        self._moved = clock()
        self._positions: Mapping[int, int] = {}
        self.on = False

    def look(self, ends: Mapping[int, int], positions: Mapping[int, int]) -> bool:
        """Whether to hold, with the last offset of the log and of the live state by partition."""
        if positions != self._positions:
            self._positions, self._moved = dict(positions), self._clock()
        lag = sum(max(0, end - positions.get(partition, -1)) for partition, end in ends.items())
        down = self._clock() - self._moved > SILENT_S
        self.on = not down and lag > (self._lag_max / 2 if self.on else self._lag_max)
        return self.on


class Runner:
    """Runs the processes. ``ends``: offset after the last record to fold, by partition; ``role``: their account's."""

    def __init__(
        self, ours: Settings, span: Span, ends: Mapping[int, int], processes: int, rate: float | None,
        role: str = "operator",
    ) -> None:  # fmt: skip
        self._ours = ours
        self._role = role
        self._span = span
        self._ends = dict(ends)
        self._rate = rate
        self._slots = asyncio.Semaphore(processes)
        self._processes = min(processes, len(self._ends))
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self.held = False
        self.stopping = False
        self.folded = dict.fromkeys(self._ends, 0)
        self.positions = dict.fromkeys(self._ends, -1)

    @property
    def generation(self) -> str:
        """The one that is folded."""
        return self._ours.generation

    async def run(self) -> bool:
        """All partitions; False when it was paused. Raises ReplayFailed with the first error of a process."""
        # the longest first: begun last, it would run alone
        order = sorted(self._ends, key=lambda partition: -self._ends[partition])
        tasks = [asyncio.create_task(self._fold(partition)) for partition in order]
        try:
            return all(await asyncio.gather(*tasks))
        except BaseException:
            self.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def stop(self) -> None:
        """Every process makes a last checkpoint and ends."""
        self.stopping = True
        for partition in list(self._children):
            self._say(partition, "stop")

    def hold(self, held: bool) -> None:
        """Stand still, or go on."""
        if held != self.held:
            self.held = held
            for partition in list(self._children):
                self._say(partition, f"rate {self._share()}")

    async def _fold(self, partition: int) -> bool:
        async with self._slots:
            if self.stopping:
                return False
            child = await asyncio.create_subprocess_exec(
                *command(partition, self._ends[partition], self._span, self._share(), self._role),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **identity(self._ours), "FIELD_HOME": self._ours.home},
                start_new_session=True,  # Ctrl-C reaches us, who tell them
            )
            self._children[partition] = child
            self._say(partition, "stop" if self.stopping else f"rate {self._share()}")  # it may have changed meanwhile
            try:
                assert child.stderr is not None
                errors, _ = await asyncio.gather(child.stderr.read(), self._hear(partition, child))
                code = await child.wait()
            finally:
                del self._children[partition]
                if child.returncode is None:
                    child.kill()
            if code not in (0, PAUSED):
                said = errors.decode(errors="replace").strip().splitlines() or [f"exit {code}"]
                raise ReplayFailed(
                    f"partition {partition}: {said[-1].removeprefix('field: ')}; what is folded is kept, "
                    f"`field replay run --resume {self._ours.generation}` goes on"
                )
            return code == 0

    async def _hear(self, partition: int, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        while line := await child.stdout.readline():
            told = msgspec.json.decode(line, type=Told)
            self.positions[partition], self.folded[partition] = told.position, told.events

    def _share(self) -> str:
        if self.held:
            return "0"
        return "-" if self._rate is None else f"{self._rate / self._processes:g}"

    def _say(self, partition: int, line: str) -> None:
        stdin = self._children[partition].stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(line.encode() + b"\n")


async def run(runner: Runner, live: Settings, records: int, lag_max: int) -> bool:
    """Run with bar, brake and signals; False when it was paused. ``records``: how many there are to read in all."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, runner.stop)
    beside = [asyncio.create_task(_brake(runner, live, lag_max)), asyncio.create_task(_show(runner, records))]
    try:
        with monitoring.announced(live, runner.generation, metrics.serve("replay", live)):
            return await runner.run()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _brake(runner: Runner, live: Settings, lag_max: int) -> None:
    brake = Brake(lag_max)
    while True:
        with contextlib.suppress(PartUnavailable):
            async with LogWatch(live) as watch:
                while True:
                    runner.hold(brake.look(await watch.ends(), await watch.worker()))
                    await asyncio.sleep(LOOK_S)
        runner.hold(False)  # there is no live state to wait for
        await asyncio.sleep(LOOK_S)


async def _show(runner: Runner, records: int) -> None:
    begun, line_at, told = time.monotonic(), 0.0, 0
    name = runner.generation
    metrics.REPLAY_RECORDS.labels(name).set(records)
    console = Console(stderr=True)
    columns = (
        TextColumn("folding"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[rate]:,.0f} events/s"), TextColumn("left"), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=max(1, records), rate=0.0, note="")
        while True:
            await asyncio.sleep(LOOK_S / 4)
            done = sum(max(0, position + 1) for position in runner.positions.values())
            events, seconds = sum(runner.folded.values()), time.monotonic() - begun
            metrics.REPLAY_READ.labels(name).set(done)
            metrics.REPLAY_HELD.labels(name).set(runner.held)
            metrics.REPLAY_EVENTS.labels(name).inc(events - told)
            told = events
            note = "held: the live worker lags" if runner.held else ""
            bar.update(task, completed=done, rate=events / seconds, note=note)
            if not console.is_terminal and seconds - line_at >= LINE_S:
                line_at = seconds
                print(f"{done} of {records} records, {events / seconds:,.0f} events/s {note}", file=sys.stderr)
