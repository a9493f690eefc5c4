"""Record values: good ones, and bad ones named by the reason for which they are rejected."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, Final, NamedTuple

from schema.examples.documents import EXAMPLES, START_MS, document
from streams import events as ev
from streams.envelope import LIMITS
from streams.frame import HEADER, MAGIC, Frame, pack, unpack
from streams.validate import CONTENT_FRAME, CONTENT_JSON, read_record
from streams.wire import encode_frame

RECEIVED_MS: Final = START_MS + 1_000
"""When all examples were received."""


class Good(NamedTuple):
    """A value that holds only events."""

    name: str
    value: bytes


class Bad(NamedTuple):
    """A value of ``items`` events and rejections, of which that ``at`` this index is rejected for ``reason``."""

    name: str
    value: bytes
    reason: str
    at: int = 0
    items: int = 1
    content_type: bytes | None = None


def good() -> list[Good]:
    """Every example document, a batch and a frame of all of them, and some tolerated spellings."""
    out = []
    everything = [one for examples in EXAMPLES.values() for one in examples]
    for (kind, version), examples in EXAMPLES.items():
        out += [Good(f"{kind.lower()}_v{version}_{at}.json", _json(one)) for at, one in enumerate(examples, 1)]
    spelled = document(
        ev.SPIRAL, 30, seq=4.0, v=1.0, room_id=None, position=None, data={"angle": None, "direction": 1.0}
    )
    out += [
        Good("batch.json", _json(everything)),
        Good("frame.bin", encode_frame(_events(everything))),
        Good("null_is_absent.json", _json(spelled)),
        Good("unknown_fields.json", _json(document(ev.BLOOM, 31, mood="\ud800\0", extra={"a": [1, 2]}))),
        Good(
            "upper_case_id.json",
            _json(document(ev.ENTER, 32, room_id="hall") | {"id": "0197746F-ABCD-7000-8000-00000000002F"}),
        ),
        Good("largest.json", _json(document(ev.TOUCH, 33, seq=2**63 - 1, epoch=2**63 - 1, data={"pressure": 1e6}))),
    ]
    return out


def bad() -> list[Bad]:
    """At least one for every reason."""
    return [*_not_json(), *_not_read(), *_wrong_fields(), *_wrong_frames(), *_in_batches()]


def manifest(good_ones: list[Good], bad_ones: list[Bad]) -> dict[str, Any]:
    """What the example files are, for readers in other languages."""
    return {
        "received_ms": RECEIVED_MS,
        "good": [{"file": f"good/{one.name}", "events": len(_read(one.value))} for one in good_ones],
        "bad": [
            {"file": f"bad/{one.name}", "reason": one.reason, "index": one.at, "items": one.items}
            | ({"content_type": one.content_type.decode()} if one.content_type else {})
            for one in bad_ones
        ],
    }


def _not_json() -> list[Bad]:
    bloom = _json(document(ev.BLOOM, 40))
    return [
        Bad("empty.bin", b"", "empty"),
        Bad("empty_blank.bin", b" \r\n", "empty"),
        Bad("empty_array.json", b"[]", "empty"),
        Bad("content_type_frame_on_json.json", bloom, "content_type", content_type=CONTENT_FRAME),
        Bad("content_type_json_on_frame.bin", _frame(), "content_type", content_type=CONTENT_JSON),
        Bad("content_type_unknown.json", bloom, "content_type", content_type=b"text/plain"),
        Bad("not_utf8.bin", bloom.replace(b"ana", b"an\xe9"), "not_utf8"),
        Bad("not_utf8_surrogate.bin", bloom.replace(b"ana", b"\xed\xa0\x80"), "not_utf8"),
        Bad("not_utf8_ignored_field.bin", bloom.replace(b"{", b'{"mood": "\xff", ', 1), "not_utf8"),
        Bad("malformed_json.bin", bloom[:-3], "malformed_json"),
        Bad("malformed_json_words.bin", b"hello field", "malformed_json"),
        Bad("malformed_json_nul.bin", bloom.replace(b"ana", b"a\0a"), "malformed_json"),
        Bad("malformed_json_two.bin", bloom + bloom, "malformed_json"),
        Bad("malformed_json_array.bin", b"[" + bloom, "malformed_json"),
        Bad("malformed_json_brackets.bin", b"[" * 5_000, "malformed_json"),
        Bad("malformed_json_number.bin", bloom.replace(b"0.5", b"00.5"), "malformed_json"),
    ]


def _not_read() -> list[Bad]:
    deep: Any = "bottom"
    for _ in range(LIMITS.depth_max):
        deep = [deep]
    large = "o" * LIMITS.event_bytes_max
    bomb = b'{"a":' * 2_000 + b"1" + b"}" * 2_000
    bloom = document(ev.BLOOM, 41)
    late = RECEIVED_MS + LIMITS.skew_ms_max + 1
    return [
        Bad("too_large.json", _json(bloom | {"mood": large}), "too_large"),
        Bad("too_deep.json", _json(bloom | {"mood": deep}), "too_deep"),
        Bad("too_deep_bomb.json", bomb, "too_deep"),
        Bad("future.json", _json(bloom | {"timestamp": late}), "future"),
        Bad("future_rfc3339.json", _json(bloom | {"timestamp": "2225-01-01T00:00:00Z"}), "future"),
        Bad("not_an_object_number.json", b"[7]", "not_an_object"),
        Bad("unknown_type.json", _json(bloom | {"type": "DREAM"}), "unknown_type"),
        Bad("unknown_type_case.json", _json(bloom | {"type": "bloom"}), "unknown_type"),
        Bad("unknown_type_number.json", _json(bloom | {"type": 3}), "unknown_type"),
        Bad("unknown_version.json", _json(bloom | {"v": 2}), "unknown_version"),
        Bad("unknown_version_none.json", _json(document(ev.BLOOM, 42, v=...)), "unknown_version"),
        Bad("unknown_version_text.json", _json(bloom | {"v": "1"}), "unknown_version"),
    ]


def _wrong_fields() -> list[Bad]:
    breath = document(ev.BREATH, 50, data={"phase": 1})
    bloom = document(ev.BLOOM, 51)
    wrong: dict[str, tuple[str, Any]] = {
        "missing_field_id": ("missing_field", document(ev.BLOOM, 52, id=...)),
        "missing_field_type": ("missing_field", document(ev.BLOOM, 52, type=...)),
        "missing_field_null": ("missing_field", bloom | {"device_id": None}),
        "missing_field_room": ("missing_field", document(ev.ENTER, 53)),
        "missing_field_intensity": ("missing_field", document(ev.BLOOM, 54, intensity=...)),
        "missing_field_data": ("missing_field", document(ev.BREATH, 55)),
        "missing_field_target": ("missing_field", document(ev.RELEASE, 56, data={})),
        "bad_id_uuid": ("bad_id", bloom | {"id": "0197746f00007000800000000000002f"}),
        "bad_id_newline": ("bad_id", bloom | {"device_id": "ana\n"}),
        "bad_id_space": ("bad_id", bloom | {"room_id": "the hall"}),
        "bad_id_long": ("bad_id", bloom | {"user_id": "u" * 65}),
        "bad_id_empty": ("bad_id", bloom | {"device_id": ""}),
        "bad_id_nul": ("bad_id", bloom | {"device_id": "a\0"}),
        "bad_id_surrogate": ("bad_id", bloom | {"device_id": "\ud800"}),
        "bad_id_number": ("bad_id", bloom | {"device_id": 7}),
        "bad_id_kind": ("bad_id", document(ev.ENTANGLE, 57, data={"target_device": "ben", "kind": "so close"})),
        "bad_timestamp_local": ("bad_timestamp", bloom | {"timestamp": "2025-06-15T15:06:40"}),
        "bad_timestamp_day": ("bad_timestamp", bloom | {"timestamp": "2025-02-29T15:06:40Z"}),
        "bad_timestamp_negative": ("bad_timestamp", bloom | {"timestamp": -1}),
        "bad_timestamp_huge": ("bad_timestamp", bloom | {"timestamp": 2**70}),
        "bad_timestamp_object": ("bad_timestamp", bloom | {"timestamp": {}}),
        "bad_value_intensity": ("bad_value", bloom | {"intensity": 1.000001}),
        "bad_value_seq": ("bad_value", bloom | {"seq": 2**63}),
        "bad_value_seq_fraction": ("bad_value", bloom | {"seq": 1.5}),
        "bad_value_seq_true": ("bad_value", bloom | {"seq": True}),
        "bad_value_epoch": ("bad_value", bloom | {"epoch": -1}),
        "bad_value_position": ("bad_value", bloom | {"position": {"x": 1e10, "y": 0}}),
        "bad_value_position_text": ("bad_value", bloom | {"position": "here"}),
        "bad_value_phase": ("bad_value", breath | {"data": {"phase": 1_000_001}}),
        "bad_value_phase_text": ("bad_value", breath | {"data": {"phase": "up"}}),
        "bad_value_phase_surrogate": ("bad_value", breath | {"data": {"phase": "\ud800"}}),
        "bad_value_v0": ("bad_value", document(ev.BREATH, 58, v=..., data={"phase": 1_000_001})),
        "bad_value_phrase": ("bad_value", document(ev.SACRED_PHRASE, 59, data={"phrase": "we are one"})),
        "bad_value_harmonics": ("bad_value", document(ev.FIELD, 60, data={"harmonics": [_HARMONIC] * 65})),
    }
    out = [Bad(f"{name}.json", _json(plain), reason) for name, (reason, plain) in wrong.items()]
    text = _json(bloom)
    for name, spelled in (("nan", b"NaN"), ("infinity", b"-Infinity"), ("1e999", b"1e999")):
        out.append(Bad(f"not_finite_{name}.bin", text.replace(b"0.5", spelled), "not_finite"))
    return out


_HARMONIC: Final = {"x": 0, "y": 0, "frequency": 1, "amplitude": 1, "phase": 0}


def _wrong_frames() -> list[Bad]:
    whole = _frame()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    frame = unpack(whole)
    return [
        Bad("bad_checksum.bin", bytes(flipped), "bad_checksum"),
        Bad("bad_frame_cut.bin", whole[:-1], "bad_frame"),
        Bad("bad_frame_magic.bin", b"\xf1", "bad_frame"),
        Bad("bad_frame_rows.bin", _sealed(whole, rows=9_999), "bad_frame"),
        Bad("bad_frame_code.bin", pack(frame._replace(names=[])), "bad_frame"),
        Bad("too_large_frame.bin", _sealed(whole, rows=2**32 - 1), "too_large"),
        Bad("unknown_version_frame.bin", _sealed(whole, version=2), "unknown_version"),
        Bad("empty_frame.bin", _sealed(whole, rows=0), "empty"),
        Bad("not_finite_frame.bin", _changed(frame, "x", float("nan")), "not_finite", at=1, items=3),
        Bad("bad_id_frame.bin", pack(frame._replace(names=[b"a b", *frame.names[1:]])), "bad_id", items=3),
        Bad("future_frame.bin", _changed(frame, "timestamp", RECEIVED_MS * 2), "future", at=1, items=3),
        Bad("unknown_type_frame.bin", _changed(frame, "type", 200), "unknown_type", at=1, items=3),
    ]


def _in_batches() -> list[Bad]:
    first, second = _json(document(ev.BLOOM, 70)), _json(document(ev.BLOOM, 71))
    out = []
    for reason, middle in (
        ("malformed_json", b'{"id": tru}'),
        ("not_finite", second.replace(b"0.5", b"NaN")),
        ("not_utf8", second.replace(b"ana", b"\xff")),
        ("not_an_object", b"null"),
        ("bad_value", second.replace(b"0.5", b"5")),
        ("too_deep", b'{"a": ' + b"[" * 99 + b"]" * 99 + b"}"),
    ):
        value = b"[" + first + b", " + middle + b", " + second + b"]"
        out.append(Bad(f"{reason}_in_batch.bin", value, reason, at=1, items=3))
    return out


def _frame() -> bytes:
    return encode_frame(_events([document(ev.BLOOM, 80 + at, position={"x": 1, "y": 2}) for at in range(3)]))


def _changed(frame: Frame, column: str, value: float) -> bytes:
    """The frame with another value in its second row."""
    changed = frame.columns[column].copy()
    changed[1] = value
    return pack(frame._replace(columns=frame.columns | {column: changed}))


def _sealed(value: bytes, *, rows: int | None = None, version: int | None = None) -> bytes:
    """A frame whose header says something else, with the right checksum."""
    _, old_version, zero, present, old_rows, length, _ = HEADER.unpack_from(value)
    head = HEADER.pack(
        MAGIC, old_version if version is None else version, zero, present, old_rows if rows is None else rows, length, 0
    )[:-4]
    body = value[HEADER.size :]
    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


def _events(documents: list[dict[str, Any]]) -> list[ev.Event]:
    return [one for plain in documents for one in _read(_json(plain))]


def _read(value: bytes) -> list[ev.Event]:
    """All items of a good value; an AssertionError names what is not good about it."""
    items = read_record(value, RECEIVED_MS)
    events = [one for one in items if isinstance(one, ev.Event)]
    assert len(events) == len(items), items
    return events


def _json(plain: object) -> bytes:
    return json.dumps(plain).encode()
