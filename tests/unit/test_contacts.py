"""The recorded proximity file becomes events exactly as its README says."""

from __future__ import annotations

import gzip
import uuid

import pytest

from streams.contacts import Row, events, read_rows, shift_for
from streams.errors import InputError

ROWS = [Row(1_500_000_000, 7, 30), Row(1_500_000_000, 30, 9), Row(1_500_000_020, 7, 30)]


def test_a_row_is_two_touches() -> None:
    first, second = list(events(ROWS[:1]))
    assert (first.device_id, first.target, first.room_id, first.key) == ("badge-7", "badge-30", "hall-5", "hall-5")
    assert (second.device_id, second.target, second.room_id) == ("badge-30", "badge-7", "hall-5")
    assert first.id == str(uuid.uuid5(uuid.NAMESPACE_URL, "touch:1500000000:7:30"))
    assert second.id == str(uuid.uuid5(uuid.NAMESPACE_URL, "touch:1500000000:30:7"))
    assert (first.timestamp, first.intensity, first.x, first.type) == (1_500_000_000_000, 500_000, None, "TOUCH")


def test_seq_counts_by_device_in_file_order() -> None:
    assert [(event.device_id, event.seq) for event in events(ROWS)] == [
        ("badge-7", 1), ("badge-30", 1), ("badge-30", 2), ("badge-9", 1), ("badge-7", 2), ("badge-30", 3),
    ]  # fmt: skip


def test_shifted_times_make_new_ids() -> None:
    (here, _), (there, _) = list(events(ROWS[:1])), list(events(ROWS[:1], shift=100, epoch=5))
    assert there.timestamp == here.timestamp + 100_000
    assert there.id == str(uuid.uuid5(uuid.NAMESPACE_URL, "touch:1500000100:7:30"))
    assert (here.epoch, there.epoch) == (0, 5)


@pytest.mark.parametrize("speed", [0.5, 1, 4, float("inf")])
def test_no_event_of_a_shifted_file_lies_in_the_future(speed: float) -> None:
    rows = [Row(1000, 1, 2), Row(1400, 1, 2)]
    now = 9_000_000
    shift = shift_for(rows, now, speed)
    for row in rows:
        sent = now + (row.t - 1000) / speed
        assert row.t + shift <= sent
    assert (now if speed <= 1 else now + 400 / speed) in {row.t + shift for row in rows}


def test_reads_plain_and_gzip(tmp_path) -> None:
    text = "\n".join("\t".join(map(str, row)) for row in ROWS) + "\n"
    (tmp_path / "a.tij").write_text(text)
    (tmp_path / "a.tij.gz").write_bytes(gzip.compress(text.encode()))
    assert read_rows(tmp_path / "a.tij") == read_rows(tmp_path / "a.tij.gz") == ROWS


@pytest.mark.parametrize("line", ["1 2", "1 2 x", "5 3 3", "-1 2 3", "1.5 2 3"])
def test_a_bad_line_is_named(tmp_path, line: str) -> None:
    (tmp_path / "bad.tij").write_text(f"1 2 3\n{line}\n")
    with pytest.raises(InputError, match="line 2"):
        read_rows(tmp_path / "bad.tij")


def test_a_missing_or_cut_file_is_one_clear_line(tmp_path) -> None:
    with pytest.raises(InputError, match="nothing-here"):
        read_rows(tmp_path / "nothing-here")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"1 2 3\n" * 1000)[:30])
    with pytest.raises(InputError, match=r"cut\.gz"):
        read_rows(tmp_path / "cut.gz")
