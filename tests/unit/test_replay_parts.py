"""The parts of a replay by themselves: places of the log, pace, brake, and what a comparison sees."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.replay import checks, compare, planning
from deploy.replay import run as run_module
from deploy.replay.locks import locked
from deploy.replay.run import SILENT_S, Brake, Runner
from deploy.replay.switching import NotEqual
from streams.entry import Entry
from streams.errors import FieldError, InputError
from streams.fold import as_of
from streams.fold.partition import PartitionFold, fold_all, restore
from streams.fold.rules import Rules
from streams.replay.pace import TURN_S, Pace
from streams.replay.span import Span, moment, position, span
from streams.settings import Settings
from tests.worlds import say


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_positions() -> None:
    assert position("0:41,1:7", "--until") == position(" 0:41 1:7 ", "--until") == {0: 41, 1: 7}
    assert position("3:-1", "--until") == {3: -1}
    for text in ("now", "2026-11-24T18:00:00Z", "1700000000123", "0:", "0:-2"):
        assert position(text, "--until") is None
    with pytest.raises(InputError, match=r"--until.*twice"):
        position("0:1,0:2", "--until")


def test_moments() -> None:
    assert moment("1700000000123", "--at") == 1_700_000_000_123
    assert (
        moment("2023-11-14T22:13:20.5Z", "--at") == moment("2023-11-14T23:13:20.5+01:00", "--at") == 1_700_000_000_500
    )
    assert moment("2023-11-14T22:13:20.001Z", "--at") == 1_700_000_000_001
    for text in ("yesterday", "2023-11-14T22:13:20"):
        with pytest.raises(InputError, match="--at"):
            moment(text, "--at")


def test_a_span_of_nothing_is_the_whole_log() -> None:
    assert span().whole
    for part in (span("0:3"), span(until="0:9"), span(until="1700000000123"), span(room="hall"), span(device="ana")):
        assert not part.whole
        assert msgspec.json.decode(msgspec.json.encode(part), type=Span, strict=False) == part


def test_what_a_span_admits() -> None:
    events = [
        say("ana", "BLOOM", 1, room="hall"), say("bo", "BLOOM", 2, room="den"), say("bo", "TOUCH", 3, to="ana"),
        say("cy", "OPT_OUT", 4),
    ]  # fmt: skip

    def admitted(part: Span) -> list[int]:
        return [at for at, event in enumerate(events) if part.admits(event)]

    assert admitted(Span()) == [0, 1, 2, 3]
    assert admitted(Span(room="hall")) == [0, 3]
    assert admitted(Span(device="ana")) == [0, 2]
    assert admitted(Span(since_ms=events[1].timestamp, until_ms=events[2].timestamp)) == [1, 2]


def test_what_of_the_log_is_folded() -> None:
    bounds = {0: (0, 10), 1: (5, 8), 2: (0, 0)}
    assert planning.within(bounds, Span()) == bounds
    assert planning.within(bounds, Span(first={0: 4}, last={0: 6, 1: 7})) == {0: (4, 7), 1: (5, 8), 2: (0, 0)}
    assert planning.within(bounds, Span(last={0: -1})) == {0: (0, 0), 1: (5, 8), 2: (0, 0)}


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Span(last={9: 5}), "partitions are 0 to 2"),
        (Span(first={9: 5}), "partitions are 0 to 2"),
        (Span(last={0: 10}), "its last record is 9"),
        (Span(first={0: 10}), "its last record is 9"),
        (Span(first={1: 3}), "its first record is 5"),
        (Span(first={0: 6}, last={0: 5}), "ends before it begins"),
        (Span(since_ms=2, until_ms=1), "ends before it begins"),
    ],
)
def test_a_span_that_the_log_has_not_is_refused(part: Span, said: str) -> None:
    with pytest.raises(InputError, match=said):
        planning.within({0: (0, 10), 1: (5, 8), 2: (0, 0)}, part)


async def test_a_pace_of_none_only_lets_others_run() -> None:
    await asyncio.wait_for(Pace().spend(1_000_000), 10)


async def test_a_pace_holds_until_it_is_told_otherwise() -> None:
    pace = Pace(0)
    held = asyncio.create_task(pace.spend(1))
    await asyncio.sleep(0.05)
    assert not held.done()
    pace.rate = None
    await asyncio.wait_for(held, 10)


def test_a_chunk_is_taken_in_turns_at_a_rate() -> None:
    entries = [Entry(offset, 0, [], []) for offset in range(25)]
    assert [len(some) for some in Pace().slices(entries)] == [25]
    assert [len(some) for some in Pace(50).slices(entries)] == [10, 10, 5]
    pace = Pace(1)
    taken = pace.slices(entries)
    assert len(next(taken)) == 1
    pace.rate = None  # told meanwhile
    assert [entry.offset for entry in next(taken)] == list(range(1, 25))
    assert not list(taken)


async def test_a_stop_ends_the_wait() -> None:
    pace = Pace(0)
    held = asyncio.create_task(pace.spend(1))
    await asyncio.sleep(0)
    pace.stop.set()
    await asyncio.wait_for(held, 10)


async def test_a_rate_allows_one_turn_ahead_and_no_more() -> None:
    clock = Clock()
    pace = Pace(1_000, clock)
    spending = asyncio.create_task(pace.spend(500))
    await asyncio.sleep(2 * TURN_S)
    assert not spending.done()
    clock.now = 0.25
    await asyncio.sleep(2 * TURN_S)
    assert not spending.done(), "half a second's events, less the turn ahead"
    clock.now = 0.5
    await asyncio.wait_for(spending, 10)


def test_a_brake_holds_above_its_bound_and_lets_go_at_half_of_it() -> None:
    brake = Brake(100, Clock())
    assert [brake.look({0: end}, {0: at}) for end, at in ((100, 0), (101, 0), (101, 40), (101, 51), (152, 52))] == [
        False, True, True, False, False,
    ]  # fmt: skip


def test_a_brake_does_not_wait_for_a_live_worker_that_is_down() -> None:
    clock = Clock()
    brake = Brake(100, clock)
    assert brake.look({0: 1_000}, {0: 0})
    clock.now = SILENT_S + 1
    assert not brake.look({0: 1_000}, {0: 0})
    assert brake.look({0: 2_000}, {0: 1})


@pytest.fixture
def fold() -> PartitionFold:
    story = [say(who, "BLOOM", second, room="hall") for second in range(20) for who in ("ana", "bo")]
    return fold_all(story, 1, 4)[0]


def test_a_restored_fold_goes_on_as_the_one_that_wrote_it(fold: PartitionFold) -> None:
    taken = fold.checkpoint("1-a")
    shards = {record[0].split(b"/")[1]: record[1] for record in taken.records[:-1]}
    again = restore(0, 4, fold.rules, taken.position, {int(shard): value for shard, value in shards.items()})
    assert again.position == fold.position
    later = [say("cy", "BLOOM", 25, room="hall")]
    for one in (fold, again):
        one.fold(100, later)
    assert fold.checkpoint("1-a").shard_values == again.checkpoint("1-a").shard_values


def test_every_row_that_differs_is_named_with_both_values() -> None:
    live = {"rooms": [["hall", 1], ["den", 2], ["attic", 3]], **empty("rooms")}
    replayed = {"rooms": [["hall", 1], ["den", 9], ["cellar", 4]], **empty("rooms")}
    verdict = compare.judge({"live": "2-a", "g2": "2-b"}, {"live": live, "g2": replayed}, {})
    assert not verdict.equal
    assert verdict.counts["rooms"] == 3
    assert [(one.key, one.live, one.replayed) for one in verdict.differences] == [
        (["attic"], ["attic", 3], None), (["cellar"], None, ["cellar", 4]), (["den"], ["den", 2], ["den", 9]),
    ]  # fmt: skip
    assert verdict.digests["live"] != verdict.digests["g2"]
    assert compare.judge({"live": "", "g2": ""}, {"live": live, "g2": live}, {}).equal


def test_rows_of_one_name_are_all_compared() -> None:
    def place(key: str, intensity: int) -> list[Any]:
        return [1, "id", "ana", key, "BLOOM", intensity, None, None, None, {}]

    gone = [1, "id", "", "", "", 0, None, None, None, {}]
    for live, replayed in (
        ([place("hall", 1), place("den", 5)], [place("hall", 9), place("den", 5)]),
        ([gone] * 2, [gone]),
    ):
        states = {name: {"particles": rows, **empty("particles")} for name, rows in (("live", live), ("g2", replayed))}
        verdict = compare.judge({"live": "", "g2": ""}, states, {})
        assert (verdict.equal, verdict.counts["particles"]) == (False, 1)


@pytest.mark.parametrize("what", ["stop", "rate 0"])
async def test_a_child_hears_what_was_said_while_it_was_started(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    code = f"import sys; open({str(heard)!r}, 'w').write(sys.stdin.readline().strip()); sys.exit(75)"
    monkeypatch.setattr(run_module, "command", lambda *words: [sys.executable, "-c", code])
    start = asyncio.create_subprocess_exec
    runner = Runner(Settings(home=str(tmp_path)), Span(), {0: 1}, 1, None)

    async def slowly(*words: Any, **options: Any) -> Any:
        child = await start(*words, **options)
        if what == "stop":
            runner.stop()
        else:
            runner.hold(True)
        return child

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    assert not await runner.run()
    assert heard.read_text() == what


async def test_the_longest_partition_is_begun_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun: list[int] = []

    def command(partition: int, *_: Any) -> list[str]:
        begun.append(partition)
        return [sys.executable, "-c", ""]

    monkeypatch.setattr(run_module, "command", command)
    assert await Runner(Settings(home=str(tmp_path)), Span(), {0: 5, 1: 9, 2: 0, 3: 7}, 1, None).run()
    assert begun == [1, 3, 0, 2]


def test_what_only_judges_holds_no_more_than_l_of_quiet_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_of, "SETTLE_EVENTS", 100)
    acceptance = as_of.Acceptance(Rules())
    for minute in range(60):
        for device in range(20):
            assert acceptance.accepts(say(f"device-{device}", "ENTER", minute * 60, room=f"room-{device}"))
    assert sum(len(key.tail) for key in acceptance._keys.values()) <= 20 * 6


def empty(besides: str) -> dict[str, list[Any]]:
    return {table: [] for table in compare.KEY_COLUMNS if table != besides}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda rows: rows, (0, 0, 0)),
        (lambda rows: {**rows, ("b",): [2, 0.5 + 1e-12]}, (0, 0, 0)),
        (lambda rows: {**rows, ("b",): [2, 0.5 + 1e-6]}, (0, 0, 1)),
        (lambda rows: {**rows, ("b",): [2, None]}, (0, 0, 1)),
        (lambda rows: {("a",): rows["a",]}, (1, 0, 0)),
        (lambda rows: {**rows, ("c",): [3, 0.1]}, (0, 1, 0)),
    ],
)
def test_stores_are_compared_by_row(change: Callable[[Any], Any], seen: tuple[int, int, int]) -> None:
    rows = {("a",): [1, {"x": [0.25, None]}], ("b",): [2, 0.5]}
    found = checks.compared("a store", rows, change(rows))
    assert (found.missing, found.extra, found.unequal) == seen
    assert found.equal == (seen == (0, 0, 0))


def test_exit_codes_tell_errors_apart() -> None:
    codes: dict[int, set[str]] = {}

    def walk(kind: type[FieldError]) -> None:
        for one in kind.__subclasses__():
            if "exit_code" in one.__dict__:
                codes.setdefault(one.exit_code, set()).add(one.__name__)
            walk(one)

    walk(FieldError)
    assert codes[NotEqual.exit_code] == {"NotEqual"}
    shared = [names for names in codes.values() if len(names) > 1]
    assert shared == [{"SettingError", "InputError"}, {"FoldVersionError", "Refused"}, {"HistoryError", "ArchiveError"}]


def test_a_replay_and_each_partition_run_once_at_a_time(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), generation="g2")
    with locked(settings, "all"), locked(settings, "0"):
        with pytest.raises(InputError, match="another process"), locked(settings, "0"):
            pass
        with locked(Settings(home=str(tmp_path), generation="g3"), "0"):
            pass
    with locked(settings, "0"):
        pass


def test_one_that_ends_soon_is_waited_for(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), generation="g2")
    code = "import sys, time; from deploy.replay.locks import locked; from streams.settings import Settings\n"
    code += "with locked(Settings(home=sys.argv[1], generation='g2'), '0'): print('held', flush=True); time.sleep(1)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with locked(settings, "0", wait_s=60):
            assert other.wait(10) == 0
