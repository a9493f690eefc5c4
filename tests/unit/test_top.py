"""Figures of ``field top``: rates between two looks, percentiles, what lags first; and how they are shown."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from deploy import cli
from deploy.scrape import Samples
from deploy.top import draw
from deploy.top.rows import Look, Seen, percentile, top
from tests.commands import valid


def samples(**values: float) -> Samples:
    """``name__label_value`` has a label: ``field_lag_records__partition_1``."""
    found: Samples = {}
    for key, value in values.items():
        name, _, label = key.partition("__")
        pair = tuple(label.rsplit("_", 1)) if label else ()
        found[name, (pair,) if pair else ()] = value  # type: ignore[index]
    return found


def histogram(**counts: float) -> Samples:
    """Counts by bound, ``le_0_1`` for 0.1."""
    return {
        ("field_checkpoint_seconds_bucket", (("le", le.removeprefix("le_").replace("_", ".")),)): count
        for le, count in counts.items()
    }


def worker(name: str, events: float, lag: float, **more: float) -> Seen:
    given = samples(
        field_events_total=events, field_lag_records__partition_0=lag, process_cpu_seconds_total=events / 100
    )
    return Seen(name, "worker", "h:1", True, 7, 2, given | samples(field_commit_age_seconds=0.5, **more))


def look(at_s: float, *processes: Seen, ends: dict[int, int] | None = None, kept: Any = None) -> Look:
    return Look(at_s, "live", [], list(processes), ends or {}, kept, {0: "here a1"})


def test_rates_are_between_two_looks() -> None:
    first = look(10, worker("worker", 100, 5), ends={0: 9, 1: 4}, kept={0: 9})
    assert {(row.rate, row.cpu) for row in top(None, first).processes} == {(None, None)}
    found = top(first, look(12, worker("worker", 500, 7), ends={0: 29, 1: 4}, kept={0: 19}))
    (row,) = found.processes
    assert (row.rate, row.cpu, row.lag, row.waiting_s, row.restarts) == (200, 2.0, 7, 0.5, 2)
    assert [(one.partition, one.end, one.kept, one.lag, one.in_rate, one.out_rate) for one in found.partitions] == [
        (0, 29, 19, 10, 10, 5), (1, 4, -1, 5, 0, 0),
    ]  # fmt: skip
    assert [one.owner for one in found.partitions] == ["here a1", ""]


def test_what_began_anew_or_is_not_known_has_no_rate() -> None:
    first = look(10, worker("worker", 100, 5), ends={0: 9}, kept={0: 9})
    (row,) = top(first, look(11, worker("worker", 3, 5))).processes
    assert row.rate is None
    found = top(first, look(11, Seen("worker", "worker", "", True, 7, 0, None, (4.0, 1 << 20)), ends={0: 9}))
    assert (found.processes[0].lag, found.processes[0].memory_bytes) == (None, 1 << 20)
    assert (found.partitions[0].kept, found.partitions[0].lag, found.partitions[0].out_rate) == (None, None, None)


def test_most_lag_comes_first() -> None:
    now = look(1, worker("a", 1, 3), worker("b", 1, 30), ends={0: 5, 1: 50}, kept={0: 5, 1: 5})
    found = top(None, now)
    assert [row.process for row in found.processes] == ["b", "a"]
    assert [row.partition for row in found.partitions] == [1, 0]


def test_the_percentile_is_of_what_is_new() -> None:
    old = histogram(le_0_1=100, le_1=100, le_inf=100)
    assert percentile(None, old, "field_checkpoint_seconds") == 0.1
    assert percentile(old, histogram(le_0_1=194, le_1=200, le_inf=200), "field_checkpoint_seconds") == 1.0
    assert percentile(old, old, "field_checkpoint_seconds") == 0.1, "nothing new: of all"
    assert percentile(old, histogram(le_0_1=100, le_1=100, le_inf=200), "field_checkpoint_seconds") is None
    assert percentile(None, {}, "field_checkpoint_seconds") is None


def test_a_gateway_has_requests_errors_and_listeners() -> None:
    def gateway(good: float, bad: float) -> Seen:
        given = samples(
            field_gateway_requests_total__status_200=good, field_gateway_requests_total__status_503=bad,
            field_push_listeners__kind_ws=3, field_push_listeners__kind_sse=4, field_gateway_waiting_events=9,
        )  # fmt: skip
        return Seen("gateway", "gateway", "h:1", True, None, 0, given)

    (row,) = top(look(1, gateway(10, 0)), look(3, gateway(30, 4))).gateways
    assert (row.requests_rate, row.errors_rate, row.listeners, row.waiting_events) == (12, 2, 7, 9)


def test_it_is_shown_and_printed() -> None:
    down = Seen("projector", "projector", "", False, 9, 4, None)
    found = top(
        None,
        look(1, worker("worker", 1, 12_345), down, ends={3: 99_999}, kept={3: 9})._replace(problems=["kafka: gone"]),
    )
    valid("top", msgspec.json.encode(found).decode())
    out = io.StringIO()
    Console(file=out, width=120).print(draw.picture(found))
    text = out.getvalue()
    for word in ("kafka: gone", "projector DOWN", "12,345", "99,999", "99,990", "nobody", "listeners"):
        assert word in text, text


@pytest.mark.parametrize("words", [["--interval", "0"], ["--endpoint", "nowhere"]])
def test_what_it_cannot_do_is_said(words: list[str], capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["top", *words]) == 2
    assert capsys.readouterr().err.startswith(f"field: {words[0]}")
