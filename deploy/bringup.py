"""From nothing to a running stack and back: parts, topics, schema, processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy import context, ports, processes, scrape, secret_files
from deploy.local import locked, monitoring, parts
from deploy.locked.home import as_role
from deploy.processes import Process
from deploy.supervisor import Supervisor, field_command, last_line
from projections.migrate import migrate
from streams import topics
from streams.embedded.store import FOLDER
from streams.errors import FieldError, FoldVersionError, SettingError
from streams.settings import RULE_PREFIX, Settings, exports, known, read

ROLES: Final = ("worker", "projector", "publisher")
"""Of each generation."""
GATEWAY: Final = "gateway"
"""One for all of them: it shows what readers see."""
SUPERVISOR: Final = "supervisor"
FLEET: Final = "simulate"
READY_S: Final = 60.0
DOWN_S: Final = 100.0
"""Longer than the supervisor's own patience with its children and the parts."""

REVIVE: Final = signal.SIGUSR1
"""Tells a supervisor to start again what stays down."""
FOR_LIFE: Final = ("GENERATION", "EVENTS_TOPIC", "CHANGES_TOPIC", "REJECTED_TOPIC", "PARTITIONS", "SHARDS", "PARTS")
"""With the places and the rules: what roles of a running stack must agree on."""

Say = Callable[[str], None]


class NotReady(FieldError):
    """The processes were started and do not come up; says which and where its log is."""


class Refused(NotReady):
    """A process refuses what another fold has left; parts and supervisor stay up, so that it can be rebuilt."""

    exit_code = FoldVersionError.exit_code


class Running(FieldError):
    """A stack of this home runs already."""


def supervisor_of(home: Path) -> Process | None:
    """The running supervisor of this home, in the background or in somebody's terminal."""
    return next((p for p in processes.read_all(home) if p.role == SUPERVISOR and processes.alive(p)), None)


def places(environ: Mapping[str, str], say: Say) -> Settings:
    """Choose places and remember them; returns the settings in force."""
    context.remember(context.home_of(environ), ports.choose(environ, say))
    settings = context.load(environ)
    if not settings.locked:
        return settings
    if (how := parts.choose(settings)[0]) != "local":
        raise SettingError("FIELD_LOCKED", f"is for local parts, and these are run by {how}: see deploy/SECURITY.md")
    locked.refuse_open(settings)
    locked.make(settings)
    return context.load(environ)


def prepare(settings: Settings, say: Say) -> None:
    """Start the parts, make topics and schema."""
    parts.start(settings, echo=say)
    ours = as_role(settings, "migrator")
    created = asyncio.run(topics.create(ours))
    applied = migrate(ours.database_url, retention_days=settings.retention_days)
    if created:
        say(f"topics created: {', '.join(created)}")
    if applied:
        say(f"migrations applied: {', '.join(f'{number:03d}' for number in applied)}")


def stop(settings: Settings) -> None:
    """Stop the parts of this home."""
    parts.stop(settings)


def revive(running: Process, environ: Mapping[str, str], say: Say) -> None:
    """Have the roles started again that stay down, with what the environment says now.

    Raises Running when the environment names what cannot change while the others run.
    """
    home = context.home_of(environ)
    down = [process for process in processes.read_all(home) if process.exit_code is not None]
    before = context.remembered(home)
    changed = _changed(before, environ)
    fixed = {f"FIELD_{name}" for name in FOR_LIFE}.union(context.PLACES)
    stuck = [name for name in changed if name in fixed or name.startswith(RULE_PREFIX)]
    if stuck:
        raise Running(f"it runs with another {', '.join(stuck)} (supervisor pid {running.pid}); `field down` first")
    if not down:
        if changed:
            say(f"what runs keeps its {', '.join(changed)}; `field down` and `field up` take the new one")
        return
    asked = context.asked(environ)
    context.remember(home, secret_files.over(before, {name: asked[name] for name in changed}))
    for process in down:
        processes.remove(home, process.role)
    say(f"starting again: {', '.join(process.role for process in down)}")
    os.kill(running.pid, REVIVE)


