"""What JSON lets pass and the field does not, and that nothing else is held against a text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.gateway.strict import fault
from streams.wire import encode_event
from tests.documents import events

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(values, st.booleans())
def test_plain_json_has_no_fault(value, ascii_only: bool) -> None:
    assert fault(json.dumps(value, ensure_ascii=ascii_only).encode()) is None


@given(events())
def test_events_have_none(event) -> None:
    assert fault(encode_event(event)) is None


@given(st.dictionaries(st.text('ab:"\\,{}', max_size=3), values, min_size=1, max_size=3), st.booleans(), st.data())
def test_a_key_that_stands_twice_is_found_wherever_it_is(members, escaped: bool, data) -> None:
    twice = data.draw(st.sampled_from(sorted(members)))
    name = "".join(f"\\u{ord(one):04x}" for one in twice) if escaped else json.dumps(twice)[1:-1]
    pairs = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members.items()]
    pairs.insert(data.draw(st.integers(0, len(pairs))), f'"{name}": 1')
    text = "{" + ", ".join(pairs) + "}"
    for outer in (text, f"[{text}]", f'{{"a": [1, {text}]}}'):
        found = fault(outer.encode())
        assert found is not None
        assert found.reason == "duplicate_key"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "not_finite"),
       ("[Infinity]", "not_finite"), ('{"a": -Infinity}', "not_finite"), ("1e999", "not_finite"),
        ('{"a": "\\\\", "b": -1e999}', "not_finite"), ("9" * 400, "not_finite"), ('"\\u0000"', "nul"),
        ('["\\"", [["a\\u0000"]]]', "nul"), ('{"\\u0000": 1}', "nul"), ('"\\ud800"', "lone_surrogate"),
        ('"\\udc00\\ud800"', "lone_surrogate"), ('{"a": ["\\ud83d"]}', "lone_surrogate"), ("", "malformed_json"),
        ("{", "malformed_json"), ("'a'", "malformed_json"), ('"\n"', "malformed_json"), ("[" * 100_000, "too_deep"),
    ],
)  # fmt: skip
def test_faults_are_named(text: str, reason: str) -> None:
    found = fault(text.encode())
    assert found is not None
    assert found.reason == reason
    assert found.detail.isascii()
    assert len(found.detail) <= 200


@pytest.mark.parametrize(
    "text", ['"\\ud83d\\ude00"', '"\\\\u0000"', '{"a": "b\\": 1"}', '{"a": "{:}"}', "1e308", "9" * 300]
)
def test_what_only_looks_odd_passes(text: str) -> None:
    assert fault(text.encode()) is None


def test_bytes_that_are_no_text() -> None:
    found = fault(b'"\xff\\n"')
    assert found is not None
    assert found.reason == "not_utf8"
