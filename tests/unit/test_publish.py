"""What goes to the broker: one partition a batch, OPT_* everywhere, invalid lines as they are."""

from __future__ import annotations

import pytest

from streams.events import OPTS, Event
from streams.packing import BATCH_EVENTS, WIRES, pack, pack_line
from streams.publish import LogPublisher
from streams.settings import Settings
from streams.simulate import Fleet, items
from streams.table import partition_of
from streams.validate import read_record
from streams.wire import encode_batch, encode_event

PARTITIONS = 4
NOW = 1_700_000_100_000


@pytest.fixture(scope="module")
def fleet() -> list[Event]:
    found = items(Fleet(devices=60, rate=100, seed=5, start=NOW - 90_000, opts=0.01), 60)
    return [item.event for item in found if isinstance(item.event, Event)]


def read(record) -> list[Event]:
    header = dict(record.headers).get("content-type")
    found = read_record(record.value, NOW, content_type=header)
    assert all(isinstance(item, Event) for item in found)
    return found


@pytest.mark.parametrize("wire", WIRES)
def test_every_event_is_in_its_partition_in_order(fleet: list[Event], wire) -> None:
    records = pack(fleet, PARTITIONS, wire)
    for partition in range(PARTITIONS):
        sent = [event for record in records if record.partition == partition for event in read(record)]
        here = [e for e in fleet if e.type in OPTS or partition_of(e.key, PARTITIONS) == partition]
        assert sent == here
    assert sum(record.events for record in records) == len(fleet), "copies of an OPT_* count once"


@pytest.mark.parametrize("wire", WIRES)
def test_sizes_and_keys(fleet: list[Event], wire) -> None:
    for record in pack(fleet, PARTITIONS, wire):
        found = read(record)
        assert len(found) <= BATCH_EVENTS[wire]
        assert record.key == found[0].key.encode()
    assert wire == "json" or len(pack(fleet, PARTITIONS, wire)) < len(fleet) / 5


def test_opts_go_to_every_partition_with_their_number(fleet: list[Event]) -> None:
    event = next(event for event in fleet if event.type in OPTS)
    for records in (pack([event], 3), pack_line(encode_event(event), 0, 3)[0]):
        assert [record.partition for record in records] == [0, 1, 2]
        assert all(("fanout", b"3") in record.headers for record in records)


def test_a_valid_line_is_sent_byte_for_byte(fleet: list[Event]) -> None:
    event = next(event for event in fleet if event.type == "BREATH")
    line = encode_event(event)[:-1] + b', "extra": 1 }'
    ([record], bad) = pack_line(line, 9, PARTITIONS)
    assert (record.value, record.partition, bad) == (line, partition_of(event.key, PARTITIONS), 0)


def test_an_invalid_line_is_sent_as_it_is_and_counted() -> None:
    for line in (b"{", b"\xff\xfe", b'{"v":1}', b"[]", b"hello"):
        ([record], bad) = pack_line(line, 6, PARTITIONS)
        assert (record.value, record.headers, record.key, record.partition) == (line, (), None, 2)
        assert bad == 1


def test_a_mixed_array_is_split_and_its_bad_one_kept(fleet: list[Event]) -> None:
    events = [event for event in fleet[:40] if event.type not in OPTS]
    line = encode_batch(events)[:-1] + b',{"type":"BREATH"}]'
    records, bad = pack_line(line, 1, PARTITIONS)
    assert bad == 1
    assert [record.value for record in records if record.key is None] == [b'{"type":"BREATH"}']
    good = [record for record in records if record.key is not None]
    assert len(good) == len({record.partition for record in good}) > 1
    for record in good:
        assert {partition_of(event.key, PARTITIONS) for event in read(record)} == {record.partition}
    assert sum(record.events for record in records) == len(events) + 1


async def test_lines_are_judged_by_the_limits_of_the_settings(fleet: list[Event]) -> None:
    line = encode_event(next(event for event in fleet if event.type == "BREATH"))
    found = []
    for size in (len(line), len(line) - 1):
        publisher = LogPublisher(Settings(event_bytes_max=size))
        await publisher.publish_line(line)
        found.append(publisher.invalid)
    assert found == [0, 1]
