"""The contacts counter, on a small file by hand and, where it is given, on the recorded conference."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.fixtures.contacts import RECORDED
from tests.oracle import contacts

ROWS = "120\t1\t2\n140\t1\t2\n140\t2\t3\n180\t2\t1\n201\t2\t3\n300\t2\t3\n"


@pytest.mark.parametrize("name", ["rows.tij", "rows.tij.gz"])
def test_small_file_by_hand(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(ROWS.encode()) if name.endswith(".gz") else ROWS.encode())
    counted = contacts.count(path)
    assert counted.established == {("badge-1", "badge-2"): 180}
    assert counted.by_device == {"badge-1": 3, "badge-2": 6, "badge-3": 3}
    assert counted.by_minute == {2: 6, 3: 4, 5: 2}
    assert counted.figures() == {
        "events": 12,
        "distinct_ids": 12,
        "devices": 3,
        "pairs_touched": 2,
        "pairs_established": 1,
        "minutes": 3,
        "minute_devices_max": 3,
        "minute_events_max": 6,
        "sorted": True,
    }


def test_three_in_a_row_span_sixty_seconds_at_most() -> None:
    assert contacts.third_within([0, 30, 60], 60) == 60
    assert contacts.third_within([0, 30, 61], 60) is None
    assert contacts.third_within([0, 59, 61, 119], 60) == 119


def test_recorded_conference(contacts_file: Path) -> None:
    if contacts_file.name != RECORDED:
        pytest.skip(f"{RECORDED} is not at hand: it is not part of this project")
    assert contacts.count(contacts_file).figures() == {
        "events": 398_618,
        "distinct_ids": 398_618,
        "devices": 262,
        "pairs_touched": 17_327,
        "pairs_established": 5_422,
        "minutes": 1_805,
        "minute_devices_max": 170,
        "minute_events_max": 962,
        "sorted": True,
    }
