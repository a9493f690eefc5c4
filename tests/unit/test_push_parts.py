"""Filters, positions, outbox, tail, pace, origins, opt-outs: the push without any store."""

from __future__ import annotations

import asyncio
from operator import attrgetter
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from projections.gateway.filters import DEFAULT_KINDS, VALUES_MAX, FilterError, Filters, read
from projections.gateway.lines import Line
from projections.gateway.listener import Listener
from projections.gateway.optouts import TOGGLES_MAX, OptOuts
from projections.gateway.origins import allowed
from projections.gateway.outbox import TAKE_BYTES, Outbox
from projections.gateway.playback import Pace
from projections.gateway.pushed import OVERHEAD, Batch, Heard, Message, bye, heartbeat, message
from projections.gateway.tail import Tail
from projections.gateway.vectors import Log, Place, parse, render
from streams.settings import Settings
from tests.worlds import START_S, say


def test_texts_and_json_say_the_same_filters() -> None:
    texts = read({
        "types": "BREATH, TOUCH", "room": "hall", "device": "ana,bea", "box": "0,-1,2.5,3", "min_intensity": "0.3",
        "include": "events,rooms",
    })  # fmt: skip
    objects = read({
        "types": ["TOUCH", "BREATH"], "room": ["hall"], "device": ["bea", "ana"], "box": [0, -1, 2.5, 3],
        "min_intensity": 0.3, "include": ["rooms", "events"],
    })  # fmt: skip
    assert texts == objects
    assert hash(texts) == hash(objects)
    assert texts.intensity == 300_000
    assert read({}) == Filters()
    assert read({"room": "", "box": "", "min_intensity": ""}).all_events
    assert read({}).kinds == DEFAULT_KINDS


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"types": "SNEEZE"}, "types"), ({"types": 7}, "types"), ({"types": [7]}, "types"),
        ({"room": "x" * 65}, "room"), ({"device": [f"d{n}" for n in range(VALUES_MAX + 1)]}, "device"),
        ({"box": "1,2,3"}, "box"), ({"box": "3,0,1,1"}, "box"), ({"box": "0,0,inf,1"}, "box"),
        ({"box": [0, 0, True, 1]}, "box"), ({"box": {"x": 1}}, "box"), ({"min_intensity": "much"}, "min_intensity"),
        ({"min_intensity": 1.1}, "min_intensity"), ({"min_intensity": True}, "min_intensity"),
        ({"box": [0, 0, 10**400, 1]}, "box"), ({"box": "0,0,1_0,1"}, "box"), ({"box": [0, 0, 2e9, 1]}, "box"),
        ({"box": ["0", 0, "\uff11", 1]}, "box"), ({"min_intensity": "1e-400000"}, "min_intensity"),
        ({"include": "all"}, "include"),
    ],
)  # fmt: skip
def test_filters_that_cannot_be_meant(given: dict[str, Any], name: str) -> None:
    with pytest.raises(FilterError) as refused:
        read(given)
    assert refused.value.name == name


def test_what_passes() -> None:
    touch = say("ana", "TOUCH", 0, to="bea", room="hall", intensity=0.3, at=(1, 2))
    for given in (
        {}, {"types": "TOUCH"}, {"room": "hall,attic"}, {"device": "ana"}, {"device": "bea"}, {"box": "1,2,1,2"},
        {"min_intensity": "0.3"}, {"types": "TOUCH", "room": "hall", "device": "ana", "box": "0,0,5,5"},
    ):  # fmt: skip
        assert read(given).passes(touch), given
    for given in (
        {"types": "BREATH"}, {"room": "attic"}, {"device": "cyd"}, {"box": "1.01,2,5,5"}, {"min_intensity": "0.300001"},
        {"types": "TOUCH", "room": "attic"},
    ):  # fmt: skip
        assert not read(given).passes(touch), given
    assert not read({"box": "-9,-9,9,9"}).passes(say("ana", "BREATH", 0))


def test_positions_are_text_and_back() -> None:
    log, at = Log("field.events", 3), {0: 41, 1: 17, 2: -1}
    assert render(log, {1: 17, 0: 41, 2: -1}) == f"{log.id}~0:41,1:17,2:-1"
    assert parse(f"{log.id}~0:41,1:17,2:-1") == Place(log.id, at)
    assert parse("0:41,1:17,2:-1") == Place("", at)
    others = {Log("field.events", 4).id, Log("field.events.2", 3).id, log.id}
    assert len(others) == 3
    assert {len(id) for id in others} == {8}
    for bad in (
        "",
        "~0:1",
        "0~0:1",
        "0123456G~0:1",
        "01234567~",
        "01234567~0:1~1:1",
        "0",
        "0:",
        "a:1",
        "0:-2",
        "0:1,",
        "0:1,0:2",
        "0:1;1:2",
        "0:" + "9" * 19,
        "٠:1",
    ):
        with pytest.raises(ValueError, match=r"positions|twice"):
            parse(bad)


