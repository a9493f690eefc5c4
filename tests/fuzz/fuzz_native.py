"""The compiled reader against Python's on mutated bytes: ``python -m tests.fuzz.fuzz_native RUNS SEED``.

Mutations know the words of JSON and of our events, so that many inputs are nearly right; frames are sealed anew, so
that their checksum holds.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

from deploy.local import native as building
from schema.examples import records
from streams.envelope import LIMITS, Limits
from streams.frame import HEADER, MAGIC
from tests.native import Compared, Native, compare

WORDS = (
    *(Path(__file__).parent / "words.txt").read_bytes().split(),
    *(b" ", b"\t\r\n", b"\0", b"\x1f", b"\x7f", "é".encode(), "😀".encode(), b"\xff", b"\xed\xa0\x80", b"\xc3"),
)
LIMITS_OF = (LIMITS, LIMITS, LIMITS, Limits(depth_max=1), Limits(depth_max=2), Limits(depth_max=3),
             Limits(event_bytes_max=200), Limits(skew_ms_max=-1_000))  # fmt: skip
CONTENT_TYPES = (None, None, None, None, None, b"application/json", b"application/vnd.field.frame", b"text/plain")


def corpus() -> list[bytes]:
    """The examples, good and bad, that are not long."""
    return [one.value for one in (*records.good(), *records.bad()) if len(one.value) < 8_192]


def mutated(rnd: Random, pool: list[bytes]) -> bytes:
    """One of the pool with up to five changes; a frame has its right length and checksum, mostly."""
    value = bytearray(rnd.choice(pool))
    for _ in range(rnd.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        _change(rnd, value, pool)
    if value.startswith(MAGIC) and len(value) >= HEADER.size and rnd.random() < 0.95:
        struct.pack_into("<I", value, 12, len(value) - HEADER.size)
        crc = zlib.crc32(memoryview(value)[HEADER.size :], zlib.crc32(memoryview(value)[: HEADER.size - 4]))
        struct.pack_into("<I", value, 16, crc)
    elif rnd.random() < 0.1:
        value = bytearray(b"[" + bytes(value) + b"," + rnd.choice(pool) + b"]")
    return bytes(value)


def _change(rnd: Random, value: bytearray, pool: list[bytes]) -> None:
    at = rnd.randrange(len(value) + 1)
    end = min(at + rnd.choice((0, 1, 1, 2, 4, 8, 40)), len(value))
    what = rnd.choice((0, 1, 2, 3, 4, 4, 4, 4, 5, 6))
    if what == 0 and at < len(value):
        value[at] ^= 1 << rnd.randrange(8)
    elif what == 1:
        del value[at:end]
    elif what == 2:
        value[at:at] = rnd.choice(WORDS)
    elif what == 3:
        value[at:end] = rnd.choice(WORDS)
    elif what == 4:
        _replace_token(rnd, value)
    elif what == 5:
        other = rnd.choice(pool)
        start = rnd.randrange(len(other) + 1)
        value[at:end] = other[start : start + rnd.choice((1, 4, 16, 64))]
    else:
        value[at:end] = rnd.randbytes(end - at)


def _replace_token(rnd: Random, value: bytearray) -> None:
    """What stands between a colon and the next comma or bracket becomes another word."""
    colons = [at for at, byte in enumerate(value) if byte == 0x3A]
    if not colons:
        return
    start = rnd.choice(colons) + 1
    ends = [end for end in (value.find(mark, start) for mark in b",}]") if end >= 0]
    value[start : min(ends, default=len(value))] = rnd.choice(WORDS)


def inputs(runs: int, seed: int) -> Iterator[tuple[bytes, Limits, bytes | None]]:
    """Values with the limits and the content type under which to read them."""
    rnd, pool = Random(seed), corpus()
    for _ in range(runs):
        yield mutated(rnd, pool), rnd.choice(LIMITS_OF), rnd.choice(CONTENT_TYPES)


def run(native: Native, runs: int, seed: int) -> Compared:
    """The sums over all inputs; raises AssertionError at the first that is not read alike."""
    events = python_events = refused = 0
    for value, limits, content_type in inputs(runs, seed):
        one = compare(native, value, records.RECEIVED_MS, limits, content_type)
        events, python_events, refused = events + one.events, python_events + one.python_events, refused + one.refused
    return Compared(events, python_events, refused)


if __name__ == "__main__":
    building.build(print)
    print(run(Native(building.LIBRARY), int(sys.argv[1]), int(sys.argv[2])))
