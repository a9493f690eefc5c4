"""Redis as a local process, from apt; its system service stays off."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.local import system
from deploy.local.cache import Echo


def packages() -> list[str]:
    """What apt has to install before this part can run."""
    return [] if shutil.which("redis-server") else ["redis-server"]


def bring(echo: Echo) -> Path:
    """The server's program; apt has installed it before (``packages``)."""
    system.install(packages(), echo)
    return Path(shutil.which("redis-server") or "/usr/bin/redis-server")


def prepare(program: Path, folder: Path, port: int, password: str, *, durable: bool) -> list[str]:
    """Writes the configuration (its owner's to read only: it has the password); the command that runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "dir": _quoted(str(folder)),
        "daemonize": "no",
        "appendonly": "no",  # everything in it can be made again from the changes
        "save": "300 1" if durable else '""',
    }
    if password:
        settings["requirepass"] = _quoted(password)
    file = folder / "redis.conf"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return [str(program), str(file)]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
