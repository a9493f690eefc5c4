"""The logs of ``schema/golden``, one for each family of rules: written once, read by every later version.

Seconds count from ``START_MS``; ids rise in the order of saying, so that a log says what it is about by its order.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from streams.events import routing_key
from streams.table import partition_of
from tests.golden import story
from tests.golden.story import START_MS, frame, many, one, say

Plain = dict[str, Any]
PHRASES: Final = ("ab" * 8, "cd" * 8)


class Line(NamedTuple):
    """A record of a log: ``timestamp`` is the append time (ms)."""

    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Log:
    """Lines in the making."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.lines: list[Line] = []

    def put(self, record: story.Record, partition: int = 0, **headers: str) -> int:
        """Append a record to a partition; its offset."""
        offset = sum(line.partition == partition for line in self.lines)
        pairs = [(name.replace("_", "-"), text.encode()) for name, text in headers.items()]
        self.lines.append(Line(partition, offset, record.received, record.value, pairs))
        return offset

    def say(self, *events: Plain) -> None:
        """Each event as a record of its own."""
        for event in events:
            self.put(one(event))

    def raw(self, value: bytes, second: float = 0, **headers: str) -> None:
        self.put(story.Record(START_MS + round(second * 1000), value), **headers)

    def home(self, event: Plain) -> int:
        target = (event.get("data") or {}).get("target_device")
        return partition_of(routing_key(event["device_id"], event.get("room_id"), target), self.partitions)


def uuid(text: str) -> str:
    """An id that sorts as its last digits do."""
    return f"00000000-0000-4000-8000-{text:0>12}"


def phrase(second: float, device: str, which: int = 0, **more: Any) -> Plain:
    return say("SACRED_PHRASE", second, device, data={"phrase": PHRASES[which]}, **more)


def touch(second: float, device: str, to: str, **more: Any) -> Plain:
    return say("TOUCH", second, device, data={"target_device": to}, **more)


def duplicates() -> Log:
    """Numbers and epochs by (key, device), the window of 64 at its ends, ids of the last ten seconds."""
    log = Log()
    for seq in (5, 6, 5, 8, 7, 8, 69, 6, 5, 68, 68, 133, 69, 70, 70, 200, 137, 136, 200):
        log.say(say("BLOOM", seq / 100, "ana", seq=seq, epoch=3))
    log.say(say("BLOOM", 1, "ana", room="garden", seq=6, epoch=3), say("BLOOM", 1, "ana", room=None, seq=5, epoch=2))
    log.say(say("BLOOM", 1, "ben", seq=0), say("BLOOM", 1, "ben", seq=0), say("BLOOM", 1, "ben", seq=2**63 - 1))
    log.say(say("BLOOM", 3, "ana", seq=1, epoch=4), say("BLOOM", 3, "ana", seq=201, epoch=3))
    log.say(say("BLOOM", 3, "ana", seq=1, epoch=4), say("BLOOM", 3, "ana", seq=0, epoch=4))
    log.say(say("TOUCH", 4, "cid", seq=9.0, epoch=None), say("TOUCH", 4, "cid", seq=9, epoch=0))
    for second in (10, 10, 11, 19.999, 20, 20.001, 20.5):
        log.say(say("BREATH", second, "dia", id=uuid("aa"), data={"phase": 1}))
        log.say(say("BREATH", second, "eve", id=uuid("AA"), data={"phase": second}))
    return log


def lateness() -> Log:
    """Behind the watermark of the key by less than L, by L, by more; ties by id, device, epoch, seq."""
    log = Log()
    for second in (100, 90, 89.999, 95, 110, 100, 99.999, 60):
        log.say(say("SPIRAL", second, "ana", position={"x": second, "y": 1}))
        log.say(say("BREATH", second, "ben", room="garden", data={"phase": second}, seq=round(second * 1000)))
    log.say(say("BLOOM", 80, "cid", seq=1), say("BLOOM", 109, "cid", seq=1), say("BLOOM", 80, "dia", room=None))
    for device, identity, seq in (("eve", "b", 2), ("eve", "a", 1), ("eve", "b", 1), ("dia", "b", 1), ("eve", "b", 3)):
        log.say(say("BREATH", 111, device, id=uuid(identity), seq=seq, data={"phase": seq}, room="tie"))
    log.say(say("ENTER", 130, "fay"), say("LEAVE", 125, "fay"), say("ENTER", 124, "fay"), say("LEAVE", 121, "fay"))
    return log


