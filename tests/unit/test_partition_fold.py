"""The driver's side of the fold: checkpoints, loading, changed rows, and what is taken back."""

from __future__ import annotations

import msgspec
import pytest

from streams import changes
from streams.changes import Changes, load_view
from streams.errors import FoldVersionError
from streams.events import Event
from streams.fold.digest import digest, tables
from streams.fold.merge import read_rooms
from streams.fold.partition import Checkpoint, PartitionFold
from streams.fold.rules import Rules
from streams.fold.shard import ShardRecord, position_record, record_position, record_shards, record_version
from tests.worlds import START_S, event_id, say


def fold(events: list[Event], shards: int = 1, rules: Rules | None = None) -> PartitionFold:
    one = PartitionFold(0, shards, rules or Rules())
    for offset, event in enumerate(events):
        one.fold(offset, [event])
    return one


def rows(checkpoint: Checkpoint) -> Changes:
    (change,) = (changes.decode(value) for _, value in checkpoint.changes)
    assert isinstance(change, Changes)
    return change


def echoes(*seconds: float, room: str = "hall") -> list[Event]:
    return [say(device, "BLOOM", second, room=room) for second in seconds for device in ("ana", "ben")]


def test_a_third_echo_within_a_minute_is_a_changed_pair() -> None:
    one = fold(echoes(0, 20, 40))
    change = rows(one.checkpoint("1-a"))
    assert [(pair.low, pair.high, pair.established) for pair in change.pairs] == [("ana", "ben", START_S + 40)]
    assert one.checkpoint("1-a").changes == []


def test_a_pair_shown_too_early_is_taken_back() -> None:
    """The third echo was shown, then it turns out that ana had opted out just before it."""
    one = fold([*echoes(0, 20), say("ana", "BLOOM", 40, room="hall"), say("ben", "TOUCH", 40.5, to="ana", room="hall")])
    assert rows(one.checkpoint("1-a")).pairs
    one.fold(6, [say("ana", "OPT_OUT", 40.2)])
    assert rows(one.checkpoint("1-a")).removed_pairs == [("hall", "ana", "ben")]


def test_a_session_shown_too_early_is_taken_back() -> None:
    """After silence a session opens, then an earlier event shows that the silence was too short."""
    one = fold([say("ana", "ENTER", 0, room="hall"), say("ana", "BREATH", 305, room="hall", phase=1.0)])
    shown = rows(one.checkpoint("1-a")).sessions
    assert [(row.opened - START_S * 1000, row.final) for row in shown] == [(0, False), (305_000, False)]
    one.fold(2, [say("ana", "BREATH", 297, room="hall", phase=1.0)])
    change = rows(one.checkpoint("1-a"))
    assert [(row.opened - START_S * 1000, row.devices) for row in change.sessions] == [(0, 1)]
    assert change.removed_sessions == [("hall", (START_S + 305) * 1000)]


def test_every_session_that_ended_is_shown_once_as_final() -> None:
    one = fold([say("ana", "ENTER", 400 * n, room="hall") for n in range(4)])
    first = rows(one.checkpoint("1-a")).sessions
    assert [row.final for row in first] == [True, True, False, False]
    one.fold(9, [say("ana", "ENTER", 4000, room="hall")])
    assert [row.final for row in rows(one.checkpoint("1-a")).sessions] == [True, False, False]


def test_full_lists_all_rows_of_the_shard() -> None:
    one = fold(echoes(0, 20, 40))
    one.checkpoint("1-a")
    one.fold(6, [say("cy", "BREATH", 41, phase=0.0)])
    change = rows(one.checkpoint("1-a", full=True))
    assert change.full
    assert len(change.pairs) == 1
    assert len(change.sessions) == 1


def test_loading_takes_the_highest_position_over_all_writers() -> None:
    events = echoes(0, 20, 40)
    early, late = fold(events[:3]).checkpoint("9-zombie"), fold(events).checkpoint("2-owner")
    loaded = PartitionFold(0, 1)
    superseded = loaded.load([*late.records, *early.records])
    assert sorted(superseded) == sorted(key for key, _ in early.records + late.records)
    assert loaded.position == 5
    for offset, event in enumerate(events):
        loaded.fold(offset, [event])
    assert loaded.counts["accepted"] == 0
    loaded.fold(6, [say("cy", "BREATH", 41, phase=0.0)])
    assert len(tables(loaded.checkpoint("3-b").shard_values)["resonance"]) == 3


