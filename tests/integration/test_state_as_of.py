"""``field state --as-of`` on a real Kafka: positions, times, and what is refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from deploy.commands import as_of
from streams import contacts, topics
from streams.changes import ShardView, load_view
from streams.entry import Entry, read_entry
from streams.fold.partition import PartitionFold
from streams.history import KafkaHistory
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.simulate import Fleet, items
from tests.fixtures.command import Run
from tests.oracle import Oracle, past
from tests.property.adapter import differences, expected_reading, plain_reading
from tests.unit.test_as_of import chosen
from tests.unit.test_cli import START
from tests.workers import instance, read_topic
from tests.worlds import START_S, say


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    made = instance(kafka, tmp_path)
    asyncio.run(topics.create(made))
    return made


async def send(settings: Settings, events: Any, wire: Any = "json") -> None:
    async with LogPublisher(settings, wire) as publisher:
        for event in events:
            await (publisher.publish_line(event) if isinstance(event, bytes) else publisher.publish(event))
        await publisher.flush()


def prefix_views(records: Sequence[Any], positions: Mapping[int, int], settings: Settings) -> list[ShardView]:
    """The worker's own fold of a prefix, in memory."""
    folds = {number: PartitionFold(number, settings.shards, settings.rules) for number in range(settings.partitions)}
    for record in records:
        if record.offset <= positions[record.partition]:
            entry = read_entry(record, record.partition, settings.partitions)
            folds[record.partition].fold(record.offset, entry.events)
    written = [record for fold in folds.values() for record in fold.checkpoint("1-reference", full=True).records[:-1]]
    return [load_view(value, settings.rules) for _, value in written]


class Read:
    """A ``History`` of records that were read from Kafka before."""

    def __init__(self, records: Sequence[Any], ends: Mapping[int, int]) -> None:
        self._records, self._ends = records, ends

    async def bounds(self) -> dict[int, tuple[int, int]]:
        return {partition: (0, last + 1) for partition, last in self._ends.items()}

    async def entries(self, partition: int, start: int, end: int) -> AsyncIterator[list[Entry]]:
        here = [r for r in self._records if r.partition == partition and start <= r.offset < end]
        yield [read_entry(record, partition, len(self._ends)) for record in here]


