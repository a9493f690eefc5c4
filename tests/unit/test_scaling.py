"""The pure parts of ``python -m tests.benchmarks.scaling``: its rows, its tables, its events."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from tests.benchmarks.bench import load
from tests.benchmarks.bench.setup import ROOT
from tests.benchmarks.scaling import capacity, devices, report
from tests.benchmarks.scaling.__main__ import arguments, attempt


def test_first_there_is_one_event_of_each_device() -> None:
    found = list(load.events(150, devices=100, rooms=20, each=True))
    assert [event.device for event in found[:100]] == [f"d{number:06d}" for number in range(100)]
    assert len({event.room for event in found[:100] if event.room}) == 10  # odd ones only
    assert found[:120] == list(islice(load.events(500, devices=100, rooms=20, each=True), 120))
    assert [event.device for event in load.events(100, devices=100)] != [event.device for event in found[:100]]


@pytest.mark.parametrize(("count", "shards"), [(1, 64), (4_096, 64), (4_097, 128), (1_000_000, 16_384), (9**9, 16_384)])
def test_shards_grow_with_the_devices_up_to_what_can_be_recovered(count: int, shards: int) -> None:
    assert devices.advised_shards(count, 4) == shards


def test_a_row_is_written_with_what_it_has() -> None:
    rows: list[dict[str, Any]] = [
        {"asked": 5_000, "rate": 4_999.6, "folded_ms": {"p50": 12.4, "p99": 40.0}, "durable_ms": None, "problem": ""},
        {"asked": 20_000, "problem": "it folded\n1 of 2 | events"},
    ]
    head, rule, first, second = report.table("load", rows).splitlines()
    assert head.count("|") == rule.count("|") == first.count("|") == second.count("|")
    assert first.startswith("| 5,000 | 5,000 |  | 12 | 40 |  |")
    assert second.startswith("| 20,000 |")
    assert second.endswith("| it folded 1 of 2 / events |")


@pytest.mark.parametrize(
    ("row", "beyond"),
    [
        ({"problem": "", "folded_ms": {"p50": 20.0, "p99": 3_000.0}}, False),
        ({"problem": "", "folded_ms": {"p50": 1_500.0, "p99": 3_000.0}}, True),
        ({"problem": "", "folded_ms": None}, True),
        ({"problem": "it ended"}, True),
    ],
)
def test_what_is_beyond_the_knee(row: dict[str, Any], beyond: bool) -> None:
    assert report.beyond_knee(row) is beyond


def test_what_can_be_chosen() -> None:
    chosen = arguments(["workers", "--forms", "frame", "--workers", "1,2"])
    assert (chosen.parts, chosen.forms, chosen.workers) == (["workers"], ["frame"], [1, 2])
    assert arguments([]).parts == ["devices", "workers", "load"]
    for wrong in (["waiting"], ["--forms", "text"], ["--workers", "0"], ["--events", "0"]):
        with pytest.raises(SystemExit):
            arguments(wrong)


def test_a_failure_is_a_row() -> None:
    def fails() -> dict[str, Any]:
        raise OSError("gone")

    assert attempt({"asked": 1}, fails) == {"asked": 1, "problem": "gone"}
    assert attempt({"asked": 1}, lambda: {"rate": 2.0}) == {"asked": 1, "rate": 2.0, "problem": ""}


def test_what_devices_take_follows_from_their_events() -> None:
    assumed = capacity.Assumed(events_per_device_s=0.5, days=10, copies=2, used=0.5, core_hour=0.1, gb_month=0.2)
    measured = capacity.Measured(cpu_s_per_million=200, log_bytes=100, row_bytes=300, device_bytes=2_000)
    found = capacity.needs(100_000, assumed, measured)
    assert (found.events_per_s, found.cores, found.worker_gb) == (50_000, 20, 0.2)
    assert (found.log_gb, found.rows_gb) == (8_640, 12_960)
    assert (found.cores_cost, found.disk_cost) == pytest.approx((20 * 730 * 0.1, 21_600 * 0.2))
    assert found.cost == found.cores_cost + found.disk_cost
    assert capacity.needs(1, assumed, measured).cores == 2
    assert capacity.carried(20, assumed, measured) == pytest.approx(50_000)


def test_the_page_has_what_is_computed() -> None:
    page = (ROOT / "tests/benchmarks/CAPACITY.md").read_text()
    assert capacity.table([1_000, 100_000, 10_000_000], capacity.Assumed(), capacity.Measured()) in page
