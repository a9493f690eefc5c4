"""Law 2 once more: the compiled fold gives what the simple one gives, verdict by verdict and byte by byte."""

from __future__ import annotations

import ctypes
import random
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contacts import events as contact_events
from streams.contacts import read_rows
from streams.entry import read_entry
from streams.errors import FoldVersionError
from streams.events import TIMESTAMP_MS_MAX, Event
from streams.fold.partition import PartitionFold
from streams.fold.rules import Rules
from streams.native.fold import NativeFold, NativeFoldError
from streams.simulate import Fleet, items
from streams.validate import read_record
from tests.benchmarks.events import events as benchmark_events
from tests.golden.write import VECTORS, read_log, read_vector
from tests.property.profile import detail, law
from tests.property.strategies import RULES, World, split, worlds
from tests.property.twins import MANY, WRITER, Twins, play
from tests.worlds import START_S, event_id, say

TINY = tuple({**rules, "slots": 2, "sequence_window": 5, "weight_touch": 0, "breath_ms": 900} for rules in RULES)
"""Bounds that even a small world reaches."""
SEQ_MAX = 2**63 - 1
OPEN = st.sampled_from((0, 2, MANY))
"""Every key is packed at every checkpoint, many are, none is."""
CUTS = st.lists(st.integers(0, 9), min_size=1, max_size=5)
STEPS = st.lists(
    st.sampled_from(("go on", "go on", "checkpoint", "full", "lost", "restart", "catch up")), min_size=1, max_size=12
)


@law
@given(worlds(honest=False, rules=RULES + TINY), CUTS, STEPS, st.sampled_from((1, 2, 4)), OPEN)
def test_worlds(
    native: ctypes.CDLL, world: World, cuts: list[int], steps: list[str], shards: int, open_max: int
) -> None:
    """Checkpoints, those whose records were lost, restarts, and full pictures while catching up, anywhere."""
    twins = Twins(native, shards, Rules(**world.rules), open_max)
    for turn, events in enumerate(split(world.arrivals, cuts)):
        twins.fold(events)
        step = steps[turn % len(steps)]
        if step != "go on":
            twins.checkpoint(full=step == "full", store=step != "lost")
        if step in ("restart", "catch up"):
            twins.restart()
        if step == "catch up":
            twins.checkpoint(full=True)
    twins.checkpoint()


@detail
@given(worlds(honest=False, rules=TINY[:2]), st.integers(0, 2**32))
def test_extremes(native: ctypes.CDLL, world: World, seed: int) -> None:
    """The ends of what an event may say, in the middle of an ordinary life."""
    chance = random.Random(seed)
    twins = Twins(native, 2, Rules(**world.rules), chance.choice((0, MANY)))
    shift = chance.choice((0, -START_S * 1000, TIMESTAMP_MS_MAX - 3_000_000 - START_S * 1000))
    for at, event in enumerate(world.arrivals):
        event = msgspec.structs.replace(
            event,
            timestamp=min(TIMESTAMP_MS_MAX, event.timestamp + shift),
            seq=chance.choice((None, event.seq, SEQ_MAX, SEQ_MAX - chance.randrange(70), 0)),
            epoch=chance.choice((event.epoch, 0, SEQ_MAX)),
            y=event.y and -event.y,
            z=event.x and chance.choice((None, -0.0, 1e9)),
            user_id=chance.choice((None, "u" * 64)),
        )
        twins.fold([event])
        if at % 7 == 6:
            twins.checkpoint()
    twins.restart()
    twins.checkpoint()


