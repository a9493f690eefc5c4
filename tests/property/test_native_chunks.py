"""Law 2 on what is stored: batches of Kafka's log and blocks of an archive, taken whole, are the events one by one."""

from __future__ import annotations

import ctypes
import random
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from streams.archive.format import Head, Packer, blocks
from streams.chunks import Chunk, chunks, records
from streams.entry import Entry, read_entry
from streams.events import Event
from streams.fold.partition import PartitionFold
from streams.fold.rules import Rules
from streams.native.fold import NativeFold
from streams.replay.pieces import fold_piece
from streams.settings import Settings
from streams.validate import LIMITS
from streams.wire import encode_batch, encode_event, encode_frame
from tests.property.profile import law
from tests.property.strategies import RULES, World, split, worlds
from tests.property.twins import WRITER

APPEND_TIME = 0x08
ENDLESS = 1 << 62
JUNK = (None, b"", b"{}", b"[]", b"\xf1FLD", b"\xff", b'[{"id": 1}, 2]', b'{"v": 1, "v": 2}')
HEADERS: tuple[tuple[tuple[str, bytes], ...], ...] = (
    (), (), (), (("content-type", b"application/json"),), (("content-type", b"application/vnd.field.frame"),),
    (("content-type", b"Application/JSON; charset=utf-8"),), (("received", b"1"),), (("source", b"events/0/1/2"),),
    (("fanout", b"2"),), (("traceparent", b"00-1-2-01"), ("content-type", b"application/json")),
)  # fmt: skip


class Stored(NamedTuple):
    value: bytes | None
    appended_ms: int
    headers: tuple[tuple[str, bytes], ...]


def store(groups: Sequence[list[Event]], chance: random.Random) -> Iterator[Stored]:
    """Each group in some form, some of it junk, some of it too early for what it says."""
    now = 0
    for events in groups:
        now = max(now, *(event.timestamp for event in events), 0) if events else now
        early = 10**6 if chance.random() < 0.1 else 0
        forms = [encode_batch, encode_frame, *([lambda some: encode_event(some[0])] if len(events) == 1 else [])]
        value = chance.choice(forms)(events) if events and chance.random() < 0.9 else chance.choice(JUNK)
        yield Stored(value, max(0, now - early), chance.choice(HEADERS))


def batches(stored: Sequence[Stored], chance: random.Random) -> list[bytes]:
    """As a broker keeps them: some records to a batch, compressed or not, times of the broker or of the producer."""
    borders = sorted({0, len(stored), *(chance.randrange(len(stored) + 1) for _ in range(4))})
    found = []
    for low, high in pairwise(borders):
        builder = DefaultRecordBatchBuilder(
            2, compression_type=chance.choice((0, 0, 1)), is_transactional=0, producer_id=-1, producer_epoch=-1,
            base_sequence=-1, batch_size=1 << 24,
        )  # fmt: skip
        for at, record in enumerate(stored[low:high]):
            builder.append(at, record.appended_ms, b"key", record.value, list(record.headers))
        built = bytearray(builder.build())
        struct.pack_into(">q", built, 0, low)
        if chance.random() < 0.3:
            struct.pack_into(">h", built, 21, struct.unpack_from(">h", built, 21)[0] | APPEND_TIME)
            struct.pack_into(">I", built, 17, calc_crc32c(bytes(built[21:])))
        found.append(bytes(built))
    return found


def compare(one: PartitionFold, other: NativeFold) -> None:
    assert other.checkpoint(WRITER) == one.checkpoint(WRITER)
    assert other.counts == one.counts


def settings_of(world: World, partitions: int) -> Settings:
    return Settings(partitions=partitions, shards=2, rules=Rules(**world.rules))


def folds(native: ctypes.CDLL, settings: Settings) -> tuple[PartitionFold, NativeFold]:
    compiled = NativeFold(native, 0, settings.shards, settings.rules)
    compiled.expect(settings)
    return PartitionFold(0, settings.shards, settings.rules), compiled


CUTS = st.lists(st.integers(0, 5), min_size=1, max_size=5)


@law
@given(worlds(honest=False, rules=RULES), CUTS, st.integers(0, 2**32), st.sampled_from((1, 2)), st.integers(1, 20))
def test_chunks(native: ctypes.CDLL, world: World, cuts: list[int], seed: int, partitions: int, turn: int) -> None:
    """Records before the start and after the end are in the batches too, and are not folded."""
    chance, settings = random.Random(seed), settings_of(world, partitions)
    stored = list(store(split(world.arrivals, cuts), chance))
    simple, compiled = folds(native, settings)
    start = chance.randrange(len(stored) + 1)
    end = chance.randrange(start, len(stored) + 1) if chance.random() < 0.3 else ENDLESS
    kept: list[Chunk] = [chunk for raw in batches(stored, chance) for chunk in chunks(raw, "events", 0, start)]
    for record in (record for chunk in kept for record in records(chunk) if record.offset < end):
        simple.fold(record.offset, read_entry(record, 0, partitions, LIMITS).events)
    for chunk in kept:
        steps = list(fold_piece(compiled, chunk, (start, end), turn, settings))
        assert all(0 <= events < turn + 10_000 for events in steps)
    assert compiled.position == simple.position
    compare(simple, compiled)


@law
@given(worlds(honest=False, rules=RULES), CUTS, st.integers(0, 2**32))
def test_blocks(native: ctypes.CDLL, world: World, cuts: list[int], seed: int) -> None:
    """An archive keeps what was at home and valid, OPT_* too."""
    chance, settings = random.Random(seed), settings_of(world, 1)
    groups = split(world.arrivals, cuts)
    entries = [Entry(at, 1, events, range(len(events))) for at, events in enumerate(groups)]
    packer = Packer(Head("events", 0, 1, 0))
    file = packer.start() + b"".join(map(packer.add, entries)) + packer.finish(len(entries) - 1)
    start = chance.randrange(len(entries) + 1)
    end = chance.randrange(start, len(entries) + 1) if chance.random() < 0.3 else ENDLESS
    simple, compiled = folds(native, settings)
    for entry in entries[start:end]:
        simple.fold(entry.offset, entry.events)
    for block in blocks(file):
        assert compiled.fold_block(block.packed(), start, end), "what an archive writes is plain"
    compare(simple, compiled)