def test_another_fold_refuses_the_state() -> None:
    records = fold(echoes(0)).checkpoint("1-a").records
    with pytest.raises(FoldVersionError, match="field replay"):
        PartitionFold(0, 1, Rules(seats=2)).load(records)


def test_a_shards_record_holds_the_position_of_its_checkpoint() -> None:
    checkpoint = fold(echoes(0, 20)).checkpoint("1-a")
    assert [changes.record_position(value) for _, value in checkpoint.records] == [3, 3]


@pytest.mark.parametrize("shards", [1, 3, 8])
def test_more_particles_than_fit_are_the_same_for_any_number_of_shards(shards: int) -> None:
    rules = Rules(particles=3)
    events = [say(f"d{n % 7}", "BLOOM", 20 * n, id=f"{n:08x}-0000-4000-8000-000000000000") for n in range(30)]
    events.insert(15, say("d1", "OPT_OUT", 281, id="f" * 8 + "-0000-4000-8000-000000000000"))
    several = PartitionFold(0, shards, rules)
    newest: dict[bytes, bytes] = {}
    for offset, event in enumerate(events):
        several.fold(offset, [event])
        newest.update(several.checkpoint("1-a").records[:-1])
    whole = fold(events, 1, rules).checkpoint("1-a")
    assert digest(newest.values(), rules)["particles"] == digest(whole.shard_values, rules)["particles"]


def test_a_shard_never_claims_more_than_it_holds() -> None:
    """A zombie's position record may be ahead of the shards that are left of its checkpoint."""
    ahead = fold([*echoes(0, 20), say("cy", "BREATH", 21, phase=0.0)]).checkpoint("1-zombie").records[-1]
    loaded = PartitionFold(0, 1)
    loaded.load([ahead])
    loaded.fold(0, echoes(0)[:1])
    assert {changes.record_position(value) for _, value in loaded.checkpoint("2-owner").records} == {0}


def test_shards_without_their_records_make_the_rest_worth_nothing() -> None:
    """A wrong retention deletes what was written long ago; the position is always new."""
    one = fold([say(f"d{n}", "BLOOM", n) for n in range(20)], shards=4)
    first = one.checkpoint("1-a").records
    one.fold(20, [say("d0", "BLOOM", 20)])
    second = one.checkpoint("1-a").records
    assert len(second) < len(first)
    for kept, lost in ((dict(first) | dict(second), 0), (dict(second), len(first) - len(second))):
        loaded = PartitionFold(0, 4)
        keys = loaded.load(kept.items())
        assert loaded.lost == lost
        assert loaded.position == (20 if not lost else -1)
        assert loaded.reached == loaded.position
        assert sorted(keys) == sorted(kept)


def test_another_number_of_shards_refuses_the_state() -> None:
    records = fold(echoes(0), shards=4).checkpoint("1-a").records
    for shards in (3, 6):
        with pytest.raises(FoldVersionError, match="4 shards"):
            PartitionFold(0, shards).load(records)


def test_the_first_rows_of_every_shard_are_full() -> None:
    one = fold(echoes(0))
    assert rows(one.checkpoint("1-a")).full
    one.fold(2, echoes(20)[:1])
    assert not rows(one.checkpoint("1-a")).full


NUMBERS = (0, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 62) + 5)


@pytest.mark.parametrize("position", [-1, -33, *NUMBERS])
@pytest.mark.parametrize("version", ["", "2-abc", "v" * 31, "v" * 32, "v" * 300])
def test_a_record_is_read_in_front_as_it_is_as_a_whole(position: int, version: str) -> None:
    for number in NUMBERS:
        of_shard = ShardRecord(version, number, 3, number, position, [], [], [], {})
        value = msgspec.msgpack.encode(of_shard)
        assert record_position(value) == position
        assert record_version(value) == version
        assert record_shards(value) == number
    held = position_record(7, 64, position, Rules(), 5)
    assert (record_position(held), record_shards(held)) == (position, 64)


