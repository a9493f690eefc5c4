"""The command line: clear lines, exit codes, schemas of ``--json``, and what ``field wait`` waits for."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy import cli, observe, positions
from deploy.commands import publishing, reading, status, waiting
from deploy.positions import Behind
from streams.changelog import ChangelogFollower
from streams.changes import load_view, record_position
from streams.errors import InputError, PartUnavailable
from streams.events import Event
from streams.fold.digest import digest
from streams.fold.partition import PartitionFold
from streams.fold.rules import DEFAULT_RULES
from streams.settings import Settings
from streams.simulate import Fleet, items
from streams.table import parse_key
from tests.commands import SCHEMAS, valid

START = 1_700_000_000_000


@pytest.fixture(scope="module")
def values() -> list[bytes]:
    """Changelog values of a small fleet, all in one partition."""
    fold = PartitionFold(0, 4, DEFAULT_RULES)
    found = items(Fleet(devices=20, rate=100, seed=2, start=START), 60)
    fold.fold(0, [item.event for item in found if isinstance(item.event, Event)])
    records = fold.checkpoint("1-00000000", full=True).records
    return [value for key, value in records if parse_key(key)[1] is not None]


@pytest.mark.parametrize("table", reading.TABLES)
def test_state_is_as_its_schema_says(table: str, values: list[bytes], capsys: pytest.CaptureFixture) -> None:
    views = [load_view(value) for value in values]
    found = reading.read(views, table, None, None, DEFAULT_RULES)
    found.positions = {0: 0}
    assert found.rows
    reading.print_json(found)
    valid("state", capsys.readouterr().out)
    reading.show(found)
    assert table in capsys.readouterr().out


def test_state_of_a_key(values: list[bytes]) -> None:
    views = [load_view(value) for value in values]
    (row,) = reading.read(views, "resonance", "device-00003", None, DEFAULT_RULES).rows
    assert row["device_id"] == "device-00003"
    pairs = reading.read(views, "entanglements", "device-00003", None, DEFAULT_RULES).rows
    assert all("device-00003" in (pair["low"], pair["high"]) for pair in pairs)
    assert reading.read(views, "rooms", "nowhere", None, DEFAULT_RULES).rows == []


def test_state_at_a_time(values: list[bytes]) -> None:
    views = [load_view(value) for value in values]
    watermark = max(view.watermark for view in views)
    at = watermark + 400_000
    later = reading.read(views, "field", None, at, DEFAULT_RULES)
    assert (later.at, later.rows[0]["active_nodes"], later.rows[0]["rooms"]) == (at, 0, 0)
    assert reading.read(views, "field", None, watermark, DEFAULT_RULES).rows[0]["active_nodes"] == 20
    with pytest.raises(InputError, match=r"field state field --as-of .*Z` folds the log"):
        reading.read(views, "field", None, watermark - 1, DEFAULT_RULES)


class Changelog(ChangelogFollower):
    """A follower of one partition that gets one record at each poll; ``end`` is where the changelog ended at first."""

    def __init__(self, records: Sequence[tuple[bytes, bytes]], end: int) -> None:
        super().__init__(Settings())
        self.rest, self.left = list(records), end

    def caught_up(self) -> bool:
        return self.left <= 0

    async def poll(self, timeout_ms: int = 500) -> set[tuple[int, int]]:
        changed: set[tuple[int, int]] = set()
        self.left -= 1
        if self.rest:
            key, value = self.rest.pop(0)
            self._take(SimpleNamespace(key=key, value=value, timestamp=0), changed)
        else:
            await asyncio.sleep(0.01)
        return changed


@pytest.fixture(scope="module")
def written() -> list[list[tuple[bytes, bytes]]]:
    """Three checkpoints of a partition, each with several shards."""
    fold = PartitionFold(0, 4, DEFAULT_RULES)
    events = [item.event for item in items(Fleet(devices=20, rate=100, seed=2, start=START), 30)]
    out = []
    for offset in range(3):
        fold.fold(offset, [event for event in events[offset * 1000 : (offset + 1) * 1000] if isinstance(event, Event)])
        out.append(fold.checkpoint("1-00000000").records)
    assert all(len(records) > 2 for records in out)
    return out


async def test_a_checkpoint_under_way_is_read_to_its_end(written: list[list[tuple[bytes, bytes]]]) -> None:
    first, second, third = written
    records = first + second + third[:-1]
    for end in range(len(first) + len(second)):
        # the end as of the start may be anywhere; the third checkpoint is never finished
        follower = Changelog(records, end)
        picture = await follower.consistent(20)
        want = {} if end == 0 else {0: 0} if end <= len(first) else {0: 1}
        assert picture.positions == want
        assert {record_position(value) for value in picture.values.values()} <= {*range(want.get(0, -1) + 1)}
        reference = {key: value for key, value in [*first, *(second if want == {0: 1} else [])]}
        parsed = {parse_key(key)[:2]: value for key, value in reference.items() if parse_key(key)[1] is not None}
        assert picture.values == ({} if end == 0 else parsed)


async def test_a_checkpoint_that_is_never_finished_is_an_error_that_says_so(
    written: list[list[tuple[bytes, bytes]]],
) -> None:
    first, second, _ = written
    records = first + second[:-1]
    with pytest.raises(PartUnavailable, match=r"checkpoint of partition 0 .* not finished"):
        await Changelog(records, len(records)).consistent(0.1)
    follower = Changelog(first + second[:1], len(first) + 1)
    with pytest.raises(PartUnavailable):
        await follower.consistent(0.1)
    assert follower.positions == {0: 0}
    assert 1 in {record_position(value) for value in follower.values.values()}, "values alone would be torn"


async def test_shards_of_a_dead_worker_wait_until_its_successor_is_as_far(
    written: list[list[tuple[bytes, bytes]]],
) -> None:
    first, second, third = written
    dead, successor = third[:-1], [(key.replace(b"/1-", b"/2-"), value) for key, value in second + third]
    records = first + dead + successor[: len(second)]
    with pytest.raises(PartUnavailable, match="not finished"):
        await Changelog(records, len(records)).consistent(0.1)
    picture = await Changelog(first + dead + successor, len(records)).consistent(20)
    assert picture.positions == {0: 2}
    assert picture.values == {parse_key(key)[:2]: value for key, value in first[:-1] + second[:-1] + third[:-1]}


@pytest.mark.parametrize(
    ("table", "name", "value", "cell"),
    [
        ("rooms", "last", 1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        ("entanglements", "last", 1_700_000_000, "2023-11-14T22:13:20.000Z"),
        ("entanglements", "established", 1_700_000_000, "2023-11-14T22:13:20.000Z"),
        ("rooms", "present", 1_700, "1700"),
    ],
)
def test_times_read_as_times(table: str, name: str, value: int, cell: str) -> None:
    assert reading._cell(table, name, value) == cell


def test_each_family_has_the_commands_that_its_module_registers() -> None:
    for family, words in cli.FAMILIES.items():
        for word in words:
            assert registered(cli.parser(word)) == words, family
    assert registered(cli.parser()) == tuple(word for words in cli.FAMILIES.values() for word in words)


def test_a_killed_process_is_called_so() -> None:
    roles = [observe.Role("worker", 7, False, 0.0), observe.Role("publisher", 8, False, 0.0, exit_code=3)]
    empty = observe.Status("h", "live", "1-0", [], None, roles, {}, [], observe.Counts(), None)
    text = "\n".join(status.lines(empty))
    assert "DOWN (killed)" in text
    assert "DOWN (exit 3)" in text


def test_digest_is_as_its_schema_says(values: list[bytes], capsys: pytest.CaptureFixture) -> None:
    reading.print_json(reading.Digest(digest(values), {0: 17, 1: -1}))
    valid("digest", capsys.readouterr().out)


def test_status_is_as_its_schema_says_when_nothing_answers(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    nobody = Settings(
        kafka_brokers="127.0.0.1:1", database_url="postgresql://u:secret@127.0.0.1:1/d", redis_port=1,
        home=str(tmp_path), parts="none", worker_metrics_port=0, projector_metrics_port=0, publisher_metrics_port=0,
    )  # fmt: skip
    found = status_of(nobody)
    assert [part.up for part in found.parts] == [False, False, False]
    assert all(part.problem for part in found.parts)
    status.print_json(found)
    text = capsys.readouterr().out
    valid("status", text)
    assert "secret" not in text
    lines = "\n".join(status.lines(found))
    assert lines.count("DOWN") == 3
    assert "secret" not in lines


def status_of(settings: Settings) -> observe.Status:
    return asyncio.run(observe.look(settings))


def registered(root: argparse.ArgumentParser) -> tuple[str, ...]:
    assert root._subparsers
    (group,) = root._subparsers._group_actions
    return tuple(str(name) for name in group.choices or ())


def commands(root: argparse.ArgumentParser, words: str = "") -> dict[str, argparse.ArgumentParser]:
    """All commands by their words, those of families with a dash between."""
    groups = root._subparsers._group_actions if root._subparsers else []
    found = {} if groups else {words: root}
    for group in groups:
        for name, command in group.choices.items():
            found |= commands(command, f"{words}-{name}" if words else name)
    return found


def test_a_schema_for_every_json_output() -> None:
    with_json = {name for name, command in commands(cli.parser()).items() if "--json" in command.format_help()}
    assert with_json == {path.stem for path in SCHEMAS.glob("*.json")}
    assert {"status", "state", "digest", "rejected-list"} <= with_json


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["status"], 2, "setting KAFKA_BROKERS: 'nonsense' is not host:port"),
        (["publish", "/nowhere/at/all"], 2, "there is no such file"),
        (["simulate", "--rate", "0"], 2, "--rate must be more than 0"),
        (["simulate", "--contacts", "/nowhere"], 2, "/nowhere"),
        (["state", "--key", "x"], 2, "--key needs a table"),
    ],
)
def test_an_error_is_one_clear_line_and_its_code(
    words: list[str], code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "nonsense")
    assert cli.main(words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert line in said.err
    assert said.err.count("\n") == 1


def test_a_misspelled_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("FIELD_PARTITION", "3")
    assert cli.main(["env"]) == 2
    assert "FIELD_PARTITION: there is no such setting; did you mean FIELD_PARTITIONS?" in capsys.readouterr().err


def test_env_can_be_evaluated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    monkeypatch.setenv("FIELD_HOME", str(tmp_path / "a folder"))
    monkeypatch.setenv("REDIS_PASSWORD", "it's; secret")
    assert cli.main(["env"]) == 0
    plain = capsys.readouterr().out
    assert f"export FIELD_HOME='{tmp_path}/a folder'\n" in plain
    assert "secret" not in plain
    assert cli.main(["env", "--secrets"]) == 0
    assert """export REDIS_PASSWORD='it'"'"'s; secret'\n""" in capsys.readouterr().out


def test_simulate_prints_the_same_lines_for_the_same_seed(capfdbinary: pytest.CaptureFixture) -> None:
    words = ["simulate", "--devices", "5", "--rate", "50", "--duration", "2", "--start", str(START), "--print"]
    outputs = []
    for seed in ("1", "1", "2"):
        assert cli.main([*words, "--seed", seed]) == 0
        outputs.append(capfdbinary.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]
    assert outputs[0].count(b"\n") == 100


async def test_lines_come_whole_whatever_the_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b'{"a":1}\n\n  \n{"b":2}\nlast')
    for size in (1, 3, 1000):
        monkeypatch.setattr(publishing, "READ_BYTES", size)
        found = [line for lines in [chunk async for chunk in publishing._chunks(str(tmp_path / "x"))] for line in lines]
        assert found == [b'{"a":1}', b'{"b":2}', b"last"]


def test_what_lags_is_named_and_an_empty_partition_does_not() -> None:
    found = positions.behind("raw", {0: 9, 1: 4}, {0: 9, 1: 7, 2: -1, 3: 0})
    assert found == [Behind("raw", 1, 4, 7), Behind("raw", 3, -1, 0)]
    found += positions.behind("state", {}, {0: 1})
    assert positions.told(found) == [
        "raw: 4 records behind (partition 1: 3, 3: 1)", "state: 2 records behind (partition 0: 2)",
    ]  # fmt: skip
    assert positions.vector(b'{"0": 41, "1": -1}') == {0: 41, 1: -1}


class Log:
    """The log's side of ``field wait``: ends, and a worker that gets a record further at each look."""

    def __init__(self, end: int) -> None:
        self.end, self.at = end, -1

    async def ends(self) -> dict[int, int]:
        return {0: self.end, 1: -1}

    async def worker(self) -> dict[int, int]:
        self.at += 1
        return {0: self.at}


