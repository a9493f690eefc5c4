"""The compiled reader reads every plain record, equal to Python's to the bit, and never one that Python refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.examples.documents import EXAMPLES
from streams import frame as layout
from streams.envelope import LIMITS, Limits
from streams.events import DATA_CLASSES, MILLION, TIMESTAMP_MS_MAX, TYPES, Event
from streams.wire import encode_batch, encode_event, encode_frame, to_plain
from tests.documents import events, mutated
from tests.fuzz.fuzz_native import run
from tests.native import Compared, Native, compare
from tests.property.profile import detail, law
from tests.property.strategies import World, worlds

batches = st.lists(events(), min_size=1, max_size=6)
LATEST = TIMESTAMP_MS_MAX - LIMITS.skew_ms_max
# Nothing of ours takes more digits; the odd value of a float between whole numbers is written with an exponent.
numbers = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True),
    st.from_regex(r"[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]*)?", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        [
            "1e400",
            "-1e400",
            "1e-400",
            "-0",
            "-0.0",
            "-0e3",
            "0e9999",
            "2.5e-324",
            "1e22",
            "1e23",
            "9e15",
            "1.",
            "1.e1",
            "01",
        ]
    ),
)
moments = st.one_of(
    st.from_regex(
        r"(19[67][0-9]|[2-9][0-9]{3})-(0[0-9]|1[0-3])-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
        r"(\.[0-9]{0,5}|\.[0-9]{62,66})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?",
        fullmatch=True,
    ),
    st.datetimes().map(lambda one: one.isoformat() + "Z"),
    st.builds(
        lambda day, clock, zone: f"{day}T{clock}{zone}",
        st.sampled_from(["1970-01-01", "9999-12-31", "9999-12-30", "2000-02-29", "1900-02-29", "2100-02-29"]),
        st.sampled_from(["00:00:00", "23:59:59.999999"]),
        st.sampled_from(["Z", "+00:00", "-00:00", "+00:01", "-23:59", "+23:59"]),
    ),
)


@detail
@given(batches)
def test_what_we_write_is_plain(reader: Native, batch: list[Event]) -> None:
    for value in (encode_batch(batch), encode_frame(batch)):
        assert compare(reader, value, LATEST) == Compared(len(batch), len(batch), 0)
    for one in batch:
        assert compare(reader, encode_event(one), LATEST) == Compared(1, 1, 0)


@law
@given(worlds(honest=False))
def test_worlds_are_plain(reader: Native, world: World) -> None:
    count = len(world.made)
    for encode in (encode_batch, encode_frame) if count else ():
        assert compare(reader, encode(world.made), LATEST) == Compared(count, count, 0)


def spelled(event: Event, rnd: Random) -> str:
    """The same event as others might write it: order, space, null, whole numbers, keys that nobody knows."""
    plain = to_plain(event)
    absent = [name for name in ("user_id", "room_id", "seq", "epoch", "position", "data") if name not in plain]
    plain |= {name: None for name in rnd.sample(absent, rnd.randint(0, len(absent)))}
    if isinstance(plain.get("data"), dict):
        names = DATA_CLASSES[event.type].__struct_fields__
        plain["data"] |= {name: None for name in names if name not in plain["data"] and rnd.random() < 0.5}
    plain |= dict(
        rnd.sample([("mood", "ω"), ("n", 1.5), ("yes", True), ("no", False), ("none", None)], rnd.randint(0, 5))
    )

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shuffled(value[name]) for name in rnd.sample(sorted(value), len(value))}
        if isinstance(value, tuple | list):
            return [shuffled(one) for one in value]
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53 and str(value) != "-0.0"
        return int(value) if whole and rnd.random() < 0.5 else value

    space = rnd.choice((None, 2, "\t"))
    separators = rnd.choice(((",", ":"), (" , ", " : "), (",\r\n", ":\t")))
    return json.dumps(shuffled(plain), indent=space, separators=separators, ensure_ascii=False)


@detail
@given(events(), st.integers(0, 2**32 - 1))
def test_other_spellings_are_plain(reader: Native, event: Event, seed: int) -> None:
    rnd = Random(seed)
    texts = [spelled(event, rnd) for _ in range(rnd.randint(1, 4))]
    for text in texts:
        assert compare(reader, rnd.choice(("", " \n")).encode() + text.encode() + b"\n", LATEST) == Compared(1, 1, 0)
    array = rnd.choice(("[%s]", " [ %s\n] ")) % rnd.choice((",", " ,\n ")).join(texts)
    assert compare(reader, array.encode(), LATEST) == Compared(len(texts), len(texts), 0)


@detail
@given(mutated(), st.booleans())
def test_documents_that_are_nearly_events(reader: Native, document: Any, escaped: bool) -> None:
    text = json.dumps(document, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    compare(reader, text, LATEST)
    compare(reader, b"[" + text + b",1, " + text + b"]", LATEST)


@detail
@given(numbers, st.sampled_from(["x", "phase", "rate", "intensity", "timestamp", "seq", "epoch", "v", "extra"]))
def test_numbers(reader: Native, number: str, name: str) -> None:
    fields = {"id": '"0197746f-0000-7000-9000-000000000001"', "type": '"BREATH"', "device_id": '"ana"',
              "timestamp": "1", "intensity": "0.5", "v": "1"}  # fmt: skip
    data = {"phase": "1"}
    place = {"x": "1", "y": "2"}
    (data if name in ("phase", "rate") else place if name == "x" else fields)[name] = number
    fields |= {"data": object_of(data), "position": object_of(place)}
    compare(reader, object_of(fields).encode(), LATEST)


def object_of(fields: dict[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


@detail
@given(st.integers(0, MILLION), st.sampled_from([0.0, 0.5, -0.5, 0.49999999999, 0.50000000001]))
def test_millionths_are_rounded_half_to_even(reader: Native, whole: int, more: float) -> None:
    plain = EXAMPLES["BLOOM", 1][0] | {"intensity": min(max((whole + more) / MILLION, 0.0), 1.0)}
    assert compare(reader, json.dumps(plain).encode(), LATEST) == Compared(1, 1, 0)


@detail
@given(moments)
def test_moments(reader: Native, text: str) -> None:
    found = compare(reader, json.dumps(EXAMPLES["BLOOM", 1][0] | {"timestamp": text}).encode(), LATEST)
    edge = text.startswith(("1970-01-01", "9999-12-31")) and not text.endswith(("Z", "z"))
    assert found.events == found.python_events or edge  # an offset on the first and on the last day is for Python


odd = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e9, 1e9 + 1, -1e9 - 1, 1e6, 1e6 + 1, -0.0, 5e-324])
whole = st.sampled_from([-1, 0, 1, 2**63 - 1, -(2**63), TIMESTAMP_MS_MAX, TIMESTAMP_MS_MAX + 1])
BLOBS = (
    b"", b"{}", b" { } ", b"null", b"[1]", b'{"rate":1}', b'{"rate":null}', b'{"phase":5}', b'{"kind":null}', b"{",
    b'{"kind":"care"}', b'{"intensity":1}', b'{"target_device":"x","kind":"y"}', b'{"pressure":1,"pressure":2}',
    b'{"extra":"\xff"}', '{"extra":"é"}'.encode(), b'{"extra":[[[[]]]]}', b'{"harmonics":[]}', b'{"turns":1}x',
)  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_data_of_every_type_in_a_frame(reader: Native, kind: str) -> None:
    """Each kind of blob in a row that has all columns, and in one that has none of those that may be left out."""
    for room, target in (("hall", "bo"), (None, None)):
        event = Event(5, "0197746f-0000-7000-9000-000000000001", kind, "ana", "ana", room_id=room, target=target)
        frame = layout.unpack(encode_frame([event]))
        for flags in range(18):
            columns = frame.columns | {"flags": np.array([flags], "u1"), "phase": np.array([0.5], "<f8")}
            for blob in BLOBS:
                compare(reader, layout.pack(frame._replace(columns=columns, blobs=[blob])), LATEST)


@detail
@given(batches, st.data())
def test_frames_with_odd_columns(reader: Native, batch: list[Event], data: st.DataObject) -> None:
    frame = layout.unpack(encode_frame(batch))
    name, kind = data.draw(st.sampled_from([one for one in layout.COLUMNS if one[0] not in ("id", "data_end")]))
    column = frame.columns[name].copy()
    at = data.draw(st.integers(0, len(batch) - 1))
    value = data.draw(odd if kind == "<f8" else whole if kind == "<i8" else st.integers(0, 20) | st.just(MILLION + 1))
    column[at] = np.uint8(value % 256) if kind == "u1" else value
    stored = list(frame.blobs)
    stored[data.draw(st.integers(0, len(batch) - 1))] = data.draw(st.sampled_from(BLOBS))
    names = [one if data.draw(st.integers(0, 9)) else data.draw(st.binary(max_size=66)) for one in frame.names]
    compare(reader, layout.pack(layout.Frame(len(batch), frame.columns | {name: column}, names, stored)), LATEST)


@pytest.mark.parametrize("place", [b'"ana"', b'"extra"', b'"more"'])
def test_every_byte_in_a_string(reader: Native, place: bytes) -> None:
    """In an id, in a key that nobody knows, and in its value."""
    text = json.dumps(EXAMPLES["BLOOM", 1][0] | {"device_id": "ana", "extra": "more"}).encode()
    for inner in (
        *(bytes([byte]) for byte in range(256)),
        b"\\n",
        b"\\u0061",
        b"\\x",
        b'\\"',
        "é".encode(),
        b"\xed\xa0\x80",
    ):
        compare(reader, text.replace(place, place[:-1] + inner + b'"'), LATEST)


def test_a_known_key_may_be_escaped(reader: Native) -> None:
    text = json.dumps(EXAMPLES["BLOOM", 1][0] | {"more": 1, "data": {"radius": 1.5, "more": 1}})
    for name in ("room_id", "seq", "position", "data", "radius"):
        for spelled_name in (f"\\u{ord(name[0]):04x}{name[1:]}", name + "\\u0000"):
            odd_one = text.replace('"more"', f'"{spelled_name}"')
            assert compare(reader, odd_one.encode(), LATEST).events == 0


@pytest.mark.parametrize("depth", range(6))
def test_depth(reader: Native, depth: int) -> None:
    plain = EXAMPLES["FIELD", 1][0]
    some = [plain | {"data": {"harmonics": []}}, plain | {"data": {}}, plain | {"position": {"x": 1, "y": 1}}]
    for document in (plain, *some):
        found = compare(reader, json.dumps(document).encode(), LATEST, Limits(depth_max=depth))
        assert found.events == found.python_events


@pytest.mark.parametrize("length", [64, 65, 256, 257])
def test_long_entries_of_a_dictionary(reader: Native, length: int) -> None:
    event = Event(5, "0197746f-0000-7000-9000-000000000001", "OPT_IN", "ana", "ana")
    frame = layout.unpack(encode_frame([event]))
    for names in ([b"ana", b"b" * length], [b"b" * length]):
        compare(reader, layout.pack(frame._replace(names=names)), LATEST)


def doubled(value: Any) -> Iterator[str]:
    """The text of a document with one of its keys twice, for every key in it."""
    if isinstance(value, list):
        for at, one in enumerate(value):
            for text in doubled(one):
                yield f"[{','.join([*map(json.dumps, value[:at]), text, *map(json.dumps, value[at + 1 :])])}]"
    if isinstance(value, dict):
        texts = {name: json.dumps(one) for name, one in value.items()}
        for name, one in value.items():
            for text in (texts[name], "null"):
                yield f'{object_of(texts)[:-1]},"{name}":{text}}}'
            for text in doubled(one):
                yield object_of(texts | {name: text})


@pytest.mark.parametrize("kind", TYPES)
def test_a_key_twice_is_for_python(reader: Native, kind: str) -> None:
    for document in EXAMPLES[kind, 1]:
        texts = list(doubled(document))
        assert len(texts) >= 10
        for text in texts:
            assert compare(reader, text.encode(), LATEST).events == 0, text


@detail
@given(batches, st.integers(0, 6), st.integers(60, 400), st.integers(-(2**43), 2**43))
def test_limits(reader: Native, batch: list[Event], depth: int, size: int, late: int) -> None:
    limits = Limits(skew_ms_max=0, event_bytes_max=size, depth_max=depth)
    received = max(batch[0].timestamp + late // 2**20, 0)
    values = [encode_batch(batch), encode_frame(batch), encode_event(batch[0])]
    for value in values:
        found = compare(reader, value, received, limits)
        assert found.events == found.python_events  # all of it is plain: only the limits refuse


def test_mutated_bytes(reader: Native) -> None:
    found = run(reader, 20_000, 1)
    assert found.events > 0.7 * found.python_events > 500
    assert found.refused > 5_000


@pytest.mark.parametrize(
    "value",
    [b"", b" ", b"[", b"[]", b"[ ]", b"[,]", b"[1,]", b"[{},{}", b"[{]}", b"{}", b"\xf1", b"\xf1FLD", b"[" * 99],
)
def test_small_nonsense(reader: Native, value: bytes) -> None:
    assert compare(reader, value, LATEST).events == 0


def test_an_odd_element_costs_only_itself(reader: Native) -> None:
    good = json.dumps(EXAMPLES["BLOOM", 1][0])
    for odd_one in ("1", '{"a":{"b":"]\\""}}', "", '"}"', "{", "[[}", '{"a":[}]}', good[:-1], good + good):
        found = compare(reader, f"[{good}, {odd_one} ,{good}]".encode(), LATEST)
        assert found.events == (2 if found.python_events == 2 else 0), odd_one
    assert compare(reader, f"[{good}, 1,{good}]".encode(), LATEST) == Compared(2, 2, 1)


@pytest.mark.parametrize("elements", [10_000, 10_001])
def test_no_more_events_than_a_record_may_have(reader: Native, elements: int) -> None:
    good = json.dumps(EXAMPLES["ENTER", 1][0])
    value = f"[{','.join([good] * elements)}]".encode()
    assert compare(reader, value, LATEST).events == (elements if elements == 10_000 else 0)