def _changed(before: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Settings that the environment names and that are not those of the running stack."""
    asked = context.asked(environ)
    for name in context.OWN_PORTS:  # 0 is any: the port it has is fine
        if asked.get(name) == "0":
            del asked[name]
    if asked.get("FIELD_PARTS") == "auto":  # as it was chosen
        del asked["FIELD_PARTS"]
    both = before, secret_files.over(before, asked)
    old, new = (exports(read(secret_files.resolved(found)), secrets=True) for found in both)
    return [name for name in sorted(asked) if old[secret := secret_files.FILES.get(name, name)] != new[secret]]


def environment(settings: Settings) -> dict[str, str]:
    """What the processes are started with; the rest they read from ``env.json`` like every command."""
    where = exports(settings, secrets=False)
    chosen = {name: where[name] for name in ("FIELD_HOME", *context.OWN_PORTS)}
    return {**os.environ, **chosen, "PYTHONUNBUFFERED": "1"}


def supervisor(settings: Settings, fleet: Sequence[str], say: Say) -> Supervisor:
    """A supervisor of the processes of all generations, and of a simulated fleet where ``fleet`` has its options."""
    commands, over = roles(settings, fleet)
    return Supervisor(Path(settings.home), commands, environment(settings), say, over)


def roles(settings: Settings, fleet: Sequence[str]) -> tuple[dict[str, Sequence[str]], dict[str, dict[str, str]]]:
    """(arguments, environment beside the common one) by role; ``worker@NAME``: of a generation beside."""
    commands: dict[str, Sequence[str]] = {FLEET: field_command("simulate", *fleet)} if fleet else {}
    commands |= {role: field_command(role) for role in (GATEWAY, *ROLES)}
    over: dict[str, dict[str, str]] = {}
    for name, values in context.beside(Path(settings.home)).items():
        if name == context.MAIN:
            over |= dict.fromkeys(ROLES, values)
            continue
        for role in ROLES:
            commands[f"{role}@{name}"] = field_command(role)
            over[f"{role}@{name}"] = {**values, "FIELD_INSTANCE": "", **dict.fromkeys(context.OWN_PORTS, "0")}
    return commands, over


def claim(home: Path) -> None:
    """Write our own process file as the supervisor; raises Running when there is one."""
    other = supervisor_of(home)
    if other is not None and other.pid != os.getpid():
        raise Running(f"it runs already here (supervisor pid {other.pid}); `field down` stops it")
    mine = Process(SUPERVISOR, os.getpid(), time.time(), processes.identity(os.getpid()))
    processes.write(home, mine)


async def ready(settings: Settings, roles: Mapping[str, str], alive: Callable[[], bool] = lambda: True) -> None:
    """Return when every role answers; ``roles`` are roles with the names of their log files.

    Raises NotReady with the last line of the one that does not, Refused where the state is of another fold.
    """
    home = Path(settings.home)
    until = time.monotonic() + READY_S
    missing = list(roles)
    while missing and alive() and time.monotonic() < until:
        down = {process.role: process for process in processes.read_all(home) if process.exit_code}
        for role in list(missing):
            if role in down:
                kind = Refused if down[role].exit_code == Refused.exit_code else NotReady
                log = home / "logs" / f"{roles[role]}.log"
                raise kind(f"{role} ended: {last_line(log)} {down[role].advice}")
            if await asyncio.to_thread(scrape.scrape, settings, role) is not None:
                missing.remove(role)
        await asyncio.sleep(0.1)
    if missing:
        log = home / "logs" / f"{roles[missing[0]]}.log"
        raise NotReady(f"{missing[0]} does not come up; {log} ends with: {last_line(log)}")


def start_background(settings: Settings) -> subprocess.Popen[bytes]:
    """The supervisor as a process of its own that outlives this command.

    It gets no settings beside its places: ``env.json`` has them, where ``revive`` can change them.
    """
    given = environment(settings)
    chosen = ("FIELD_HOME", *context.OWN_PORTS)
    passed_on = known() | set(secret_files.FILES)
    given = {name: value for name, value in given.items() if name in chosen or name not in passed_on}
    log = Path(settings.home) / "logs" / f"{SUPERVISOR}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            field_command("supervise"),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=given,
            start_new_session=True,
        )


def down(environ: Mapping[str, str], say: Say) -> Settings:
    """Stop supervisor, processes and parts of this home; data is kept. Nothing running is no error."""
    settings = context.load(environ)
    home = Path(settings.home)
    found = sorted(processes.read_all(home), key=lambda process: process.role != SUPERVISOR)
    for process in found:
        if processes.alive(process):
            say(f"stopping {process.role}")
        processes.end(home, process, DOWN_S if process.role == SUPERVISOR else processes.TERM_S)
    if home.exists():
        monitoring.stop(settings)
        parts.stop(settings)
    return settings


def clean(environ: Mapping[str, str], say: Say) -> None:
    """``down``, then delete what this home holds. Parts that run elsewhere keep what is in them."""
    settings = down(environ, say)
    home = Path(settings.home)
    if not home.exists():
        return
    if parts.choose(settings)[0] == "none":
        say("Kafka, PostgreSQL and Redis are not run from here: topics, database and keys stay")
    monitoring.clean(settings)
    parts.clean(settings)
    for name in ("run", "logs", "faust", "reports", FOLDER):
        shutil.rmtree(home / name, ignore_errors=True)
    context.forget(home)
