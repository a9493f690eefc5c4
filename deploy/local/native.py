"""Builds the compiled fold: ``python3 -m deploy.local.native``; nothing to do the second time.

One library out of ``streams/native/src`` by ``rustc`` alone, with nothing from any registry. The result is kept in the
cache of programs under the hash of its sources and the compiler's version. Only the standard library, so that it runs
while pip is still busy. Without a compiler the simple fold does the work, slower: whoever starts a worker is told.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from deploy.local import cache, system
from deploy.local.cache import Echo
from deploy.local.told import told
from streams.errors import SetupError

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ROOT / "streams/native/src"
LIBRARY: Final = ROOT / "streams/native/lib/libfield.so"
OPTIONS: Final = (
    "--crate-name=field", "--crate-type=cdylib", "--edition=2021", "-Copt-level=3", "-Ccodegen-units=1",
    "-Coverflow-checks=on", "-Cstrip=symbols",
)  # fmt: skip
"""Numbers that overflow stop the fold instead of making it wrong; with the sources these name the library."""


def digest(sources: Path = SOURCES) -> str:
    """Of what the library is made of."""
    found = hashlib.sha256(" ".join(OPTIONS).encode())
    for path in sorted(sources.rglob("*.rs")):
        found.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def stamp(library: Path = LIBRARY) -> Path:
    """The file beside a library that says what it was made of."""
    return library.with_suffix(".stamp")


def is_built(library: Path = LIBRARY, sources: Path = SOURCES) -> bool:
    """Whether the library is there and was made of these sources."""
    try:
        return library.is_file() and stamp(library).read_text() == digest(sources)
    except OSError:
        return False


def build(echo: Echo, library: Path = LIBRARY, sources: Path = SOURCES) -> bool:
    """Builds unless it is there; whether it did. Raises SetupError."""
    if is_built(library, sources):
        return False
    compiler = _compiler(echo)
    version = system.run([compiler, "--version"], "asking the compiler for its version").strip()
    entry = cache.key("native", digest(sources)[:16], version)
    made = cache.obtain(entry, lambda folder: _compile(compiler, sources, folder), echo)
    library.parent.mkdir(parents=True, exist_ok=True)
    part = library.with_suffix(f".{os.getpid()}.part")
    shutil.copy(made / library.name, part)
    part.replace(library)  # a process that has the old one open keeps it
    stamp(library).write_text(digest(sources))
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