def opt_outs() -> Log:
    """Out and in by event time, before and after it is final; whoever is named; places that stay empty."""
    log = Log()
    for second in (0, 1, 2):
        log.say(say("BLOOM", second, "ana"), say("BLOOM", second, "ben"), touch(second, "ana", "cid"))
        log.say(say("FIELD", second, "ana", data={"phase": 1}), say("FIELD", second, "ben"))
    log.say(
        say("OPT_OUT", 5, "ana", room=None), say("BLOOM", 6, "ana"), touch(6, "ben", "ana"), say("OPT_OUT", 6, "ana")
    )
    log.say(say("OPT_IN", 8, "ana", id=uuid("5")), say("BLOOM", 8, "ana", id=uuid("4")))
    log.say(say("BLOOM", 8, "ana", id=uuid("6")), touch(8, "ben", "ana", id=uuid("5")), phrase(9, "ana"))
    log.say(say("OPT_OUT", 9.5, "eve"), say("OPT_OUT", 9.5, "eve"), say("OPT_IN", 9.5, "eve", id=uuid("0")))
    for second in (10, 20, 30, 40):
        log.say(say("BLOOM", second, "dia"), touch(second, "dia", "ben"), say("BLOOM", second, "eve", room="garden"))
        log.say(say("BLOOM", second, "fay"), say("BLOOM", second, "fay", room=None), say("FIELD", second, "fay"))
    log.say(say("OPT_OUT", 15, "dia"))  # long final in one room
    log.say(say("BLOOM", 41, "dia"), say("OPT_IN", 35, "dia"), say("BLOOM", 42, "dia"))
    log.say(say("OPT_IN", 25, "fay"), say("OPT_OUT", 22, "fay"), say("BLOOM", 43, "fay"), say("OPT_OUT", 43, "ben"))
    log.say(say("OPT_OUT", 60, "gus", id=uuid("7")), say("OPT_IN", 60, "gus", id=uuid("7")))
    log.say(touch(60, "hal", "gus", id=uuid("7")), touch(60, "abe", "gus", id=uuid("7")))
    return log


