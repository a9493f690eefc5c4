"""How fast the compiled reader is on one core: ``python -m tests.benchmarks.native_read [EVENTS [ROUNDS]]``.

Objects, arrays of 100 and frames of 1,000 of the same events, read to events without Python; the best round counts.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from streams.events import Event
from streams.native.built import SOURCES
from streams.wire import encode_batch, encode_event, encode_frame
from tests.benchmarks.events import events
from tests.tidy.source import ROOT

FLAGS = ("--edition", "2021", "-O", "-C", "overflow-checks=on", "-D", "warnings")
FORMS: dict[str, tuple[int, Callable[[Sequence[Event]], bytes]]] = {
    "objects": (1, lambda some: encode_event(some[0])),
    "arrays of 100": (100, encode_batch),
    "frames of 1,000": (1_000, encode_frame),
}


def program(folder: Path) -> Path:
    """The library, and the program that times it."""
    library, target = folder / "libfield.rlib", folder / "native_read"
    lib = [
        "rustc",
        *FLAGS,
        "--crate-type",
        "rlib",
        "--crate-name",
        "field",
        str(SOURCES / "lib.rs"),
        "-o",
        str(library),
    ]
    subprocess.run(lib, check=True)
    source = ROOT / "tests" / "benchmarks" / "native_read.rs"
    subprocess.run(
        ["rustc", *FLAGS, "--extern", f"field={library}", str(source), "-o", str(target)], check=True, cwd=folder
    )
    return target


def main(count: int, rounds: int) -> None:
    made = list(events(count, devices=1_000, rooms=20, rate=1_000, seed=1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed = program(folder)
        for form, (size, encode) in FORMS.items():
            values = [encode(made[at : at + size]) for at in range(0, count, size)]
            (folder / "values").write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in values))
            command = [str(timed), str(folder / "values"), str(made[-1].timestamp), str(rounds)]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            total, size_bytes, best, _ = map(int, line.split())
            print(f"{form}: {best / total:.0f} ns and {size_bytes / total:.0f} bytes an event")


if __name__ == "__main__":
    main(*(int(one) for one in (*sys.argv[1:], "100000", "20")[:2]))
