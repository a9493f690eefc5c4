"""Starts the processes, restarts what crashes, and says what to do where a restart would not help.

Some exit codes (a bad setting, a flood of bad records, another fold version, another log or schema) come back at
once however often one tries: such a process stays down, and its process file says why.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy import processes
from deploy.processes import Process

ADVICE: Final = {
    2: "a setting or an input is wrong: mend it and start again",
    3: "too many of the recent records are bad; `field rejected list` shows them with their reasons: mend the "
    "publisher, then `field up`; or let them pass with `FIELD_FLOOD_SHARE=2 field up`",
    4: "the state was written by another version of the fold: `field replay run` rebuilds it in a new generation, "
    "beside the old one",
    8: "the projection cannot go on from where it is: the last line of its log says why and what to do",
    9: "the database was made by another version of the schema: run that version, or take another database",
    11: "records that the state needs are gone from the log: bring them back, or replay into a new generation from an "
    "archive that has them",
    12: "the state is of another log than the one that is there: take another FIELD_GENERATION, or bring the log back",
}
BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
STEADY_S: Final = 60.0
"""Up for so long: the next crash starts with the shortest pause again."""
LOG_BYTES_MAX: Final = 32 * 1024 * 1024
"""A log that has grown over this is set aside (one old one is kept) when its process starts."""

Say = Callable[[str], None]


class Supervisor:
    """Children by role. ``start`` returns at once, ``stop`` when all are gone; ``say`` gets lines for people.

    ``commands`` maps a role to its full argument list, in the order in which events flow through them; ``over`` has
    what a role's environment has beside ``environ``.
    """

    def __init__(
        self,
        home: Path,
        commands: Mapping[str, Sequence[str]],
        environ: Mapping[str, str],
        say: Say = print,
        over: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.home = home
        self.commands = dict(commands)
        self.environ = dict(environ)
        self.over = {role: dict(values) for role, values in (over or {}).items()}
        self.say = say
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = False
        self._ending: set[str] = set()
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Start every role; what an earlier supervisor left behind is stopped first."""
        for old in processes.read_all(self.home):
            if old.role in self.commands:
                await asyncio.to_thread(processes.end, self.home, old)
        for role in self.commands:
            self._tasks[role] = asyncio.create_task(self._keep(role), name=role)

    async def stop(self) -> None:
        """SIGTERM in the order of the flow, SIGKILL to those that do not go; process files are removed.

        One after the other: so the worker's last checkpoint holds what the fleet has sent.
        """
        self._stopping = True
        for role in list(self._tasks):
            await self._end(role)

    def revive(self) -> None:
        """Start the roles again that stay down."""
        for role, task in self._tasks.items():
            if task.done() and not self._stopping:
                self._tasks[role] = asyncio.create_task(self._keep(role), name=role)

    async def have(self, commands: Mapping[str, Sequence[str]], over: Mapping[str, Mapping[str, str]]) -> None:
        """From now on these roles: those that are gone or changed are ended, new ones are started."""
        async with self._changing:
            wanted = {role: (list(words), dict(over.get(role, {}))) for role, words in commands.items()}
            for role in list(self._tasks):
                if wanted.get(role) != (list(self.commands[role]), self.over.get(role, {})):
                    await self._end(role)
                    del self._tasks[role]
            self.commands = dict(commands)
            self.over = {role: dict(values) for role, values in over.items()}
            for role in self.commands:
                if role not in self._tasks and not self._stopping:
                    self._tasks[role] = asyncio.create_task(self._keep(role), name=role)
            self.revive()

    async def _end(self, role: str) -> None:
        task = self._tasks[role]
        self._ending.add(role)
        child = self._children.get(role)
        if child is not None and child.returncode is None:
            child.terminate()
            try:
                async with asyncio.timeout(processes.TERM_S):
                    await child.wait()
            except TimeoutError:
                self.say(f"{role} did not end in {processes.TERM_S:.0f} s and was killed")
                child.kill()
                await child.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._ending.discard(role)
        processes.remove(self.home, role)

    async def _keep(self, role: str) -> None:
        """Run one role until it is stopped or leaves with a code that a restart cannot mend."""
        tries = restarts = 0
        while not self._stopping:
            begun = time.monotonic()
            code = await self._run(role, restarts)
            if self._stopping or role in self._ending:
                return
            if code in ADVICE or code == 0:
                self._stays_down(role, restarts, code)
                return
            tries = 0 if time.monotonic() - begun > STEADY_S else tries + 1
            restarts += 1
            pause = BACKOFF_S[min(max(tries - 1, 0), len(BACKOFF_S) - 1)]
            self.say(f"{role} ended ({_how(code)}): {last_line(self.log(role))} Again in {pause:g} s.")
            await asyncio.sleep(pause)

    async def _run(self, role: str, restarts: int) -> int:
        log = self.log(role)
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as out:
            # A session of its own: Ctrl-C in the terminal reaches the supervisor, which ends them in order.
            child = await asyncio.create_subprocess_exec(
                *self.commands[role],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**self.environ, **self.over.get(role, {})},
                start_new_session=True,
            )
        self._children[role] = child
        record = Process(role, child.pid, time.time(), processes.identity(child.pid), restarts)
        processes.write(self.home, record)
        return await child.wait()

    def _stays_down(self, role: str, restarts: int, code: int) -> None:
        child = self._children[role]
        advice = ADVICE.get(code, "it ended by itself")
        processes.write(self.home, Process(role, child.pid, time.time(), "", restarts, code, advice))
        if code:
            self.say(f"{role} stays down (exit {code}): {last_line(self.log(role))} What to do: {advice}.")

    def log(self, role: str) -> Path:
        """Where the role writes."""
        return self.home / "logs" / f"{role}.log"


def field_command(*words: str) -> list[str]:
    """Arguments that start one of our own commands in this very environment."""
    return [sys.executable, "-m", "deploy.cli", *words]


def last_line(log: Path) -> str:
    """What the last line of a process says, at most 300 characters; a full stop at its end."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return "It wrote nothing."
    line = told(lines[-1])[:300] if lines else "It wrote nothing"
    return line if line.endswith(".") else line + "."


def told(line: str) -> str:
    """The message of a line of JSON, with the error that it speaks of; any other line as it is."""
    try:
        found = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return line.strip()
    message, error = str(found.get("message", line)), str(found.get("error.type", ""))
    if error and error not in message:
        message += f" ({error}{': ' * ('error.message' in found)}{found.get('error.message', '')})"
    return message.strip()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
