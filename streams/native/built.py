"""What the compiled library is made of, and whether the one that is there was made of the sources as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
SOURCES: Final = HERE / "src"
LIBRARY: Final = HERE / "lib" / "libfield.so"
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
