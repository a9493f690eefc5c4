"""nginx's program on this machine: installed already, or unpacked from Debian's package into the cache.

Nothing of the package is installed, so no service starts and no configuration of it is read.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deploy.local import cache, system
from deploy.local.cache import Echo
from streams.errors import SetupError

_PROGRAM = "usr/sbin/nginx"


def find() -> Path | None:
    """The program, where it is here already."""
    installed = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if installed:
        return Path(installed)
    root = cache.find(_entry())
    return root / _PROGRAM if root else None


def bring(echo: Echo) -> Path:
    """The program, found or brought (2 s); raises SetupError."""
    if (found := find()) is not None:
        return found
    if not (system.has_apt() and system.is_debian()):
        raise SetupError("nginx is not installed and cannot be brought: that needs Debian's apt")
    if not system.apt_candidate("nginx"):
        system.apt_update(echo)

    def build(target: Path) -> None:
        echo("nginx: unpacking Debian's package into the cache")
        system.run(
            ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "nginx"], "fetching nginx", cwd=target
        )
        (package,) = target.glob("nginx_*.deb")
        system.run(["dpkg-deb", "-x", str(package), str(target)], "unpacking nginx")
        package.unlink()
        system.run([str(target / _PROGRAM), "-v"], "starting nginx")  # its libraries are there

    return cache.obtain(_entry(), build, echo) / _PROGRAM


def command(program: Path, configuration: Path) -> list[str]:
    """Runs it in the foreground; what it logs goes to its standard error and output."""
    return [str(program), "-e", "stderr", "-c", str(configuration), "-g", "daemon off;"]


def _entry() -> str:
    return cache.key("nginx", system.codename() or "unknown", f"deb {os.uname().machine}")
