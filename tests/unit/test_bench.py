"""The pure parts of ``make bench``: what a run comes to, when it is INVALID, the table, the pictures, the events."""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from streams.validate import read_record
from streams.wire import encode_event
from tests.benchmarks.bench import figures, load, picture, rows, setup, table
from tests.benchmarks.bench.figures import MEASURES, Run
from tests.benchmarks.bench.stage import as_event, numbers

SCHEMA = json.loads((setup.ROOT / "tests/benchmarks/bench/results.schema.json").read_text())
RUN = Run(events=1_000, wall_s=2.0, cpu_s=0.5, count=1_000, sum_r=12.5, committed_s=4.0, rss_mb=100.0)


def results(*given: tuple[str, list[Run]], latency: dict[str, Any] | None = None) -> dict[str, Any]:
    found = []
    for name, runs in given:
        (row,) = rows.chosen([name])
        names = ("name", "title", "guarantee", "kind", "fold", "form", "interval", "processes", "share")
        problem = next((run.problem for run in runs if run.problem), "")
        found.append(
            {one: getattr(row, one) for one in names}
            | {"valid": not problem, "problem": problem, "figures": figures.summaries(runs), "latency": latency}
            | {"runs": [run.plain() for run in runs]}
        )
    return {
        "format": 1,
        "begun": 1.0,
        "machine": {"processor": "one", "cores": 2, "memory_gb": 4.0, "system": "Linux"},
        "versions": setup.versions(),
        "given": {"events": 1_000, "devices": 10, "runs": 3, "rate": 20_000, "seconds": 20},
        "inputs": {"json": {"events": 1_000, "bytes": 190_000, "bytes_per_event": 190.0}},
        "load_average": {"min": 0.1, "max": 2.5},
        "rows": found,
    }


def runs(*speeds: float) -> list[Run]:
    return [Run(events=1_000, wall_s=1_000 / speed, cpu_s=0.5, count=1_000, rss_mb=50) for speed in speeds]


def test_a_run_is_taken_by_event_and_second() -> None:
    measures = RUN.measures()
    assert set(measures) == set(MEASURES)
    assert measures["events_per_s"] == 500
    assert measures["committed_per_s"] == 250
    assert measures["cpu_s_per_million"] == 500
    assert measures["changelog_bytes_per_event"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"problem": "it ended"}, "it ended"),
        ({"events": 999}, "999 events processed"),
        ({"events": 1_001}, "1,001 events processed"),
        ({"count": 999}, "999 events in the state"),
        ({"count": 1_001}, "1,001 events in the state"),
        ({"sum_r": 12.5 + 1e-6}, "the sum of r"),
        ({"sum_r": math.nan}, "the sum of r"),
        ({"sum_r": None}, ""),
        ({"wall_s": 0.0}, "no time"),
        ({"details": {"measured_share": 0.59}}, "only 59% was folded by all"),
        ({"details": {"measured_share": 0.6}}, ""),
    ],
)
def test_a_run_counts_only_if_every_event_is_in_the_state_once(change: dict[str, Any], said: str) -> None:
    run = Run(**({"events": 1_000, "wall_s": 2.0, "cpu_s": 0.5, "count": 1_000, "sum_r": 12.5} | change))
    found = figures.problem(run, 1_000, 12.5)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_several_runs_come_to_median_and_spread_of_those_that_count() -> None:
    found = figures.summaries([*runs(100, 300, 200), figures.failed("no", 1.0)])
    assert found["events_per_s"] == {"median": 200, "min": 100, "max": 300}
    assert found["committed_per_s"] is None


def test_a_row_with_one_bad_run_is_not_compared() -> None:
    given = results(("quix", runs(50)), ("quix-eos", [*runs(70), figures.failed("no", 1.0)]))["rows"]
    assert figures.best(given, ["quix*"]) == 50
    assert figures.best(given, ["quix-eos"]) is None


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    assert figures.percentiles(list(range(100, 0, -1))) == {"p50": 50, "p99": 99}
    assert figures.percentiles([7.0]) == {"p50": 7.0, "p99": 7.0}
    assert figures.percentiles([]) is None


def test_a_delay_is_from_sending_to_the_first_look_that_has_it() -> None:
    steps = [(10.0, 1), (11.0, 1), (12.0, 3)]
    assert figures.delays_ms(steps, None, lambda n: 9.0 + n, 0) == [1_000, 2_000, 1_000]
    # a partition that holds events 0, 4 and 6; the second half of ten begins with 5
    assert figures.delays_ms(steps, [0, 4, 6], lambda n: float(n), 5) == [6_000]