def test_a_message_in_its_two_forms() -> None:
    one = message("field", {"at": 1}, "0:41")
    assert one.sse == b'id: 0:41\nevent: field\ndata: {"at":1}\n\n'
    assert one.text == '{"type":"field","id":"0:41","at":1}'
    assert heartbeat("0:41").sse == b": heartbeat\nid: 0:41\n\n"
    assert heartbeat("").sse == b": heartbeat\n\n"
    assert heartbeat("").text == '{"type":"heartbeat"}'
    assert bye("slow").text == '{"type":"bye","reason":"slow"}'


def sized(size: int) -> Message:
    return Message("events", b"x" * (size - OVERHEAD))


async def test_an_outbox_is_bounded_by_messages_and_by_bytes() -> None:
    box = Outbox(3, 10_000)
    assert [box.put(sized(1_000)) for _ in range(4)] == [True, True, True, False]
    assert (len(box), box.bytes) == (3, 3_000)
    assert len(await box.take()) == 3
    assert [box.put(sized(4_000)) for _ in range(3)] == [True, True, False]
    assert box.bytes == 8_000
    await box.take()
    assert box.put(sized(50_000)), "one alone may be of any size"
    assert not box.put(sized(300))


async def test_what_is_taken_at_once_is_bounded_too() -> None:
    box = Outbox(100, 10 * TAKE_BYTES)
    for _ in range(10):
        assert box.put(sized(TAKE_BYTES // 2))
    assert [len(await box.take()) for _ in range(5)] == [2] * 5
    assert (len(box), box.bytes) == (0, 0)


async def test_the_past_waits_for_room() -> None:
    box = Outbox(2, 10_000)
    giving = asyncio.create_task(_give(box, 6))
    taken = 0
    while taken < 6:
        taken += len(await box.take())
        assert len(box) <= 2
    await giving


async def _give(box: Outbox, count: int) -> None:
    for _ in range(count):
        await box.give(sized(1_000))


async def test_the_end_forgets_what_waits_and_says_why() -> None:
    box = Outbox(3, 10_000)
    box.put(sized(1_000))
    waiting = asyncio.create_task(_give(box, 4))
    await asyncio.sleep(0)
    box.end(bye("slow"))
    await waiting
    assert [one.kind for one in await box.take()] == ["bye"]
    assert await box.take() == []
    assert box.put(sized(1_000))
    assert await box.take() == []


@pytest.mark.parametrize("size", [0, 60, 90, 91, 92, 93, 94, 200, 65_502, 65_503, 65_504, 65_505, 65_506, 70_000])
def test_a_message_as_it_stands_on_the_wire(size: int) -> None:
    """A client's own reader of frames takes it, at every length of a header."""
    one = message("field", {"a": "ä" * (size // 2) + "b" * (size % 2)}, "0:41")
    reader = ClientProtocol(parse_uri("ws://here/"), state=State.OPEN, max_size=None)
    reader.receive_data(one.frame)
    (frame,) = reader.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.fin, bytes(frame.data).decode()) == (Opcode.TEXT, True, one.text)
    head, _, rest = one.chunk.partition(b"\r\n")
    assert (int(head, 16), rest) == (len(one.sse), one.sse + b"\r\n")


class Taking(Line):
    """A line that takes what it is given, while it is not paused."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []

    def write(self, data: bytes) -> bool:
        if not self.paused:
            self.taken.append(data)
        return not self.paused


async def turns() -> None:
    """For all that waits for nothing but its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_overtakes_what_waits() -> None:
    line, gate = Taking(), asyncio.Event()
    listener = Listener(Settings(), line)
    said = [message("field", {"n": n}) for n in range(6)]
    listener.hear(said[0])  # nobody hands on yet
    assert not line.taken

    async def send(messages: list[Message]) -> None:
        await gate.wait()
        line.taken += [one.chunk for one in messages]

    sending = asyncio.create_task(listener.send_all(send, attrgetter("chunk")))
    await asyncio.sleep(0)
    listener.hear(said[1])  # the first one is under way
    gate.set()
    await turns()
    listener.hear(said[2])
    line.paused = True
    listener.hear(said[3])
    line.paused = False
    listener.hear(said[4])  # the one before still waits
    await turns()
    listener.drop("slow")
    listener.hear(said[5])
    await sending
    assert line.taken == [one.chunk for one in (*said[:5], bye("slow"))]


async def test_a_slow_listener_is_let_go_once() -> None:
    listener = Listener(Settings(push_queue_messages=2), Line())
    for _ in range(5):
        listener.hear(sized(1_000))
    assert listener.reason == "slow"
    assert len(listener.outbox) == 1
    listener.drop("stopping")
    assert listener.reason == "slow"
    heard: list[Message] = []

    async def send(messages: list[Message]) -> None:
        heard.extend(messages)

    await listener.send_all(send, attrgetter("chunk"))
    assert [one.text for one in heard] == ['{"type":"bye","reason":"slow"}']


def batch(first: int, count: int) -> Batch:
    heard = [Heard(say("ana", "BREATH", n), 0, n, 0, 0) for n in range(first, first + count)]
    return Batch(heard, {0: first + count - 1, 1: -1})


def test_the_tail_knows_what_it_has() -> None:
    tail = Tail(events_max=10, batches_max=100)
    tail.begin({0: 4, 1: -1})
    assert tail.missed({0: 4, 1: -1}) == []
    assert tail.missed({0: 3, 1: -1}) is None
    for first in (5, 8, 11):
        tail.add(batch(first, 3))
    assert [one.offset for one in tail.missed({0: 6, 1: -1}) or []] == list(range(7, 14))
    tail.add(batch(14, 3))
    assert tail.events <= 10
    assert tail.missed({0: 6, 1: -1}) is None
    assert [one.offset for one in tail.missed({0: 7, 1: -1}) or []] == list(range(8, 17))


def test_the_tail_is_bounded_by_batches_too() -> None:
    tail = Tail(events_max=1_000, batches_max=5)
    tail.begin({0: -1, 1: -1})
    for first in range(20):
        tail.add(batch(first, 1))
    assert tail.events == 5
    assert tail.missed({0: 13, 1: -1}) is None
    assert len(tail.missed({0: 14, 1: -1}) or []) == 5


async def test_a_pace_without_a_speed_never_waits() -> None:
    pace = Pace(None, 0)
    assert pace.over
    await pace.due(10**13, lambda: None)
    slow = Pace(1.0, 0)
    assert not slow.over


def test_origins() -> None:
    assert allowed(None, "field.example", "")
    assert allowed("https://field.example", "field.example", "")
    assert allowed("http://127.0.0.1:8000", "127.0.0.1:8000", "")
    assert not allowed("http://127.0.0.1:8001", "127.0.0.1:8000", "")
    assert not allowed("https://elsewhere.example", "field.example", "")
    assert not allowed("null", "field.example", "")
    assert not allowed("http://[", "field.example", "")
    assert not allowed("https://field.example", None, "")
    assert allowed("https://a.example", "field.example", "https://a.example/, https://b.example")
    assert not allowed("https://field.example", "field.example", "https://a.example")
    assert allowed("https://a.example", "field.example", "*")


def opt_outs(devices_max: int = 100) -> OptOuts:
    return OptOuts(None, devices_max)  # type: ignore[arg-type]


def test_who_is_out_is_not_heard() -> None:
    known = opt_outs()
    before, during = say("ana", "BREATH", 1), say("ana", "BREATH", 15)
    meant, other = say("bea", "TOUCH", 15, to="ana"), say("bea", "BREATH", 15)
    assert not known.hides(during)
    known.seen(say("ana", "OPT_OUT", 10))
    assert [known.hides(one) for one in (before, during, meant, other)] == [True, True, True, False]
    known.seen(say("ana", "OPT_IN", 20))
    after = say("ana", "BREATH", 25)
    assert [known.hides(one) for one in (before, during, meant, after)] == [False, True, True, False]


def test_what_is_known_of_toggles_is_bounded() -> None:
    known = opt_outs(3)
    for number in range(10):
        known.seen(say(f"dev-{number}", "OPT_OUT", number))
    assert len(known) == 3
    assert known.hides(say("dev-9", "BREATH", 20))
    for number in range(5 * TOGGLES_MAX):
        known.note("ana", ((START_S + number) * 1000, "x", number % 2 == 0))
        known.note("ana", ((START_S + number) * 1000, "x", number % 2 == 0))
    assert len(known._toggles["ana"]) == TOGGLES_MAX