async def wait(log: Log, timeout_s: float) -> list[str]:
    return await waiting._until_reached(Settings(), log, await log.ends(), time.monotonic() + timeout_s)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[int, int]]:
    """What the database and Redis have; both are behind at first."""
    at: dict[str, dict[int, int]] = {"raw": {0: 2}, "state": {0: 2}, "states": {0: 2}, "redis": {0: 2}}
    monkeypatch.setattr(waiting, "PAUSE_S", 0.001)
    monkeypatch.setattr(positions, "of_database", lambda *_: {name: at[name] for name in at if name != "redis"})
    monkeypatch.setattr(positions, "of_redis", lambda *_: at["redis"])
    return at


async def test_wait_ends_when_all_have_the_end_as_it_was(stores: dict[str, dict[int, int]]) -> None:
    assert await wait(Log(2), 20) == []


@pytest.mark.parametrize("name", ["raw", "state", "states", "redis"])
async def test_wait_names_each_that_lags(stores: dict[str, dict[int, int]], name: str) -> None:
    stores[name] = {0: 1}
    assert await wait(Log(2), 0.2) == [f"{name}: 1 records behind (partition 0: 1)"]
    stores[name] = {}
    assert await wait(Log(2), 0.2) == [f"{name}: 3 records behind (partition 0: 3)"]