@detail
@given(st.integers(0, 2**32))
def test_ties(native: ctypes.CDLL, seed: int) -> None:
    """Few moments, few ids, few people, all in one room: nearly every place in the order is taken twice."""
    chance = random.Random(seed)
    twins = Twins(native, 1, Rules(lateness_ms=chance.choice((0, 999)), particles=5), chance.choice((0, MANY)))
    kinds = ("BLOOM", "BLOOM", "FIELD", "TOUCH", "OPT_OUT", "OPT_IN")
    for at in range(40):
        kind = chance.choice(kinds)
        event = say(
            chance.choice("abc"), kind, at // 10 + chance.choice((0, 0.5, 1)), room="hall",
            id=event_id(chance.randrange(3)), to=chance.choice((None, "b")) if kind == "TOUCH" else None,
            seq=chance.choice((None, chance.randrange(60), at)), epoch=chance.choice((0, 0, at // 20)),
        )  # fmt: skip
        twins.fold([event])
        if chance.random() < 0.2:
            twins.checkpoint()
    twins.checkpoint()
    twins.restart()
    twins.checkpoint(full=True)


@pytest.mark.parametrize("shards", [1, 8])
def test_golden_story(native: ctypes.CDLL, shards: int) -> None:
    twins = Twins(native, shards)
    for record in read_log():
        items = read_record(record.value, record.received)
        twins.fold([item for item in items if isinstance(item, Event)])
        if len(twins.records) % 20 == 0:
            twins.checkpoint()
    twins.restart()
    twins.checkpoint(full=True)


@pytest.mark.parametrize("name", VECTORS)
def test_golden_vectors(native: ctypes.CDLL, name: str) -> None:
    lines = read_vector(name)
    partitions = max(line.partition for line in lines) + 1
    folds = [Twins(native, 8) for _ in range(partitions)]
    for line in lines:
        folds[line.partition].fold(read_entry(line, line.partition, partitions).events)
    for twins in folds:
        twins.checkpoint()


def test_conference(native: ctypes.CDLL, contacts_file: Path) -> None:
    rows = read_rows(contacts_file)
    play(Twins(native), contact_events(rows[:10_000]), size=7, between=400)


@pytest.mark.parametrize(("rate", "rooms", "open_max"), [(500, 5, MANY), (20_000, 50, MANY), (500, 5, 100)])
def test_benchmark_events(native: ctypes.CDLL, rate: int, rooms: int, open_max: int) -> None:
    events = benchmark_events(20_000, devices=500, rooms=rooms, rate=rate, seed=3)
    play(Twins(native, open_max=open_max), events, size=100, between=20)


@pytest.mark.parametrize("open_max", [0, MANY])
@pytest.mark.parametrize("opts", [0.0, 0.001])
def test_fleet(native: ctypes.CDLL, opts: float, open_max: int) -> None:
    """Phases of every kind: coherence and resonance are equal to the bit, or the bytes would differ."""
    fleet = Fleet(150, 100.0, 5, START_S * 1000, late=0.02, duplicates=0.02, malformed=0.01, opts=opts)
    twins = Twins(native, open_max=open_max)
    play(twins, (item.event for item in items(fleet, 150) if isinstance(item.event, Event)), size=5, between=100)
    twins.restart()
    twins.checkpoint(full=True)


def test_a_change_of_many_rows_is_divided_alike(native: ctypes.CDLL) -> None:
    """A room of more people than one record takes, and then pairs for one more record and a half."""
    twins = Twins(native, 1)
    crowd = [say(f"dev-{n}", "ENTER", 1 + n / 1e4, room="attic") for n in range(10_000)]
    twins.fold(crowd + [say(f"dev-{n}", "ENTANGLE", 2, to=f"dev-{n + 1}") for n in range(10_500)])
    assert len(twins.checkpoint().changes) == 3


def test_a_seat_is_free_at_the_very_millisecond(native: ctypes.CDLL) -> None:
    """Ana falls silent after four seconds: a millisecond later cid has her seat, and what ben does is an echo."""
    twins = Twins(native, 1, Rules(silence_ms=4_000, seats=2))
    for name, second in (("ana", 0), ("ben", 2), ("cid", 3.9), ("ben", 4.001)):
        twins.fold([say(name, "BLOOM", second, room="hall")])
    twins.checkpoint()


@pytest.mark.parametrize("shards", [1, 3])
def test_memories_are_bounded_between_checkpoints(native: ctypes.CDLL, shards: int) -> None:
    """More particles than are waited for or than all shards show, some of somebody who left; ids in any order."""
    twins = Twins(native, shards, Rules(particles=50, quantum_fields=7))
    chance = random.Random(1)
    for at in range(4_000):
        kind = chance.choice(("BLOOM", "SACRED_PHRASE", "FIELD", "BLOOM"))
        name = f"dev-{chance.randrange(9)}"
        twins.fold([say(name, kind, at // 3, room=None, id=event_id(at, chance.randrange(2**32)))])
        if at % 1500 == 1499:
            twins.fold([say(name, "OPT_OUT", at // 3 - 30)])
    twins.checkpoint()
    twins.restart()
    twins.checkpoint(full=True)


def test_a_record_is_folded_once(native: ctypes.CDLL) -> None:
    fold, event = NativeFold(native, 0, 2), say("ana", "BLOOM", 1)
    fold.fold(3, [event])
    fold.fold(3, [event])
    assert fold.counts == {"accepted": 1, "duplicate": 0, "late": 0}
    assert (fold.position, fold.watermark, fold.reached) == (3, event.timestamp, 3)


def test_records_of_another_fold_are_refused(native: ctypes.CDLL) -> None:
    other = PartitionFold(0, 2, Rules(seats=5))
    other.fold(0, [say("ana", "BLOOM", 1)])
    records = other.checkpoint(WRITER).records
    with pytest.raises(FoldVersionError, match="was folded by version"):
        NativeFold(native, 0, 2).load(records)
    with pytest.raises(FoldVersionError, match="has 2 shards"):
        NativeFold(native, 0, 4, Rules(seats=5)).load(records)
    key, value = records[0]
    with pytest.raises(FoldVersionError, match="not of this version"):
        NativeFold(native, 0, 2, Rules(seats=5)).load([(key, value[:-1])])


def test_what_cannot_be_is_said(native: ctypes.CDLL) -> None:
    with pytest.raises(NativeFoldError, match="a weight is too large"):
        NativeFold(native, 0, 2, Rules(weight_bloom=1_001))
    fold = NativeFold(native, 0, 2)
    with pytest.raises(NativeFoldError, match="generation"):
        fold.checkpoint("nobody")
    with pytest.raises(NativeFoldError, match="beyond the end"):
        fold._call("events", 0, b"\x91", 1)
    assert fold.position == -1


@detail
@given(st.integers(0, 2**32))
def test_damaged_bytes_are_refused_or_read(native: ctypes.CDLL, seed: int) -> None:
    """Nothing that comes over the border brings the process down."""
    chance = random.Random(seed)
    fold = NativeFold(native, 0, 1, open_max=chance.choice((0, MANY)))
    fleet = items(Fleet(4, 4.0, seed % 16, START_S * 1000, opts=0.05))
    events = [item.event for item in islice(fleet, 60)]
    plain = msgspec.msgpack.encode(events)
    simple = PartitionFold(0, 1)
    simple.fold(0, [event for event in events if isinstance(event, Event)])
    record = simple.checkpoint(WRITER).records[0][1]
    for name, number, value in (("load", 0, record), ("events", 1, plain), ("events", 2, plain)):
        damaged = bytearray(value)
        for _ in range(chance.choice((0, 1, 3))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            fold._call(name, number, bytes(damaged), len(damaged))
            fold.checkpoint(WRITER)
        except NativeFoldError:
            continue
