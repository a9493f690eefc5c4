"""What ``field rejected`` refuses, and the records that mended bytes become."""

from __future__ import annotations

import msgspec
import pytest

from deploy import cli
from streams import rejected, wire
from streams.events import Event
from streams.settings import Settings
from streams.table import partition_of
from streams.validate import Rejection, read_record
from tests.worlds import START_S, say

SETTINGS = Settings(partitions=3)
NOW = (START_S + 60) * 1000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["retry"], "say which letters"),
        (["retry", "0/1/0", "--all"], "say which letters"),
        (["retry", "--all", "--reason", "future"], "say which letters"),
        (["retry", "--all", "--edit", "x"], "--edit mends the letter of one POSITION"),
        (["list", "--limit", "-1"], "--limit must be 0 or more"),
        (["list", "--since", "noon"], "--since 'noon' is neither"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(
    words: list[str], line: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "127.0.0.1:1")
    assert cli.main(["rejected", *words]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


def records(value: bytes) -> list[rejected.Record]:
    events = rejected.judge(value, NOW, SETTINGS)
    assert isinstance(events, list)
    return rejected._pack(value, events, SETTINGS)


def test_one_event_of_json_is_sent_as_it_is() -> None:
    event = say("ana", "BLOOM", 0, room="hall")
    value = b" " + wire.encode_event(event)[:-1] + b',"newer": 1}'
    (record,) = records(value)
    assert (record.value, record.key, record.partition) == (value, b"hall", partition_of("hall", 3))


@pytest.mark.parametrize("encode", [wire.encode_batch, wire.encode_frame])
@pytest.mark.parametrize("count", [1, 5])
def test_several_events_go_where_they_belong(encode: object, count: int) -> None:
    events = [say("ana", "BLOOM", n, room=f"room-{n}") for n in range(count)]
    assert callable(encode)
    found: list[Event | Rejection] = []
    for record in records(encode(events)):
        items = read_record(record.value, NOW, content_type=dict(record.headers)["content-type"])
        assert {partition_of(item.key, 3) for item in items if isinstance(item, Event)} == {record.partition}
        found += items
    assert sorted(found, key=lambda item: item.timestamp) == events  # type: ignore[union-attr]


def test_an_opt_out_goes_to_all() -> None:
    sent = records(wire.encode_event(say("ana", "OPT_OUT", 0)))
    assert [record.partition for record in sent] == [0, 1, 2]
    assert all(dict(record.headers)["fanout"] == b"3" for record in sent)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"[{},1]", b"x" * 900_001])
def test_what_is_no_event_is_named(value: bytes | None) -> None:
    assert isinstance(rejected.judge(value, NOW, SETTINGS), Rejection)


def test_one_bad_event_of_several_refuses_all() -> None:
    good, early = say("ana", "BLOOM", 0), say("ana", "BLOOM", 121)
    verdict = rejected.judge(wire.encode_batch([good, early]), NOW, SETTINGS)
    assert isinstance(verdict, Rejection)
    assert (verdict.reason, verdict.index) == ("future", 1)
    later = rejected.judge(wire.encode_batch([good, early]), NOW + 1_000, SETTINGS)
    assert msgspec.to_builtins(later) == msgspec.to_builtins([good, early])