async def test_wait_names_a_part_that_does_not_answer(
    stores: dict[str, dict[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> dict[int, int]:
        raise PartUnavailable("Redis", "connection refused")

    monkeypatch.setattr(positions, "of_redis", refuse)
    assert await wait(Log(2), 0.2) == ["Redis does not answer: connection refused"]


async def test_wait_names_the_worker(stores: dict[str, dict[int, int]]) -> None:
    found = await wait(Log(10**9), 0.05)
    assert {line.partition(":")[0] for line in found} == {"worker", *stores}


async def test_wait_gives_no_part_longer_than_the_deadline(
    stores: dict[str, dict[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Log):
        async def worker(self) -> dict[int, int]:
            await asyncio.sleep(1000)
            raise AssertionError("it was waited for")

    given: list[float] = []
    monkeypatch.setattr(waiting, "LOOK_S", 0.01)
    monkeypatch.setattr(positions, "of_redis", lambda _, timeout_s: given.append(timeout_s) or {0: 2})
    assert await wait(Silent(2), 0.2) == ["Kafka does not answer in time"]
    assert max(given) <= 0.2


@pytest.mark.parametrize("timeout", ["0", "5"])
def test_wait_without_the_log_says_so_and_ends_with_1(
    timeout: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("FIELD_HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_BROKERS", "127.0.0.1:1")
    assert cli.main(["wait", "--timeout", timeout]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the log cannot be asked for its end: Kafka (127.0.0.1:1) does not answer" in line


@pytest.mark.parametrize("text", ["nan", "-1", "-inf"])
def test_wait_refuses_an_impossible_timeout(text: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["wait", f"--timeout={text}"])
    assert ended.value.code == 2
    assert "must be 0 or more seconds" in capsys.readouterr().err
    with pytest.raises(argparse.ArgumentTypeError):
        waiting._seconds(text)