@pytest.mark.parametrize("rest", [b"", b"\xa1", b"\xa1a", b"\xa1a\x00\x00\x00", b"\xa1a\x00\x00\x00\xcf\x00"])
def test_a_record_that_is_cut_in_front_is_refused(rest: bytes) -> None:
    with pytest.raises(FoldVersionError, match="not of this version"):
        record_position(b"\x99" + rest)


@pytest.mark.parametrize("odd", [b"\xc0", b"\xa1b", b"\x90", b"\x80", b"\xcb" + b"\x00" * 8])
def test_a_place_that_is_no_number_is_refused(odd: bytes) -> None:
    with pytest.raises(FoldVersionError, match="not of this version"):
        record_position(b"\x99\xa1a\x00\x00\x00" + odd + b"\x90\x90\x90\x80")


def test_a_record_of_another_format_is_named() -> None:
    with pytest.raises(FoldVersionError, match="not of this version"):
        changes.record_position(b"\x92\xa31-0\x00")


def test_a_gesture_of_before_opting_out_is_echoed_by_nobody() -> None:
    story = [
        say("ana", "BLOOM", 0, room="hall"),
        say("ana", "OPT_OUT", 0.2),
        say("ana", "OPT_IN", 0.4),
        say("ana", "ENTER", 0.5, room="hall"),
        say("ben", "BLOOM", 0.8, room="hall"),
    ]
    assert tables(fold(story).checkpoint("1-a").shard_values)["entanglements"] == []
    never_out = [event for event in story if not event.type.startswith("OPT")]
    assert len(tables(fold(never_out).checkpoint("1-a").shard_values)["entanglements"]) == 1


def test_an_id_used_with_and_without_a_number_is_known_at_its_latest_time() -> None:
    one = event_id(1)
    first = say("ana", "TOUCH", 20, id=one)
    story = [
        first, say("ana", "TOUCH", 16, id=one, seq=1), say("bo", "TOUCH", 27, to="ana"),
        say("ana", "TOUCH", 20, id=one, intensity=0.9),
    ]  # fmt: skip
    fold = PartitionFold(0, 1)
    for offset, event in enumerate(story):
        fold.fold(offset, [event])
    assert fold.counts == {"accepted": 3, "duplicate": 1, "late": 0}


@pytest.mark.parametrize("shards", [1, 2, 4, 8, 16])
def test_an_emptied_place_keeps_its_rank_among_equal_ids(shards: int) -> None:
    one = event_id(1)
    story = [
        say("ana", "BLOOM", 1, id=one), say("bo", "BLOOM", 1, id=one), say("ana", "BREATH", 30),
        say("bo", "BREATH", 30), say("bo", "OPT_OUT", 31),
    ]  # fmt: skip
    fold = PartitionFold(0, shards, Rules(particles=1))
    for offset, event in enumerate(story):
        fold.fold(offset, [event])
    (place,) = tables(fold.checkpoint("1-a").shard_values, Rules(particles=1))["particles"]
    assert place[2:5] == ["", "", ""]


def test_a_picture_that_is_too_large_for_a_record_comes_in_parts() -> None:
    count = changes.PART_ROWS_MAX + 1
    one = fold([say("ana", "ENTANGLE", number / 1000, to=f"other-{number}", room="hall") for number in range(count)])
    taken = [changes.decode(value) for key, value in one.checkpoint("1-a").changes if key == b"0/0"]
    found = [change for change in taken if isinstance(change, Changes)]
    assert [(change.full, change.more, change.position) for change in found] == [
        (True, True, count - 1),
        (True, False, count - 1),
    ]
    assert len({pair.high for change in found for pair in change.pairs}) == count


def test_an_open_session_carries_its_readings_and_an_ended_one_none() -> None:
    story = [
        say(who, "BREATH", at, room="hall", phase=at, intensity=1)
        for at in (0, 0.5, 400, 400.5)
        for who in ("ana", "ben")
    ]
    taken = fold(story).checkpoint("1-a")
    ended, current = rows(taken).sessions
    (room,) = read_rooms([load_view(value) for value in taken.shard_values], story[-1].timestamp, Rules())
    assert (current.coherence, current.resonance) == (room.coherence, room.resonance)
    assert room.coherence > 0.5 < room.resonance
    assert (ended.coherence, ended.resonance) == (None, None)
    assert [device for device, _, _ in ended.participants] == ["ana", "ben"]
