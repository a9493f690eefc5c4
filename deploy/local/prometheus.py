"""Prometheus and Alertmanager with their tools, from apt; their system services stay off.

Debian's Alertmanager reads its templates from where the package puts them, so unpacking it elsewhere would not do.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from deploy.local import system
from deploy.local.cache import Echo
from streams.errors import SetupError


class Programs(NamedTuple):
    """Where they are."""

    prometheus: Path
    promtool: Path
    alertmanager: Path
    amtool: Path


def packages() -> list[str]:
    """What apt has to install before they can run."""
    return [] if _found() else ["prometheus", "prometheus-alertmanager"]


def bring(echo: Echo) -> Programs:
    """The programs, installed where they are missing (30 MB, some seconds). Raises SetupError."""
    if missing := packages():
        echo("monitoring: bringing Prometheus and Alertmanager by apt")
        system.install(missing, echo)
    if (found := _found()) is None:
        raise SetupError("apt has installed Prometheus and Alertmanager, but their programs are not on PATH")
    return found


def _found() -> Programs | None:
    """Debian calls Alertmanager another name than its makers do."""
    alertmanager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    paths = [shutil.which("prometheus"), shutil.which("promtool"), alertmanager, shutil.which("amtool")]
    found = [Path(path) for path in paths if path]
    return Programs(*found) if len(found) == len(paths) else None