def test_metrics_are_added_over_series() -> None:
    page = figures.by_name('# HELP a\na_total{p="1"} 2.0\na_total{p="2"} 3.0\nb 4.5\n')
    assert figures.total(page, "a_total") == 5
    assert figures.total(page, "a_total", 'p="2"') == 3
    assert figures.total(page, "b") == 4.5
    assert figures.total(page, "a") == 0


def test_rows_are_named_by_patterns_and_each_once() -> None:
    assert len({row.name for row in rows.ROWS}) == len(rows.ROWS) == len(rows.chosen([]))
    assert {row.guarantee for row in rows.ROWS} == set(rows.GUARANTEES)
    assert [row.name for row in rows.chosen(["flink-heap-?"])] == ["flink-heap-1", "flink-heap-2"]
    with pytest.raises(ValueError, match="no row is called flunk"):
        rows.chosen(["ours-*", "flunk"])


def test_results_are_as_their_schema_says() -> None:
    paced = {"problem": "", "folded_ms": {"p50": 1.0, "p99": 9.0}, "durable_ms": None, "rate": 19_999.5, "cores": 0.5}
    found = results(("ours-json", [RUN]), ("quix", [figures.failed("no", 0.5)]), latency=paced)
    jsonschema.validate(found, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found | {"rows": [found["rows"][0] | {"fold": "a simple one"}]}, SCHEMA)


def test_the_table_keeps_equal_guarantees_together_and_says_what_is_invalid() -> None:
    lost = Run(events=1_000, wall_s=1.0, cpu_s=0.5, count=999, problem="999 events in the state of 1,000")
    given = results(
        ("quix", runs(50)), ("ours-json", runs(100, 300, 200)), ("flink-heap-1-warm", runs(400)), ("bytewax", [lost])
    )
    lines = table.markdown(given).splitlines()
    once = lines.index(next(line for line in lines if line.startswith("| **effectively once**")))
    least = lines.index(next(line for line in lines if line.startswith("| **at least once**")))
    assert "the field, single records | all tables | 190 | 200 (100-300) |" in lines[once + 1]
    assert "Flink" in lines[once + 2]
    assert "Quix" in lines[least + 1]
    assert "INVALID: 999 events in the state" in lines[once + 3]
    assert least == once + 4
    assert {line.count(" |") for line in lines[:least]} == {lines[0].count(" |")}
    assert any("single records to Flink, heap, warm: 0.50" in line for line in lines)
    assert any('no row "the field, simple fold"' in line for line in lines)


def test_a_picture_has_bars_in_proportion_and_their_spread() -> None:
    given = results(
        ("ours-json", runs(100, 300, 200)), ("floor-aiokafka", runs(400)), ("quix", [figures.failed("no", 1)])
    )
    bars = picture.bars(given, "events_per_s")
    assert [(bar.value, bar.low, bar.high, bar.ours) for bar in bars] == [
        (200, 100, 300, True),
        (400, 400, 400, False),
    ]
    root = ElementTree.fromstring(picture.svg("a < b", bars))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(one.get("width", "")) for one in root.iter(f"{space}rect")][1:]
    assert widths[1] == pytest.approx(2 * widths[0], rel=1e-3)
    assert len(list(root.iter(f"{space}path"))) == 1
    assert root.findtext(f"{space}title") == "a < b"


@pytest.mark.parametrize("rooms", [0, 16])
def test_the_published_bytes_are_the_events_that_frames_hold(rooms: int) -> None:
    for sent in load.events(500, devices=40, rooms=rooms):
        (read,) = read_record(load.encode(sent), load.START_MS)
        assert read == as_event(sent)
        assert read_record(encode_event(as_event(sent)), load.START_MS) == [read]
    first = next(load.events(1, devices=40, rooms=rooms))
    assert read_record(load.encode(first, 5), load.START_MS) == [as_event(first._replace(timestamp=5))]


def test_fewer_events_are_the_first_of_more() -> None:
    assert list(load.events(100, devices=9)) == list(islice(load.events(1_000, devices=9), 100))
    places = numbers(1_000, 9)
    assert sorted(number for found in places.values() for number in found) == list(range(1_000))
    assert all(found == sorted(found) for found in places.values())


def test_what_the_simple_fold_comes_to() -> None:
    first, second = islice(load.events(2, devices=1), 2)
    assert load.expected([first, second]) == pytest.approx(0.09 * first.intensity + 0.1 * second.intensity)


def test_the_run_that_is_published_is_the_one_of_the_page() -> None:
    folder = setup.ROOT / "tests/benchmarks"
    found = json.loads((folder / "results/results.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert table.markdown(found) in (folder / "RESULTS.md").read_text()
