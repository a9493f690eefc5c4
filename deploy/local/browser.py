"""A browser for the tests of the page: Debian's Chromium, installed where that can be done; nothing else needs one."""

from __future__ import annotations

import shutil
from typing import Final

from deploy.local import system
from deploy.local.cache import Echo
from streams.errors import SetupError

PACKAGE: Final = "chromium"
ARGUMENTS: Final = (
    "--no-sandbox",  # of its own: it is root's, and loads nothing but our page
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """Its program, if it is here."""
    return shutil.which(PACKAGE)


def bring(echo: Echo) -> str:
    """Its program, installed by apt if need be. Raises SetupError where it cannot be had."""
    if (found := find()) is not None:
        return found
    if not (system.is_root() and system.is_debian() and system.has_apt()):
        raise SetupError(f"{PACKAGE} is missing here; as root on Debian it would be installed")
    system.install([PACKAGE], echo)
    if (found := find()) is None:
        raise SetupError(f"{PACKAGE} was installed and is not on the path")
    return found
