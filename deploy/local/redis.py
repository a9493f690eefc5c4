"""Redis as a local process, from apt; its system service stays off."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.local import system
from deploy.local.cache import Echo
from streams.settings import Settings


def packages() -> list[str]:
    """What apt has to install before this part can run."""
    return [] if shutil.which("redis-server") else ["redis-server"]


def bring(echo: Echo) -> Path:
    """The server's program; apt has installed it before (``packages``)."""
    system.install(packages(), echo)
    return Path(shutil.which("redis-server") or "/usr/bin/redis-server")


def prepare(program: Path, folder: Path, asked: Settings, *, durable: bool) -> list[str]:
    """Writes the configuration (its owner's to read only: it has the password); the command that runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": "127.0.0.1",
        "port": asked.redis_port,
        "dir": _quoted(str(folder)),
        "daemonize": "no",
        "appendonly": "no",  # everything in it can be made again from the changes
        "save": "300 1" if durable else '""',
    }
    more = ""
    if asked.locked:
        from deploy.local import locked
        from deploy.locked.home import folder as folder_of

        del settings["port"]
        own = locked.lines("redis.conf", str(folder_of(asked)), {"tls-port ": f"tls-port {asked.redis_port}"})
        more = "".join(f"{line}\n" for line in own)
    elif asked.redis_password:
        settings["requirepass"] = _quoted(asked.redis_password)
    file = folder / "redis.conf"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()) + more)
    return [str(program), str(file)]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
