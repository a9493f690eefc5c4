"""``field run``, ``up``, ``down``, ``clean``: the whole stack of this clone."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from deploy import backend, bringup, context, live, processes
from deploy.local import monitoring
from deploy.processes import Process
from streams import logs
from streams.errors import FieldError, InputError
from streams.settings import Settings
from streams.simulate import Fleet

log = logging.getLogger("field.supervisor")

LOOK_S: Final = 1.0


def register(commands: Any) -> None:
    run = commands.add_parser("run", help="start everything with a simulated fleet, show it live; Ctrl-C stops it")
    run.add_argument("--devices", type=int, default=200, help="of the simulated fleet (default 200)")
    run.add_argument("--rate", type=float, default=200.0, help="its events a second (default 200); 0: no fleet")
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--embedded", action="store_true", help="in one process: no Kafka, PostgreSQL or Redis")
    run.set_defaults(handler=run_run)
    for name, handler, text in (
        ("up", run_up, "the same in the background, without the fleet"),
        ("down", run_down, "stop it; data is kept"),
        ("clean", run_clean, "stop it and delete its data"),
        ("supervise", run_supervise, "keep the processes alive (what `up` leaves in the background)"),
    ):
        commands.add_parser(name, help=text).set_defaults(handler=handler, logs=handler is run_supervise)


def run_up(args: argparse.Namespace) -> int:
    home = context.home_of(os.environ)
    begun = time.monotonic()
    running = bringup.supervisor_of(home)
    if running is not None:
        _prepare(context.load())  # parts that are down
        bringup.revive(running, os.environ, _say)
        asyncio.run(_ready(context.load(), lambda: processes.alive(running)))
        print(f"it is up already (supervisor pid {running.pid})")
        return 0
    settings = bringup.places(os.environ, _say)
    _prepare(settings)
    child = bringup.start_background(settings)
    try:
        asyncio.run(_ready(settings, lambda: child.poll() is None))
    except bringup.Refused:
        _say("the parts stay up; `field replay plan` and `field replay run` rebuild the state with this fold")
        raise
    except bringup.NotReady:
        bringup.down(os.environ, _say)
        raise
    _say(f"up in {time.monotonic() - begun:.1f} s; `field status` shows it, `field down` stops it")
    if page := backend.of(settings).page():
        _say(f"the live page: {page}")
    return 0


def run_down(args: argparse.Namespace) -> int:
    bringup.down(os.environ, _say)
    print("down; data is kept")
    return 0


def run_clean(args: argparse.Namespace) -> int:
    bringup.clean(os.environ, _say)
    print("clean")
    return 0


def run_supervise(args: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT; the parts are left to whoever started this."""
    settings = context.load()
    logs.start("embedded" if settings.parts == "embedded" else "supervisor", settings, waits=True)
    home = Path(settings.home)
    signal.signal(bringup.REVIVE, _nothing)  # until there is something to revive
    try:
        bringup.claim(home)
        asyncio.run(_supervise(settings, None, None))
    except FieldError as error:
        if not isinstance(error, bringup.Running):
            ended = Process(bringup.SUPERVISOR, os.getpid(), time.time(), "", 0, error.exit_code, str(error))
            processes.write(home, ended)  # `field status` tells it
        logs.ends(log, error, error.exit_code)
        return error.exit_code
    processes.remove(home, bringup.SUPERVISOR)
    return 0


def run_run(args: argparse.Namespace) -> int:
    home, environ = context.home_of(os.environ), _environ(args)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(bringup.REVIVE, _nothing)
    bringup.claim(home)
    begun = time.monotonic()
    settings: Settings | None = None
    try:
        settings = bringup.places(environ, _say)
        _prepare(settings)
        fleet = Fleet(args.devices, args.rate, args.seed, int(time.time() * 1000)) if args.rate > 0 else None
        screen = live.screen()
        try:
            asyncio.run(_supervise(settings, fleet, screen, begun))
        finally:
            screen.close()
    except KeyboardInterrupt:
        pass  # asked to end while it was still starting
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        print("stopping", flush=True)
        monitoring.stop(settings or context.load(environ))
        backend.of(settings or context.load(environ)).stop()
        processes.remove(home, bringup.SUPERVISOR)
    print("stopped; data is kept", flush=True)
    return 0


def _prepare(settings: Settings) -> None:
    """Everything that is there before the processes start."""
    backend.of(settings).prepare(_say)
    if settings.monitoring:
        monitoring.start(settings, backend.of(settings).roles, _say)


def _environ(args: argparse.Namespace) -> dict[str, str]:
    """The environment with what ``--embedded`` says; raises InputError when it says something else."""
    if not args.embedded:
        return dict(os.environ)
    asked = os.environ.get("FIELD_PARTS", "auto")
    if asked not in ("auto", "embedded"):
        raise InputError(f"--embedded, but FIELD_PARTS={asked}: take one of them away")
    return {**os.environ, "FIELD_PARTS": "embedded"}


async def _ready(settings: Settings, alive: Callable[[], bool] = lambda: True) -> None:
    await bringup.ready(settings, backend.of(settings).roles, alive)


async def _supervise(
    settings: Settings, fleet: Fleet | None, screen: live.Screen | None, begun: float | None = None
) -> None:
    """What folds is up, live picture (where there is a screen) until a signal comes, all down."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    say: Callable[[str], None] = _tell if screen is None else screen.note
    keeper = backend.of(settings).keeper(fleet, say, stop.set)
    await keeper.start()
    tasks: set[asyncio.Task[None]] = set()

    def revive() -> None:
        task = asyncio.create_task(keeper.revive())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(bringup.REVIVE, revive)
    try:
        if screen is None:
            await stop.wait()
            return
        watch = asyncio.create_task(_watch(settings, screen, begun or time.monotonic()))
        over = asyncio.create_task(stop.wait())
        await asyncio.wait((watch, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        watch.cancel()
        (ended,) = await asyncio.gather(watch, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended
    finally:
        await keeper.stop()


async def _watch(settings: Settings, screen: live.Screen, begun: float) -> None:
    try:
        await _ready(settings)
    except bringup.Refused as error:
        screen.note(f"{error} `field replay run` rebuilds the state with this fold")
    screen.note(f"live after {time.monotonic() - begun:.1f} s; Ctrl-C stops everything, data is kept")
    if page := backend.of(settings).page():
        screen.note(f"open {page} in a browser: the living field")
    observer = backend.of(settings).observer()
    told: set[str] = set()
    try:
        while True:
            status = await observer.look()
            problems = {f"{part.part}: {part.problem}" for part in status.parts if part.problem}
            for line in sorted(problems - told):  # once, until it is over and comes back
                screen.note(line)
            told = problems
            screen.show(status)
            await asyncio.sleep(LOOK_S)
    finally:
        await observer.stop()


def _say(line: str) -> None:
    print(line, flush=True)


def _tell(line: str) -> None:
    log.warning("%s", line)


def _nothing(number: int, frame: object) -> None:
    pass


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
