"""This machine and this installation: settings that matter, packages, the compiled fold, disk, open files, ports."""

from __future__ import annotations

import platform
import resource
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from deploy import context, ports, processes
from deploy.doctor.findings import Verdict, bad, ok, warn
from streams import engine, metrics
from streams.errors import SettingError
from streams.settings import Settings

DISK_SHARE_WARN: Final = 0.10
DISK_SHARE_BAD: Final = 0.03
FILES_MIN: Final = 4_096
"""A gateway holds one for each listener, a broker one for each segment of its log."""
ROLES: Final = ("worker", "projector", "publisher", "gateway")


class Machine(NamedTuple):
    """What is looked at here; ``folder`` is where the least share of a disk is free."""

    settings: Settings
    requirements: Path
    files_max: int
    free_share: float
    free_bytes: int
    folder: Path


def ask(settings: Settings) -> Machine:
    """One look; raises SettingError."""
    found = [(shutil.disk_usage(folder), folder) for folder in metrics.disks(settings)]
    disk, folder = min(found, key=lambda one: one[0].free / one[0].total)
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    requirements = context.clone() / "requirements.txt"
    return Machine(settings, requirements, files_max, disk.free / disk.total, disk.free, folder)


def settings(it: Machine) -> Iterator[Verdict]:
    """They were read and checked before anything else; what is left are combinations that nobody wants for real."""
    fine = True
    if it.settings.gateway_host not in ("127.0.0.1", "localhost", "::1") and not it.settings.gateway_key:
        fine = False
        yield bad(f"the gateway listens on {it.settings.gateway_host} and asks for no token", "set FIELD_GATEWAY_KEY")
    elsewhere = bool(it.settings.endpoints)  # an operator's place: workers have names of their own, where they are
    if it.settings.replication > 1 and not it.settings.instance and not elsewhere:
        fine = False
        yield warn(
            "FIELD_INSTANCE is empty: each restart of a worker moves partitions twice", "give each worker a name"
        )
    if it.settings.replication == 2:
        fine = False
        yield warn("FIELD_REPLICATION is 2: a write may be on one broker alone", "3, then 2 must have it")
    if fine:
        yield ok("all are known and possible")


def packages(it: Machine) -> Iterator[Verdict]:
    if not it.requirements.is_file():
        return
    wrong = []
    for line in it.requirements.read_text().splitlines():
        name, _, wanted = line.partition("==")
        name = name.partition("[")[0].strip()
        if not wanted:
            continue
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "missing"
        if found != wanted.strip():
            wrong.append(f"{name} {found}, not {wanted.strip()}")
    if wrong:
        yield warn("; ".join(wrong), "`make venv` brings what was tested together")
    else:
        yield ok(f"as in requirements.txt, Python {platform.python_version()}")


def compiled_fold(it: Machine) -> Iterator[Verdict]:
    try:
        name = engine.name(it.settings)
    except SettingError as error:
        yield bad(str(error), "`python -m deploy.local.native` builds it, or set FIELD_FOLD=auto")
        return
    if engine.is_compiled(it.settings):
        yield ok("it is built and works")
    else:
        yield warn(f"the fold is the {name}: a tenth as fast", "`python -m deploy.local.native` builds the other one")


def disk(it: Machine) -> Iterator[Verdict]:
    said = f"{it.free_bytes / (1 << 30):,.1f} GiB free ({it.free_share:.0%}) at {it.folder}"
    if it.free_share < DISK_SHARE_BAD:
        yield bad(said, "make room now: a full disk stops Kafka and PostgreSQL")
    elif it.free_share < DISK_SHARE_WARN:
        yield warn(said, "make room, or move FIELD_HOME")
    else:
        yield ok(said)


def open_files(it: Machine) -> Iterator[Verdict]:
    if it.files_max != resource.RLIM_INFINITY and it.files_max < max(FILES_MIN, it.settings.push_connections_max + 512):
        yield warn(
            f"{it.files_max} at most for a process, {it.settings.push_connections_max} listeners may come",
            f"`ulimit -n {max(FILES_MIN, 2 * it.settings.push_connections_max)}` before the start",
        )
    else:
        yield ok("no limit" if it.files_max == resource.RLIM_INFINITY else f"{it.files_max} for a process")


def ports_in_use(it: Machine) -> Iterator[Verdict]:
    """Taken by somebody else, before the start; what runs here has its own."""
    home = Path(it.settings.home)
    ours = {process.role for process in processes.read_all(home) if processes.alive(process)}
    if ours:
        yield ok(f"held by what runs here: {', '.join(sorted(ours))}")
        return
    named = {f"FIELD_{role.upper()}_METRICS_PORT": getattr(it.settings, f"{role}_metrics_port") for role in ROLES}
    named["FIELD_GATEWAY_PORT"] = it.settings.gateway_port
    busy = {name: port for name, port in named.items() if port and ports.taken(port)}
    for name, port in busy.items():
        yield warn(f"{port} is taken by another program", f"set {name} to another, or to 0 for any")
    if not busy:
        yield ok("free")


def stays_down(it: Machine) -> Iterator[Verdict]:
    found = processes.read_all(Path(it.settings.home))
    for process in found:
        if process.exit_code:
            yield bad(f"{process.role} has ended ({process.exit_code})", process.advice or "look into its log")
    if found and not any(process.exit_code for process in found):
        yield ok("nothing that was started here stays down")


CHECKS: Final[tuple[Callable[[Machine], Iterator[Verdict]], ...]] = (
    settings, packages, compiled_fold, disk, open_files, ports_in_use, stays_down,
)  # fmt: skip
