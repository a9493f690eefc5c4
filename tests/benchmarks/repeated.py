"""A log as long as one likes: a block of events is made once, and comes again, later, with new ids and higher numbers.

These are written straight into the columns of its frames (``schema/frame.md``), so that a hundred million events need
no object each. Nothing of it is a duplicate or late: a block begins when the one before it has ended, and each device
counts on from where it was. Pure.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.events import Event
from streams.frame import COLUMNS, HEADER
from streams.wire import encode_frame
from tests.benchmarks.bench.stage import grouped
from tests.benchmarks.events import events

BLOCK_EVENTS: Final = 1_000_000
"""A device has a hundred different events then, and a block is made in half a minute."""
FRAME_EVENTS: Final = 1_000
RATE: Final = 1_000
"""Events a second of event time."""
_CRC_AT: Final = HEADER.size - 4
_CRC: Final = "<u4"

Column = npt.NDArray[Any]


class Made(NamedTuple):
    """A frame of the first block; ``sent``: for each row how many events of the block are of its device."""

    partition: int
    key: bytes
    value: bytes
    sent: Column


class Block(NamedTuple):
    """Frames in the order of time; it lasts ``span_ms`` of event time, and comes ``times`` times."""

    frames: list[Made]
    events: int
    span_ms: int
    times: int


def block(count: int, *, devices: int, rooms: int, partitions: int, seed: int) -> Block:
    """One that, repeated, gives ``count`` events, or up to ``times`` more so that all are alike."""
    times = -(-count // BLOCK_EVENTS)
    size = -(-count // times)
    made = list(events(size, devices=devices, rooms=rooms, rate=RATE, seed=seed))
    return Block(frames(made, partitions), size, -(-size * 1_000 // RATE), times)


def frames(made: Sequence[Event], partitions: int) -> list[Made]:
    """Frames of FRAME_EVENTS of one partition, the last ones shorter; each event needs a ``seq``."""
    sent = Counter(event.device_id for event in made)
    return [
        Made(partition, group[0].key.encode(), encode_frame(group), np.array([sent[one.device_id] for one in group]))
        for partition, group in grouped(made, FRAME_EVENTS, partitions)
    ]


def again(made: Made, number: int, span_ms: int, random: np.random.Generator) -> bytes:
    """The frame as it comes in the block ``number``: 0 is the first one."""
    if not number:
        return made.value
    value = bytearray(made.value)
    column(value, "timestamp")[:] += number * span_ms
    column(value, "seq")[:] += number * made.sent
    ids = column(value, "id")
    ids[:] = np.frombuffer(random.bytes(ids.nbytes), ids.dtype)
    crc = zlib.crc32(memoryview(value)[HEADER.size :], zlib.crc32(memoryview(value)[:_CRC_AT]))
    np.frombuffer(value, _CRC, 1, _CRC_AT)[:] = crc
    return bytes(value)


def column(value: bytearray, name: str) -> Column:
    """A column of a frame, to be written to; raises KeyError for one that was left out."""
    _, _, _, present, rows, _, _ = HEADER.unpack_from(value)
    at = HEADER.size
    for bit, (here, kind) in enumerate(COLUMNS):
        if present >> bit & 1:
            if here == name:
                return np.frombuffer(value, kind, rows, at)
            at += rows * np.dtype(kind).itemsize
    raise KeyError(name)
