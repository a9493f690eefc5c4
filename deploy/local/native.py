"""Builds the compiled fold: ``python3 -m deploy.local.native``; nothing to do the second time.

One library out of ``streams/native/src`` by ``rustc`` alone, with nothing from any registry. The result is kept in the
cache of programs under the hash of its sources and the compiler's version. Only the standard library, so that it runs
while pip is still busy. Without a compiler the simple fold does the work, slower: whoever starts a worker is told.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

from deploy.local import cache, system
from deploy.local.cache import Echo
from deploy.local.told import told
from streams.errors import SetupError
from streams.native.built import LIBRARY, OPTIONS, SOURCES, digest, is_built, stamp


def build(echo: Echo, library: Path = LIBRARY, sources: Path = SOURCES) -> bool:
    """Builds unless it is there; whether it did. Raises SetupError."""
    if is_built(library, sources) and _loads(library):
        return False
    compiler = _compiler(echo)
    version = system.run([compiler, "-vV"], "asking the compiler for its version").strip()
    entry = cache.key("native", digest(sources)[:16], version)
    if (ready := cache.find(entry)) is not None and not _loads(ready / library.name):
        cache.remove(ready)  # cut off by a power failure, say
    made = cache.obtain(entry, lambda folder: _compile(compiler, sources, folder), echo)
    library.parent.mkdir(parents=True, exist_ok=True)
    part = library.with_suffix(f".{os.getpid()}.part")
    shutil.copy(made / library.name, part)
    stamp(library).unlink(missing_ok=True)
    part.replace(library)  # a process that has the old one open keeps it
    stamp(library).write_text(digest(sources))
    return True


def _loads(library: Path) -> bool:
    try:
        ctypes.CDLL(str(library))
    except OSError:
        return False
    return True


def _compiler(echo: Echo) -> str:
    """``RUSTC``, or the one on the path, or apt's."""
    if name := os.environ.get("RUSTC"):
        return name
    if (found := shutil.which("rustc")) is None or shutil.which("cc") is None:
        system.install(["rustc"], echo)
        found = shutil.which("rustc")
    if found is None:
        raise SetupError("there is no rustc on the path")
    return found


def _compile(compiler: str, sources: Path, folder: Path) -> None:
    system.run([compiler, *OPTIONS, "-o", str(folder / LIBRARY.name), str(sources / "lib.rs")], "compiling the fold")


def main() -> int:
    """Prints one line."""
    return told("the compiled fold", build, ", the simple one works instead")


if __name__ == "__main__":
    sys.exit(main())