def test_every_prefix_is_the_fold_of_that_prefix(settings: Settings) -> None:
    fleet = Fleet(4, 2.0, 3, START, late=0.2, duplicates=0.2, malformed=0.1, opts=0.1)
    asyncio.run(send(settings, [item.event for item in items(fleet, 16)]))

    async def check() -> None:
        records = await read_topic(settings, settings.events_topic)
        ends = {number: max(r.offset for r in records if r.partition == number) for number in (0, 1)}
        every = [{0: first, 1: second} for first in range(-1, ends[0] + 1) for second in range(-1, ends[1] + 1)]
        named_alone = [{0: ends[0] // 2}, {1: -1}, {}]  # the other one is taken whole
        async with KafkaHistory(settings) as kafka:
            looks = [(Read(records, ends), prefix) for prefix in every + named_alone]
            looks += [(kafka, prefix) for prefix in named_alone]
            for history, prefix in looks:
                found = await as_of.past(history, prefix, None, settings.rules)
                assert found.positions == ends | prefix
                wanted = plain_reading(prefix_views(records, ends | prefix, settings), found.at, settings.rules)
                assert not differences(plain_reading(found.views, found.at, settings.rules), wanted, f"{prefix} ")
        assert len(every) > 100

    asyncio.run(check())


def test_a_time_is_judged_by_the_whole_log(settings: Settings, field: Run) -> None:
    """Late and twice at the time, an opt-out in between, one who counts in a hall of his own."""
    log = [
        say("ana", "BLOOM", 0, room="hall", seq=1),
        say("bea", "BLOOM", 20, room="hall", seq=1),
        say("cyd", "BLOOM", 5, room="hall", seq=1),  # too late: never there
        say("dan", "BLOOM", 12, room="hall", seq=1),
        say("dan", "BLOOM", 12, room="hall", seq=1),
        say("bea", "OPT_OUT", 30),
        say("eve", "BLOOM", 3, room="attic", seq=1),
    ]
    asyncio.run(send(settings, log))
    for seconds, devices in (
        (2, "ana"),
        (4, "ana eve"),
        (19, "ana dan eve"),
        (20, "ana bea dan eve"),
        (30, "ana dan eve"),
    ):
        at = START_S * 1000 + seconds * 1000
        code, found, said = field("state", "resonance", "--as-of", str(at))
        assert (code, said) == (0, "")
        assert " ".join(row["device_id"] for row in found["rows"]) == devices
        assert (found["at"], found["as_of"]) == (at, "time")
        assert all(row["counts"] == {"BLOOM": 1} for row in found["rows"])
        oracle = expected_reading(Oracle.as_of(log, at), at)
        assert field("state", "--as-of", str(at))[1]["rows"][0]["active_nodes"] == len(oracle["active"])


def test_a_position_is_read_at_a_time(settings: Settings, field: Run) -> None:
    asyncio.run(send(settings, [say("ana", "BLOOM", n, room="hall", seq=n) for n in (0, 10, 20)]))
    (home,) = {record.partition for record in asyncio.run(read_topic(settings, settings.events_topic))}
    _, found, _ = field("state", "resonance", "--as-of", f"{home}:1")
    assert (found["at"], found["as_of"]) == ((START_S + 10) * 1000, "position")
    assert found["positions"] == {str(home): 1, str(1 - home): -1}
    assert found["rows"][0]["counts"] == {"BLOOM": 2}
    later = (START_S + 311) * 1000
    _, found, _ = field("state", "resonance", "--as-of", f"{home}:1", "--at", str(later))
    assert (found["at"], found["rows"][0]["active"]) == (later, False)
    _, found, _ = field("state", "resonance", "--as-of", f"{home}:1", "--at", str((START_S + 9) * 1000))
    assert found["rows"][0]["counts"] == {"BLOOM": 1}
    _, found, _ = field("state", "--as-of", f"{home}:-1")
    assert (found["at"], found["watermark"], found["rows"][0]["active_nodes"]) == (0, -1, 0)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--as-of", "0:5"), "beyond the log of the partition: its last record is"),
        (("--as-of", "7:0"), "partitions are 0 to 1"),
        (("--as-of", "yesterday"), "--as-of 'yesterday' is neither"),
        (("--as-of", "2023-11-14T22:13:20Z", "--at", "5"), "--at goes with --as-of POSITION"),
    ],
)
def test_what_cannot_be_is_refused(settings: Settings, field: Run, words: tuple[str, ...], line: str) -> None:
    asyncio.run(send(settings, [say(name, "BLOOM", 0) for name in "abcdef"]))
    code, _, said = field("state", *words)
    assert code == 2
    assert line in said
    assert said.count("\n") == 1


def test_moments_of_the_conference(settings: Settings, field: Run, contacts_file: Path) -> None:
    rows = list(islice(contacts.read_rows(contacts_file), 20_000))
    asyncio.run(send(settings, contacts.events(rows), "frame"))
    wanted = random.Random(1).sample(chosen(rows), 3)
    for at, expected in past.moments(rows, wanted):
        _, found, _ = field("state", "--as-of", str(at))
        (row,) = found["rows"]
        assert abs(row["global_resonance"] - expected["global_resonance"]) < 1e-9
        assert (row["active_nodes"], row["rooms"]) == (expected["active_nodes"], len(expected["rooms"]))
        _, found, _ = field("state", "entanglements", "--as-of", str(at))
        pairs = {(row["low"], row["high"]): (row["established"], row["last"], row["living"]) for row in found["rows"]}
        assert pairs == expected["pairs"]