def rooms() -> Log:
    """Seventy in a circle of sixty-four: who sits, who sits down when one goes, and who echoes therefore."""
    log = Log()
    log.put(frame([say("ENTER", at // 7, f"guest-{at:02}") for at in range(70)]))
    for second in (20, 22, 24):
        log.put(
            frame([say("BLOOM", second, f"guest-{at:02}", position={"x": at / 4, "y": 0}) for at in (0, 1, 63, 64)])
        )
    log.say(say("LEAVE", 26, "guest-00"), say("BREATH", 27, "guest-69", data={"phase": 1}))
    for second in (30, 31, 32):
        log.put(frame([say("SPIRAL", second, f"guest-{at:02}") for at in (0, 5, 62, 64, 65)]))
    awake = [f"guest-{at:02}" for at in range(50, 70)]
    for second in (100, 200, 309.5, 310.5):
        log.put(frame([say("BREATH", second, name, data={"phase": 0.5}) for name in awake]))
    for second in (311, 312, 313):
        log.put(many([phrase(second, f"guest-{at}") for at in (65, 69)]))
    return log


def sessions() -> Log:
    """Five minutes of silence to the millisecond; leaving, coming back, and what a new session forgets."""
    log = Log()
    log.say(say("BLOOM", 0, "ana"), phrase(1, "ben"), say("LEAVE", 2, "ben"), say("LEAVE", 3, "cid"))
    log.say(say("BREATH", 200, "ana", data={"phase": 1}), say("BREATH", 300, "dia", data={"phase": 2}))
    log.say(say("ENTER", 500, "ana"), say("ENTER", 600.001, "dia"), say("ENTER", 700, "ben"))
    log.say(say("LEAVE", 1000, "ben"), say("BLOOM", 1300, "ben"), say("BLOOM", 1300.5, "ana"))
    log.say(say("LEAVE", 1600.501, "ana"), say("BLOOM", 1600.502, "ben"), say("BLOOM", 1600.9, "ana"))
    log.say(
        say("LEAVE", 0, "eve", room="empty"),
        say("BLOOM", 1650, "fay", room="left"),
        say("LEAVE", 1651, "fay", room="left"),
    )
    log.say(say("LEAVE", 1955, "fay", room="left"), say("FIELD", 1900, "gus"), say("OPT_OUT", 1700, "ben"))
    for end in (300, 300.001):
        log.say(say("BLOOM", 0, "ana", room=f"until-{end}"), say("ENTER", end, "ben", room=f"until-{end}"))
        log.say(*(say("BLOOM", at, who, room=f"stay-{end}") for at, who in ((0, "ana"), (150, "ben"), (end, "ana"))))
    return log


def echoes() -> Log:
    """The same gesture in the same or the next second; ten units to the unit; touches that are meant."""
    log = Log()
    places = ({"x": 0, "y": 0}, {"x": 6, "y": 8}, {"x": 6, "y": 8.001}, {"x": 6, "y": 8, "z": 0.01}, None)
    for second in (0, 10, 20):
        log.say(*(say("SPIRAL", second + at / 10, f"d{at}", position=place) for at, place in enumerate(places)))
    for at, gap in enumerate((0.999, 1, 1.999, 2)):  # from the first millisecond of a second
        for second in (30, 40, 50):
            log.say(say("BLOOM", second, "ana", room=f"gap-{at}"), say("BLOOM", second + gap, "ben", room=f"gap-{at}"))
    for at, third in enumerate((119, 120, 121)):
        log.say(*(touch(second, "ana", "ben", room=f"span-{at}") for second in (60, 90, third)))
    log.say(*(touch(second, *pair, room=None) for second in (70, 71) for pair in (("ana", "ben"), ("ben", "ana"))))
    log.say(touch(71, "ben", "ben"), touch(72, "ben", "ana"), say("TOUCH", 73, "cid"), say("TOUCH", 73, "dia"))
    log.say(*(phrase(80 + at, device, which) for at in range(3) for device, which in (("a", 0), ("b", 1), ("c", 0))))
    log.say(*(say("BLOOM", 85, device, room=None) for device in ("ana", "ben")))
    for second in (190, 200, 210, 275, 281, 290):
        log.say(touch(second, "fay", "gus"), say("BREATH", second, "hal", data={"phase": 0}))
    return log


def bonds() -> Log:
    """ENTANGLE and RELEASE from either side, with echoes and without; pairs that are forgotten and begin anew."""
    log = Log()

    def bind(
        second: float, device: str, to: str, what: str = "ENTANGLE", room: str | None = "hall", **more: Any
    ) -> None:
        log.say(say(what, second, device, room=room, data={"target_device": to} | more))

    bind(0, "ana", "ben", intensity=0.25)
    bind(1, "ben", "ana", intensity=0.0000005)
    bind(2, "cid", "ana", intensity=0.0000015)
    bind(3, "ana", "cid", "RELEASE")
    bind(3, "ana", "ana")
    bind(4, "dia", "eve", room=None)
    bind(5, "eve", "dia", "RELEASE", room=None)
    bind(5, "eve", "dia", "RELEASE", room=None)
    for second in (10, 20):
        log.say(touch(second, "fay", "gus"), touch(second, "hal", "ian"), touch(second, "jon", "kai"))
        log.say(touch(second, "nia", "oto"))
    bind(25, "gus", "fay", kind="twin")
    bind(26, "gus", "fay", "RELEASE")
    log.say(touch(30, "fay", "gus"))
    bind(80, "hal", "ian")  # its echoes are not forgotten yet
    bind(91, "jon", "kai")  # these are
    bind(91, "nia", "oto")
    bind(92, "hal", "ian", "RELEASE")
    bind(93, "jon", "kai", "RELEASE")
    bind(94, "lea", "mia", kind="care", intensity=1)
    log.say(touch(95, "lea", "mia"), touch(96, "lea", "mia"), touch(97, "mia", "lea"), touch(160, "lea", "mia"))
    return log


def particles() -> Log:
    """More than the field remembers, of both kinds; and the numbers that JSON libraries write differently."""
    log = Log()
    for start in range(0, 1100, 100):
        log.put(frame([say("BLOOM", (start + at) / 50, f"d{at % 30}", room=f"room-{at % 7}") for at in range(100)]))
    for number in (0, -0.0, 1, 0.1, 1e-5, 1.5e-5, 9.5e-6, 1e-6, 1.25e-7, 5e-324, 123456.789, 1e6, 0.30000000000000004):
        own = {"data": {"radius": abs(number)}, "position": {"x": number, "y": 1000 * number, "z": number / 3}}
        log.say(say("BLOOM", 30, "ana", **own), say("BREATH", 30, "ana", data={"phase": number}))
        wave = {"x": number, "y": 1e9, "frequency": 7, "amplitude": -number, "phase": 0}
        log.say(say("FIELD", 30, "ben", data={"harmonics": [wave, wave], "phase": number}, intensity=0.5))
    log.say(say("FIELD", 31, "ben", data={"harmonics": [], "phase": 0, "resonance": None}), say("FIELD", 31, "cid"))
    log.say(say("FIELD", 31, "dia", data={"resonance": 1}, room=None), say("BLOOM", 31, "1e-05", data={"petals": 5.0}))
    log.say(*(say("TOUCH", 31, "eve", seq=at, intensity=at / 10_000_000) for at in (4, 5, 6, 15, 25, 35)))
    log.say(say("OPT_OUT", 31.5, "ben", room=None), phrase(32, "d1"), phrase(32, "d2", 1, intensity=0.1234565))
    return log


def wires() -> Log:
    """Objects, arrays and frames; the old version; times in words; what is refused, alone and among good ones."""
    log = Log()
    good = [say("BREATH", at, "ana", data={"phase": at, "rate": 12}, extra={"deep": [1]}) for at in range(6)]
    log.raw(b" \t\r\n" + one(good[0]).value + b"\n", 1, content_type="application/json; charset=utf-8")
    log.put(many(good[1:3]), content_type="Application/JSON")
    log.put(frame(good[3:5]), content_type="application/vnd.field.frame")
    log.put(one(good[5]), content_type="text/plain")
    log.put(frame(good[5:]), content_type="application/json")
    old = [
        say("BREATH", 6 + at / 10, "ben", v=None, data={"phase": phase}) for at, phase in enumerate((90, -45.5, 1e6))
    ]
    log.put(many(old))
    for words in (
        "2025-06-15T15:06:50Z",
        "2025-06-15t17:06:50.1239+02:00",
        "2025-06-15T15:06:60Z",
        "2025-06-31T00:00:00Z",
    ):
        log.put(one(say("SPIRAL", 0, "cid", data={"direction": 1.0}) | {"timestamp": words}, received=20))
    log.put(one(say("BLOOM", 0, "dia") | {"timestamp": START_MS + 10_000.75}, received=20))
    log.put(one(say("BLOOM", 80, "dia", room="later"), received=20))
    log.put(one(say("BLOOM", 80.001, "dia", room="later"), received=20))
    bad = [b"", b"null", b"[]", b"{}", b"[1]", b'{"a":NaN}', b"\xff", b"{" * 17 + b"}" * 17, b'[{"a":"]"},{"b":[}]']
    for value in (*bad, frame(good).value[:-1], frame(good).value + b"x", b"[" + b"," * 3 + b"]"):
        log.raw(value, 20)
    text = one(say("BLOOM", 11, "eve", room="caf\u00e9")).value
    log.raw(
        b"[%s,{%s,%s,%s]" % (text, text[1:-1], one(say("BLOOM", 12, "eve")).value, one(say("BLOOM", 13, "eve")).value),
        20,
    )
    log.raw(b"[%s,nothing,%s]" % (one(say("BLOOM", 14, "eve")).value, one(say("BLOOM", 15, "eve")).value), 20)
    for size in (65_536, 65_537):
        wide = say("BLOOM", 16, "eve", extra="")
        log.raw(one(wide | {"extra": "x" * (size - len(one(wide).value))}).value, 20)
    deep: Any = []
    for _ in range(13):
        deep = [deep]
    log.put(
        many(
            [
                say("BLOOM", 17, "eve", extra=deep),
                say("BLOOM", 17, "eve", extra=[deep]),
                say("BLOOM", 17, "eve", extra=[[deep]]),
            ]
        )
    )
    return log


def partitions() -> Log:
    """Three partitions: events away from home, their copies, received before; toggles everywhere, or not yet."""
    log = Log(3)
    events = [say("BLOOM", at, f"d{at % 4}", room=("hall", "garden", "roof", None)[at % 4], seq=at) for at in range(24)]
    for event in events[:18]:
        log.put(one(event), log.home(event))
    for event in events[18:21]:
        away = (log.home(event) + 1) % 3
        offset = log.put(one(event), away)
        source = f"field.events/{away}/{offset}/0"
        for _ in range(2):
            log.put(one(event, received=500), log.home(event), source=source, received=str(START_MS + 30_000))
    log.put(
        one(say("BLOOM", 95, "d1", room="hall"), received=500), log.home(events[0]), received=str(START_MS + 30_000)
    )
    log.put(
        one(say("BLOOM", 90, "d1", room="hall"), received=500), log.home(events[0]), received=str(START_MS + 30_000)
    )
    for event in (say("OPT_OUT", 22, "d1", room=None), say("OPT_IN", 23, "d2", room=None)):
        for number in range(3):
            log.put(one(event), number, fanout="3")
    log.put(one(say("OPT_OUT", 22, "d2", room=None)), 1)
    log.put(many(events[21:]), log.home(events[21]))
    touches = [
        touch(40 + at, one_, other, room=None) for at in range(4) for one_, other in (("d2", "d3"), ("d0", "d3"))
    ]
    for event in touches:
        log.put(one(event), log.home(event))
    return log


def the_story() -> Log:
    """The log that grows with the versions: ``tests/golden/log.jsonl``."""
    from tests.golden.write import read_log

    log = Log()
    for record in read_log():
        log.put(record)
    return log


VECTORS: Final[dict[str, Callable[[], Log]]] = {
    "story": the_story,
    "duplicates": duplicates,
    "lateness": lateness,
    "opt_outs": opt_outs,
    "rooms": rooms,
    "sessions": sessions,
    "echoes": echoes,
    "bonds": bonds,
    "particles": particles,
    "wires": wires,
    "partitions": partitions,
}


def to_json(line: Line) -> str:
    """A line of ``log.jsonl``, as schema/digest.md says."""
    plain: Plain = {"partition": line.partition, "offset": line.offset, "received": line.timestamp}
    if line.headers:
        plain["headers"] = {name: value.decode() for name, value in line.headers}
    if line.value is not None and line.value.isascii():
        plain["text"] = line.value.decode()
    elif line.value is not None:
        plain["base64"] = base64.b64encode(line.value).decode()
    return json.dumps(plain)


def from_json(text: str) -> Line:
    plain = json.loads(text)
    value = base64.b64decode(plain["base64"]) if "base64" in plain else None
    value = plain["text"].encode() if "text" in plain else value
    headers = [(name, value.encode()) for name, value in plain.get("headers", {}).items()]
    return Line(plain["partition"], plain["offset"], plain["received"], value, headers)
