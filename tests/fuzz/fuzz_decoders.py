"""Fuzz target of atheris: ``python -m tests.fuzz.fuzz_decoders [CORPUS] -runs=N -seed=S``.

The first byte of an input chooses what is done with the others, so that the fuzzer gets past a frame's checksum.
"""

from __future__ import annotations

import struct
import sys
import zlib

import atheris

with atheris.instrument_imports(include=["streams", "json"]):
    from streams import frame, validate, wire
    from streams.errors import WireError
    from streams.events import Event

NOW = 1_760_000_000_000


def seal(rest: bytes) -> bytes:
    """A frame with the right length and checksum; all else is the fuzzer's."""
    head = frame.MAGIC + b"\1" + rest[:7].ljust(7, b"\0") + struct.pack("<I", len(rest[7:]))
    return head + struct.pack("<I", zlib.crc32(rest[7:], zlib.crc32(head))) + rest[7:]


def check_record(value: bytes) -> None:
    """Only events that read back, and rejections with a reason, come out."""
    items = validate.read_record(value, NOW)
    if not items:
        raise AssertionError("a record was lost")
    for index, item in enumerate(items):
        if isinstance(item, Event):
            if validate.read_record(wire.encode_event(item), NOW) != [item]:
                raise AssertionError(f"{item} does not read back")
            if validate.read_record(wire.encode_frame([item]), NOW) != [item]:
                raise AssertionError(f"{item} does not read back from a frame")
        elif item.index != index or item.reason not in validate.REASONS or not item.detail.isascii():
            raise AssertionError(item)


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    choice, rest = data[:1], data[1:]
    value = seal(rest) if choice == b"s" else b"[" + rest + b"]" if choice == b"a" else rest
    check_record(value)
    try:
        rows = wire.decode_frame(value)
    except WireError as error:
        if error.reason not in validate.REASONS:
            raise AssertionError(error) from error
    else:
        if not all(isinstance(row, Event | wire.BadRow) for row in rows):
            raise AssertionError(rows)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
