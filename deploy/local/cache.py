"""What was brought once is kept outside the clone, under a key of name, version and recipe.

Safe with several users at once: one builds under a lock into a name of its own and renames it when it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from streams.errors import SetupError

Echo = Callable[[str], None]


def folder() -> Path:
    """``$XDG_CACHE_HOME/the-field``, or below ``~/.cache``; made when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "the-field"
    path.mkdir(parents=True, exist_ok=True)
    return path


def key(name: str, version: str, recipe: str) -> str:
    """A new version or another way to build it is another entry, so an old one never passes for a new one."""
    return f"{name}-{version}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"


def find(entry: str) -> Path | None:
    """The entry, if it is there; whole whenever it is there."""
    path = folder() / entry
    return path if path.is_dir() else None


def obtain(entry: str, build: Callable[[Path], None], echo: Echo) -> Path:
    """The folder of an entry, built by ``build(empty folder)`` unless it is there. Raises what ``build`` raises."""
    if (ready := find(entry)) is not None:
        return ready
    with lock(folder() / f"{entry}.lock", lambda: echo(f"another run is bringing {entry}; waiting for it")):
        if (ready := find(entry)) is not None:
            return ready
        for left in folder().glob(f".{entry}.*"):  # of a run that was killed: we hold its lock
            remove(left)
        temporary = folder() / f".{entry}.{os.getpid()}"
        temporary.mkdir(mode=0o755)
        try:
            build(temporary)
        except BaseException:
            remove(temporary)
            raise
        temporary.chmod(0o755)
        return temporary.rename(folder() / entry)


@contextlib.contextmanager
def lock(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds an exclusive lock on a file; the kernel frees it whenever the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove(path: Path) -> None:
    """Deletes a folder, but never through a mount point: that could be this machine's own /dev."""
    if not path.is_symlink() and path.is_dir():
        inside = [m for m in mounts() if m == str(path) or m.startswith(f"{path}/")]
        if inside:
            raise SetupError(f"{path} has {inside[0]} mounted inside; unmount it first")
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def mounts() -> list[str]:
    """All mount points that this process sees; none where there is no /proc."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return []
    return [line.split()[1].replace("\\040", " ") for line in lines]
